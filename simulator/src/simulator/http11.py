"""Just enough HTTP/1.1: heads of CONNECT and upgrade requests, and whole requests for the control API and media."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from simulator.errors import ProtocolError
from simulator.limits import HTTP_BODY_BYTES_MAX, HTTP_HEAD_BYTES_MAX

REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 206: "Partial Content", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
}  # fmt: skip

_HEX = re.compile(rb"[0-9A-Fa-f]{1,8}")
_CHUNK_HEAD_BYTES_MAX = 1_024


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

    def proxy_user(self) -> str:
        """The user name that a client gives to its proxy (`http://user@host:port`), or ""."""
        scheme, _, sealed = self.headers.get("proxy-authorization", "").partition(" ")
        try:
            given = base64.b64decode(sealed, validate=True).decode("utf-8", "replace") if scheme == "Basic" else ""
        except binascii.Error:
            return ""
        return given.partition(":")[0]


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
    """Collects whole requests from a byte stream. Bodies may be plain or chunked, up to `body_bytes_max`."""

    def __init__(self, body_bytes_max: int = HTTP_BODY_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._body_bytes_max = body_bytes_max
        # The request whose body is under way, what came of it so far, and how long it will be (None: chunked).
        self._request: Request | None = None
        self._body = bytearray()
        self._size: int | None = 0

    def feed(self, data: bytes) -> list[Request]:
        self._buffer += data
        requests: list[Request] = []
        while (request := self._next()) is not None:
            requests.append(request)
        return requests

    def _next(self) -> Request | None:
        if self._request is None:
            split = split_head(bytes(self._buffer[: HTTP_HEAD_BYTES_MAX + 5]))
            if split is None:
                return None
            self._request = parse_head(split[0])
            self._size = self._body_size(self._request)
            del self._buffer[: len(split[0]) + 4]
        if not (self._chunks() if self._size is None else self._plain(self._size)):
            return None
        request, self._request = self._request, None
        request.body = bytes(self._body)
        self._body.clear()
        url = urlsplit(request.target)
        request.path, request.query = unquote(url.path), dict(parse_qsl(url.query, keep_blank_values=True))
        return request

    def _plain(self, size: int) -> bool:
        """Takes a body of a known size, once it is there."""
        if len(self._buffer) < size:
            return False
        self._body += self._buffer[:size]
        del self._buffer[:size]
        return True

    def _chunks(self) -> bool:
        """Takes the chunks that are there; True after the last one."""
        while (end := self._buffer.find(b"\r\n", 0, _CHUNK_HEAD_BYTES_MAX)) >= 0:
            digits = bytes(self._buffer[:end]).partition(b";")[0].strip()
            if not _HEX.fullmatch(digits):
                raise ProtocolError("bad_request", "The size of a chunk is not a number.")
            size = int(digits, 16)
            if len(self._body) + size > self._body_bytes_max:
                raise ProtocolError("too_large", f"A body may hold at most {self._body_bytes_max} bytes.")
            if len(self._buffer) < end + 2 + size + 2:
                return False
            self._body += self._buffer[end + 2 : end + 2 + size]
            del self._buffer[: end + 2 + size + 2]
            if size == 0:
                return True
        if len(self._buffer) > _CHUNK_HEAD_BYTES_MAX:
            raise ProtocolError("bad_request", "The size of a chunk is not a number.")
        return False

    def _body_size(self, request: Request) -> int | None:
        if request.headers.get("transfer-encoding", "").lower() == "chunked":
            return None
        text = request.headers.get("content-length", "0")
        if "transfer-encoding" in request.headers or not text.isdigit():
            raise ProtocolError(
                "bad_request", "The length of a request's body is not given in a way that is known here."
            )
        if int(text) > self._body_bytes_max:
            raise ProtocolError("too_large", f"A body may hold at most {self._body_bytes_max} bytes.")
        return int(text)


def response(status: int, body: bytes = b"", content_type: str = "application/json", *, close: bool = False) -> bytes:
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\nContent-Length: {len(body)}\r\n"
    if body:
        head += f"Content-Type: {content_type}\r\n"
    if close:
        head += "Connection: close\r\n"
    return head.encode() + b"\r\n" + body
