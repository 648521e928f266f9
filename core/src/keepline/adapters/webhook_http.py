"""HTTP to a webhook's endpoint, as little of it as a POST needs, so that no idea of a client's own can be turned against us.

What is dialled was judged (see `dialling`). No redirect is followed, no proxy asked, no body read. One time limit holds for
all of it together.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from keepline.adapters.dialling import HTTP_FAILURES, Resolve, any_address, failure_code, open_http, resolved
from keepline.domain.link_settings import is_public
from keepline.ports.webhook_calls import Answer

CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 15.0
# What a receiver's head may be: its status line and its headers together.
HEAD_BYTES_MAX = 16 * 1024
INFORMATIONAL_MAX = 5


class _Refused(Exception):
    """It will not be called, or its answer not be read; the message is a stable word."""


class HttpWebhookCaller:
    """`private_allowed`: also addresses that are not public, for an installation that has its receivers beside it."""

    def __init__(self, *, private_allowed: bool, resolve: Resolve = resolved) -> None:
        self._may_dial = any_address if private_allowed else is_public
        self._resolve = resolve
        self._tls = ssl.create_default_context()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        began_s = time.monotonic()
        status, error, retry_after_s = None, None, None
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                status, retry_after_s = await self._post(url, headers, body)
        except _Refused as refusal:
            error = str(refusal)
        except HTTP_FAILURES as failure:
            error = failure_code(failure)
        return Answer(status, error, round((time.monotonic() - began_s) * 1000), retry_after_s)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, int | None]:
        parts = urlsplit(url)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await open_http(parts, self._may_dial, self._resolve, self._tls, HEAD_BYTES_MAX)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            fields = {**headers, "host": parts.netloc, "content-length": str(len(body)), "connection": "close"}
            lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
            writer.write("\r\n".join(lines).encode("latin-1") + body)
            # A receiver may answer before it has read everything; what breaks then is told by what it says.
            return await _answer(reader)
        finally:
            writer.transport.abort()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, int | None]:
    """The status, and the seconds that a `Retry-After` asks for."""
    for _ in range(INFORMATIONAL_MAX):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, _, rest = head[0].partition(" ")
        code = rest[:3]
        if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit() and len(code) == 3):
            raise _Refused("no_http_answer")
        if code[0] == "1":
            continue
        named = [line.partition(":") for line in head[1:]]
        waits = [value.strip() for name, _, value in named if name.strip().lower() == "retry-after"]
        return int(code), int(waits[0]) if waits and waits[0].isascii() and waits[0].isdigit() and len(
            waits[0]
        ) < 8 else None
    raise _Refused("no_http_answer")
