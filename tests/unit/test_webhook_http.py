"""Calling an endpoint over HTTP: receivers that fail, hang, redirect, answer slowly, or close; and names that lead elsewhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from keepline.adapters import webhook_http
from keepline.adapters.webhook_http import HttpWebhookCaller
from keepline.ports.webhook_calls import Answer

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Receiver:
    """A server on loopback that does what it is told with each connection."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.requests: list[bytes] = []
        self.port = 0
        self._behaviour = behaviour

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            [length] = [int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
            self.requests.append(head + await reader.readexactly(length))
            await self._behaviour(reader, writer)
        finally:
            writer.close()


@asynccontextmanager
async def receiving(behaviour: Behaviour) -> AsyncIterator[Receiver]:
    receiver = Receiver(behaviour)
    server = await asyncio.start_server(receiver.connected, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


def saying(data: bytes) -> Behaviour:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return say


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never silent for long, and never done."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"x-more: 1\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def post(port: int, path: str = "/hook?a=1") -> Answer:
    caller = HttpWebhookCaller(private_allowed=True)
    return await caller.post(f"http://127.0.0.1:{port}{path}", {"webhook-id": "evt_1"}, b'{"a":1}')


async def test_an_event_is_posted_as_it_is() -> None:
    async with receiving(saying(OK)) as receiver:
        answer = await post(receiver.port)
    assert (answer.status, answer.error) == (200, None)
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /hook?a=1 HTTP/1.1"
    assert f"host: 127.0.0.1:{receiver.port}".encode() in head
    assert b"webhook-id: evt_1" in head
    assert body == b'{"a":1}'


@pytest.mark.parametrize(
    ("behaviour", "status", "error"),
    [
        (saying(b"HTTP/1.1 500 Oh\r\n\r\n"), 500, None),
        (saying(b"HTTP/1.1 410 Gone\r\n\r\n"), 410, None),
        (saying(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK), 200, None),
        (saying(b"SSH-2.0-OpenSSH\r\n\r\n"), None, "no_http_answer"),
        (saying(b"HTTP/1.1 100 Go on\r\n\r\n" * 50), None, "no_http_answer"),
        (saying(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 50_000 + b"\r\n\r\n"), None, "connection_failed"),
        (saying(b"HTTP/1.1 200"), None, "connection_failed"),
        (close, None, "connection_failed"),
    ],
)
async def test_whatever_a_receiver_says_is_an_answer(
    behaviour: Behaviour, status: int | None, error: str | None
) -> None:
    async with receiving(behaviour) as receiver:
        answer = await post(receiver.port)
    assert (answer.status, answer.error) == (status, error)


@pytest.mark.parametrize("behaviour", [hang, drip])
async def test_a_receiver_that_hangs_or_drips_is_left_in_time(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_http, "TOTAL_TIMEOUT_S", 0.3)
    async with receiving(behaviour) as receiver:
        answer = await asyncio.wait_for(post(receiver.port), 5)
    assert (answer.status, answer.error) == (None, "timeout")


async def test_no_redirect_is_followed() -> None:
    async with receiving(saying(OK)) as elsewhere:
        said = f"HTTP/1.1 307 There\r\nlocation: http://127.0.0.1:{elsewhere.port}/\r\n\r\n".encode()
        async with receiving(saying(said)) as receiver:
            assert (await post(receiver.port)).status == 307
        assert elsewhere.requests == []


async def test_what_a_receiver_asks_to_wait_is_heard() -> None:
    async with receiving(saying(b"HTTP/1.1 503 Later\r\nRetry-After: 120\r\n\r\n")) as receiver:
        assert (await post(receiver.port)).retry_after_s == 120
    async with receiving(saying(b"HTTP/1.1 503 Later\r\nRetry-After: Fri, 31 Dec\r\n\r\n")) as receiver:
        assert (await post(receiver.port)).retry_after_s is None


async def test_nobody_there_is_an_answer() -> None:
    async with receiving(saying(OK)) as receiver:
        pass
    assert (await post(receiver.port)).error == "connection_failed"


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo"]
)
async def test_a_name_that_leads_to_a_private_address_by_now_is_not_dialled(address: str) -> None:
    async def rebound(host: str, port: int) -> list[str]:
        return [address]

    async with receiving(saying(OK)) as receiver:
        caller = HttpWebhookCaller(private_allowed=False, resolve=rebound)
        answer = await caller.post(f"http://receiver.example:{receiver.port}/", {}, b"{}")
        assert (answer.status, answer.error) == (None, "address_not_allowed")
        assert receiver.requests == []


async def test_exactly_the_address_that_was_judged_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolved once: a second look-up could lead elsewhere."""
    asked: list[str] = []
    dialled: list[str] = []

    async def once(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["10.0.0.1", "8.8.8.8"]

    async def connect(dialling: socket.socket, address: tuple[str, int]) -> None:
        dialled.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)
    caller = HttpWebhookCaller(private_allowed=False, resolve=once)
    assert (await caller.post("http://receiver.example/", {}, b"{}")).error == "connection_failed"
    assert (asked, dialled) == (["receiver.example"], ["8.8.8.8"])
