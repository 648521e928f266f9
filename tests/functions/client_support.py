"""The Python client on the real API in memory: with faults on the way, without real pauses, and both halves by one name."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from keepline.domain.commands import command_from_map
from keepline.ports.documents import Query, Where
from keepline.records import commands
from keepline.records.commands import Order
from keepline.testing.groups import FakeGroups
from keepline_client import AsyncKeepline, Keepline, _waiting
from keepline_client._async import events, messages, sessions, transport
from keepline_client._sync import events as sync_events
from keepline_client._sync import messages as sync_messages
from keepline_client._sync import sessions as sync_sessions
from keepline_client._sync import transport as sync_transport

from .support import World
from .test_groups import BEA, CAROL, DAN, OWN

URL = "http://keepline.test"
HALVES = ["sync", "async"]

Fault = httpx.Response | Exception


class Wire(httpx.BaseTransport):
    """The way to the app. Faults come before it, one for each request; answers can get lost on the way back."""

    def __init__(self, world: World) -> None:
        self._app = httpx.WSGITransport(app=world.process.app)
        self.requests: list[httpx.Request] = []
        self.faults: list[Fault] = []
        self.answers_to_lose = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        answer = self._app.handle_request(request)
        answer.read()
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise httpx.ReadError("cut off")
        return answer


class AsyncWire(httpx.AsyncBaseTransport):
    """The same for who awaits."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        answer = self._wire.handle_request(
            httpx.Request(request.method, request.url, headers=request.headers, content=content)
        )
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.read())


class Blocking:
    """What has to be awaited, asked without: so that each test is written once for both halves."""

    def __init__(self, target: Any, runner: asyncio.Runner) -> None:
        self._target = target
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if inspect.iscoroutinefunction(found):
            return lambda *given, **named: self._runner.run(found(*given, **named))
        if inspect.isasyncgenfunction(found):
            return lambda *given, **named: self._each(found(*given, **named))
        return Blocking(found, self._runner)

    def __repr__(self) -> str:
        return repr(self._target)

    def _each(self, found: Any) -> Iterator[Any]:
        end = object()

        async def step() -> Any:
            return await anext(found, end)

        while (one := self._runner.run(step())) is not end:
            yield one


@contextmanager
def client(half: str, url: str, api_key: str, wire: Wire | None = None, **options: Any) -> Iterator[Any]:
    """A client of this half, on a wire or on the network."""
    if half == "sync":
        with Keepline(url, api_key, transport=wire, **options) as keepline:
            yield keepline
        return
    with asyncio.Runner() as runner:
        keepline = Blocking(
            AsyncKeepline(url, api_key, transport=AsyncWire(wire) if wire is not None else None, **options), runner
        )
        try:
            yield keepline
        finally:
            keepline.close()


class Device:
    """The device of the session `shop`, which does what it is asked while this is open; and the people it knows."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.whatsapp = FakeGroups(OWN)
        for phone in (BEA, CAROL, DAN):
            self.whatsapp.add_person(phone)
        self.whatsapp.people[DAN].asks_first = True
        self.whatsapp.people[BEA].picture = "https://pps.whatsapp.net/1"

    def __enter__(self) -> Device:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _work(self) -> None:
        waiting = Query(commands.COMMANDS, (Where("state", "==", "waiting"),), limit=10)
        while not self._is_over.wait(0.005):
            for document in self._world.run(self._world.store.query(waiting)):
                order = Order.read(document)
                outcome = self.whatsapp.carry_out(command_from_map(order.kind, order.arguments))
                self._world.run(self._world.store.others_commit(commands.answer(order, "a", outcome)))


class Pauses:
    """Time that passes only where the client waits, and what happens meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        self.meanwhile: list[Callable[[], object]] = []
        for module in (events, messages, sessions, transport):
            monkeypatch.setattr(module, "pause", self._pause_awaited)
        for sync_module in (sync_events, sync_messages, sync_sessions, sync_transport):
            monkeypatch.setattr(sync_module, "pause", self._pause)
        monkeypatch.setattr(_waiting, "time", self)

    def monotonic(self) -> float:
        return sum(self.seconds)

    def _pause(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()

    async def _pause_awaited(self, seconds: float) -> None:
        self._pause(seconds)
