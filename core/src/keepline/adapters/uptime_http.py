"""HTTP to a watched target, as little of it as one question needs.

What is dialled was judged (see `dialling`). No redirect is followed, no proxy asked, no connection kept: each check goes the
whole way that a new caller would. One time limit holds for all of it together. Of a body no more is read than is looked at.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from urllib.parse import urlsplit

from keepline.adapters.dialling import HTTP_FAILURES, Resolve, any_address, failure_code, open_http, resolved
from keepline.domain.link_settings import is_public
from keepline.ports.uptime_probes import Found, Question

BODY_BYTES_MAX = 64 * 1024
HEAD_BYTES_MAX = 16 * 1024


class _Failed(Exception):
    """It answers, and not as it should; the message is a stable word."""


class HttpProbe:
    """`private_allowed`: also addresses that are not public."""

    def __init__(self, *, private_allowed: bool, resolve: Resolve = resolved) -> None:
        self._may_dial = any_address if private_allowed else is_public
        self._resolve = resolve
        self._tls = ssl.create_default_context()

    async def ask(self, question: Question) -> Found:
        began_s = time.monotonic()
        answered: list[float] = []
        code = "answers"
        try:
            async with asyncio.timeout(question.timeout_ms / 1000):
                await self._ask(question, answered)
        except _Failed as failure:
            code = str(failure)
        except HTTP_FAILURES as failure:
            code = failure_code(failure)
            if isinstance(failure, TimeoutError):
                answered = []
        return Found(code, round((answered[0] - began_s) * 1000) if answered else None)

    async def _ask(self, question: Question, answered: list[float]) -> None:
        """Raises _Failed and what connections raise. `answered` gets the time at which the answer's head was there."""
        parts = urlsplit(question.url)
        reader, writer = await open_http(parts, self._may_dial, self._resolve, self._tls, HEAD_BYTES_MAX)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            fields = {"user-agent": "Keepline-uptime", "accept": "*/*", "accept-encoding": "identity"}
            fields |= {name.lower(): value for name, value in question.headers.items()}
            fields |= {"host": parts.netloc, "connection": "close"}
            if question.method == "POST":
                fields["content-length"] = "0"
            lines = [f"{question.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            answered.append(time.monotonic())
            if _status(head[0]) not in question.expected_status:
                raise _Failed("bad_status")
            if question.text is not None and question.text.encode() not in await _body(reader, head):
                raise _Failed("text_missing")
        finally:
            writer.transport.abort()


def _status(line: str) -> int:
    version, _, rest = line.partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit() and len(code) == 3):
        raise _Failed("no_http_answer")
    return int(code)


async def _body(reader: asyncio.StreamReader, head: list[str]) -> bytes:
    """The beginning of the body, at most `BODY_BYTES_MAX`. What comes in chunks is put together."""
    named = {
        name.strip().lower(): value.strip().lower() for name, _, value in (line.partition(":") for line in head[1:])
    }
    if named.get("transfer-encoding") == "chunked":
        return await _chunks(reader)
    length = named.get("content-length", "")
    wanted = min(int(length), BODY_BYTES_MAX) if length.isascii() and length.isdigit() else BODY_BYTES_MAX
    return await _up_to(reader, wanted)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) < BODY_BYTES_MAX:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size <= 0:
            break
        body += await _up_to(reader, min(size, BODY_BYTES_MAX - len(body)))
        await _up_to(reader, 2)
    return body


async def _up_to(reader: asyncio.StreamReader, wanted: int) -> bytes:
    body = b""
    while len(body) < wanted and (piece := await reader.read(wanted - len(body))):
        body += piece
    return body
