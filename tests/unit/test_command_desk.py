"""The device's side of commands: carried out in order, by the device that sends, in time or not at all, and answered once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from keepline.domain.commands import Command, CommandOutcome, ShowTyping, Typing
from keepline.ports.documents import Query, StoreConflict, StoreUnavailable
from keepline.records import commands
from keepline.records.commands import Order
from keepline.testing.documents import MemoryDocuments
from keepline.usecases.commanding import CommandDesk, by_account

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNT = "demo_s1"


class StandingClock:
    def now(self) -> datetime:
        return NOW

    def monotonic_s(self) -> float:
        return 0.0


class Link:
    """Remembers what it was asked to do; the outcome is the test's."""

    def __init__(self) -> None:
        self.done: list[Command] = []
        self.outcome = CommandOutcome(result={"n": 1})

    async def carry_out(self, command: Command) -> CommandOutcome:
        self.done.append(command)
        return self.outcome


class Device:
    def __init__(self) -> None:
        self.store = MemoryDocuments(StandingClock())
        self.link = Link()
        self.speaks = True
        link: Any = self.link
        self.desk = CommandDesk(self.store, StandingClock(), link, "a", lambda: self.speaks)

    async def ask(self, name: str, state: Typing = Typing.COMPOSING, *, late: bool = False) -> None:
        expires_at = NOW + timedelta(seconds=0 if late else 10)
        command = ShowTyping("1@s.whatsapp.net", state)
        await self.store.commit([commands.new_command(name, "demo", ACCOUNT, command, expires_at)])

    async def tell(self) -> None:
        """What the watch brings."""
        found = await self.store.query(commands.open_commands((ACCOUNT,)))
        self.desk.ordered(by_account(found, [ACCOUNT])[ACCOUNT])

    async def order(self, name: str) -> Order:
        document = await self.store.get(commands.command_path(name))
        assert document is not None
        return Order.read(document)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.desk.run())
        yield
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def until(self, reached: Callable[[], bool]) -> None:
        """Each turn of the loop is a chance for the desk; hundreds are more than it needs."""
        for _ in range(500):
            if reached():
                return
            await asyncio.sleep(0)
        raise AssertionError("waited in vain")

    def open(self) -> int:
        return len(self.store.run_query(Query(commands.COMMANDS, commands.open_commands((ACCOUNT,)).where, limit=9)))


async def test_commands_are_carried_out_in_their_order_and_answered() -> None:
    device = Device()
    await device.ask("c_2", Typing.COMPOSING)
    await device.ask("c_1", Typing.PAUSED)
    async with device.running():
        await device.tell()
        await device.until(lambda: device.open() == 0)
    assert device.link.done == [ShowTyping("1@s.whatsapp.net", state) for state in (Typing.COMPOSING, Typing.PAUSED)]
    order = await device.order("c_1")
    assert order.outcome == CommandOutcome(None, {"n": 1})


async def test_a_command_that_is_late_is_left_alone() -> None:
    device = Device()
    await device.ask("c_late", late=True)
    await device.ask("c_next")
    async with device.running():
        await device.tell()
        await device.until(lambda: device.open() == 1)
    assert (await device.order("c_late")).outcome is None
    assert len(device.link.done) == 1


async def test_only_the_device_that_sends_carries_commands_out() -> None:
    device = Device()
    device.speaks = False
    await device.ask("c_1")
    async with device.running():
        await device.tell()
        for _ in range(50):
            await asyncio.sleep(0)
        assert device.link.done == []
        device.speaks = True
        async with asyncio.timeout(5):
            while device.open():  # noqa: ASYNC110 - it looks by itself, after a moment
                await asyncio.sleep(0.01)
    assert len(device.link.done) == 1


async def test_a_command_of_a_newer_api_is_refused_by_name() -> None:
    device = Device()
    await device.ask("c_1")
    document = await device.store.get("commands/c_1")
    assert document is not None
    order = Order.read(document)
    newer = Order(**{**vars(order), "kind": "read_minds"})
    async with device.running():
        device.desk.ordered([newer])
        await device.until(lambda: device.open() == 0)
    assert (await device.order("c_1")).outcome == CommandOutcome("unsupported_command")
    assert device.link.done == []


async def test_what_is_being_carried_out_is_not_begun_again_by_the_next_command() -> None:
    device = Device()
    await device.ask("c_1")
    honest = device.link.carry_out

    async def slow(command: Command) -> CommandOutcome:
        if not device.link.done:
            await device.ask("c_2", Typing.PAUSED)
            await device.tell()
        return await honest(command)

    device.link.carry_out = slow  # type: ignore[method-assign]
    async with device.running():
        await device.tell()
        await device.until(lambda: device.open() == 0)
    assert [command.state for command in device.link.done] == [Typing.COMPOSING, Typing.PAUSED]  # type: ignore[union-attr]


async def test_an_answer_is_written_although_the_store_was_away_and_one_that_nobody_wants_is_let_go() -> None:
    device = Device()
    for name in ("c_1", "c_2", "c_3"):
        await device.ask(name)
    honest, troubles = device.store.commit, [StoreConflict("gone"), StoreUnavailable("away")]

    async def commit(writes: Any) -> Any:
        if troubles:
            raise troubles.pop(0)
        return await honest(writes)

    device.store.commit = commit  # type: ignore[method-assign]
    async with device.running():
        await device.tell()
        async with asyncio.timeout(5):
            while device.open() > 1:  # noqa: ASYNC110 - it tries again by itself, after a moment
                await asyncio.sleep(0.01)
    assert len(device.link.done) == 3
    assert (await device.order("c_1")).outcome is None
