"""Just enough HTTP/1.1: heads of CONNECT and upgrade requests, and whole requests for the control API and media."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from simulator.errors import ProtocolError
from simulator.limits import HTTP_BODY_BYTES_MAX, HTTP_HEAD_BYTES_MAX

REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 413: "Content Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(slots=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)

    def keeps_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


def split_head(buffer: bytes) -> tuple[bytes, bytes] | None:
    """The head and what follows it, once the blank line has arrived."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > HTTP_HEAD_BYTES_MAX:
            raise ProtocolError("bad_request", "The head of a request is too large.")
        return None
    if end > HTTP_HEAD_BYTES_MAX:
        raise ProtocolError("bad_request", "The head of a request is too large.")
    return buffer[:end], buffer[end + 4 :]


def parse_head(head: bytes) -> Request:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise ProtocolError("bad_request", "That is not an HTTP/1.1 request.")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise ProtocolError("bad_request", "A header line has no colon.")
        headers[name.strip().lower()] = value.strip()
    return Request(parts[0], parts[1], headers)


class RequestReader:
    """Collects whole requests from a byte stream."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Request]:
        self._buffer += data
        requests: list[Request] = []
        while True:
            split = split_head(self._buffer)
            if split is None:
                return requests
            request = parse_head(split[0])
            size = self._body_size(request)
            if len(split[1]) < size:
                return requests
            request.body, self._buffer = split[1][:size], split[1][size:]
            url = urlsplit(request.target)
            request.path, request.query = unquote(url.path), dict(parse_qsl(url.query, keep_blank_values=True))
            requests.append(request)

    @staticmethod
    def _body_size(request: Request) -> int:
        if "transfer-encoding" in request.headers:
            raise ProtocolError("bad_request", "Send a Content-Length; chunked bodies are not read.")
        text = request.headers.get("content-length", "0")
        if not text.isdigit():
            raise ProtocolError("bad_request", "Content-Length is not a number.")
        if int(text) > HTTP_BODY_BYTES_MAX:
            raise ProtocolError("too_large", f"A body may hold at most {HTTP_BODY_BYTES_MAX} bytes.")
        return int(text)


def response(status: int, body: bytes = b"", content_type: str = "application/json", *, close: bool = False) -> bytes:
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\nContent-Length: {len(body)}\r\n"
    if body:
        head += f"Content-Type: {content_type}\r\n"
    if close:
        head += "Connection: close\r\n"
    return head.encode() + b"\r\n" + body
