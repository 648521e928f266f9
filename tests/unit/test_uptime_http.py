"""How a target by URL is asked: against small servers on this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from keepline.adapters.uptime_http import BODY_BYTES_MAX, HttpProbe
from keepline.ports.uptime_probes import Found, Question

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall ok\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    writers: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for writer in writers:
            writer.close()


def answering(*pieces: bytes, heard: list[bytes] | None = None) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(head)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()

    return serve


def question(url: str, *, text: str | None = None, timeout_ms: int = 2_000, method: str = "GET") -> Question:
    return Question(url, method, {"X-Token": "secret"}, (200, 204), text, timeout_ms)


def ask(serve: Serve, *, path: str = "/health", **options: object) -> Found:
    async def asking() -> Found:
        async with server(serve) as host:
            return await HttpProbe(private_allowed=True).ask(question(f"http://{host}{path}", **options))  # type: ignore[arg-type]

    return asyncio.run(asking())


def test_a_good_answer_is_timed_to_its_head() -> None:
    heard: list[bytes] = []
    found = ask(answering(OK, heard=heard), path="/health?full=1")
    assert found.code == "answers"
    assert found.ms is not None
    [head] = heard
    assert head.startswith(b"GET /health?full=1 HTTP/1.1\r\n")
    assert b"x-token: secret\r\n" in head
    assert head.count(b"host: 127.0.0.1:") == 1


@pytest.mark.parametrize(
    ("pieces", "text", "code"),
    [
        ([OK], "all ok", "answers"),
        ([OK], "all good", "text_missing"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], None, "answers"),
        ([b"HTTP/1.1 503 Busy\r\n\r\n"], None, "bad_status"),
        ([b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"], None, "bad_status"),
        ([b"SSH-2.0-OpenSSH_9\r\n\r\n"], None, "no_http_answer"),
        ([b"HTTP/1.1 2x0 \r\n\r\n"], None, "no_http_answer"),
        ([b"HTTP/1.1 200 OK\r\n"], None, "connection_failed"),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"], None, "connection_failed"),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nall o\r\n", b"2\r\nk\n\r\n0\r\n\r\n"],
            "all ok",
            "answers",
        ),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], "all ok", "connection_failed"),
        ([b"HTTP/1.1 200 OK\r\n\r\n", b"x" * BODY_BYTES_MAX, b"all ok"], "all ok", "text_missing"),
    ],
)
def test_what_is_answered_is_judged(pieces: list[bytes], text: str | None, code: str) -> None:
    assert ask(answering(*pieces), text=text).code == code


def test_one_time_limit_holds_for_all_of_it() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read()

    assert ask(silent, timeout_ms=100) == Found("timeout", None)
    assert ask(trickling, text="never", timeout_ms=100) == Found("timeout", None)


def test_where_nobody_listens_is_told() -> None:
    async def asking() -> Found:
        async with server(answering(OK)) as host:
            pass
        return await HttpProbe(private_allowed=True).ask(question(f"http://{host}/"))

    assert asyncio.run(asking()).code == "connection_failed"


def test_what_speaks_no_tls_is_told() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(OK)
        writer.close()

    async def asking() -> Found:
        async with server(plain) as host:
            return await HttpProbe(private_allowed=True).ask(question(f"https://{host}/"))

    assert asyncio.run(asking()).code in ("tls_failed", "connection_failed")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"])
def test_a_name_that_leads_to_a_private_address_is_not_dialled(address: str) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return [address]

    asked = HttpProbe(private_allowed=False, resolve=resolve).ask(question("https://shop.example.com/"))
    assert asyncio.run(asked) == Found("address_not_allowed", None)


def test_a_name_that_leads_nowhere_is_told() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        raise socket.gaierror

    asked = HttpProbe(private_allowed=False, resolve=resolve).ask(question("https://shop.example.com/"))
    assert asyncio.run(asked).code == "unknown_host"
