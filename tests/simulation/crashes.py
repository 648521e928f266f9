"""A crash at every await: a scenario is lived once to count where its process waits, and once more for each, to die there.

Each suspension of each task of the process counts, wherever its innermost await is. What the process has done by then is done;
what it would do after it is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random
from types import CodeType
from typing import Any

from keepline.records.accounts import FIRST_SLOT
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp import READ_MAX_S
from tests.simulation.verdict import Verdict
from tests.simulation.world import World

RECOVERY_LIMIT_S = 3_000.0
_OURS = ("/keepline/usecases/",)


@dataclass
class Awaits:
    """Where the tasks that are started under it wait, from `arm` on; and the death of their process at one of these places."""

    crash_at: int | None = None
    kill: Callable[[], None] = lambda: None
    armed: bool = False
    places: list[str] = field(default_factory=list)
    crashed: asyncio.Event = field(default_factory=asyncio.Event)

    def arm(self) -> None:
        self.armed = True

    def suspended(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        if not self.armed or self.crashed.is_set():
            return
        self.places.append(_place(coroutine))
        if len(self.places) == self.crash_at:
            self.crashed.set()
            self.kill()


_awaits: ContextVar[Awaits | None] = ContextVar("awaits", default=None)


class _Watched(Coroutine[Any, Any, Any]):
    """A task's coroutine that tells each time it waits for something."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], awaits: Awaits) -> None:
        self._coroutine = coroutine
        self._awaits = awaits

    def send(self, value: Any) -> Any:
        waited_for = self._coroutine.send(value)
        self._awaits.suspended(self._coroutine)
        return waited_for

    def throw(self, *error: Any) -> Any:
        waited_for = self._coroutine.throw(*error)
        self._awaits.suspended(self._coroutine)
        return waited_for

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


def _task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    awaits = _awaits.get()
    return asyncio.Task(coroutine if awaits is None else _Watched(coroutine, awaits), loop=loop, **options)


def _place(coroutine: Any) -> str:
    """The line of the use cases that waits: the innermost, so that each step of theirs is one place."""
    place = "elsewhere"
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            break
        code: CodeType = frame.f_code
        if any(folder in code.co_filename for folder in _OURS):
            place = f"{code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {code.co_name}"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return place


@dataclass(frozen=True)
class Scenario:
    """`prepare` brings the world to where it begins and returns the name of the process that is to die, not started yet if it
    is to die while it starts; `live` is what happens from then on."""

    name: str
    prepare: Callable[[World], Awaitable[None]]
    live: Callable[[World, Awaits, Callable[[], None]], Awaitable[None]]


async def _crash(scenario: Scenario, standby: bool, crash_at: int | None, disk_lost: bool) -> tuple[Verdict, Awaits]:
    asyncio.get_running_loop().set_task_factory(_task)
    world = World(Random(1), standby=standby, bare=True)
    await world.start()
    # With a standby nothing but the copies may tell; without one, receipts do.
    world.whatsapp.recipients_are_off = standby
    await scenario.prepare(world)
    awaits = Awaits(crash_at)
    awaits.kill = lambda: (world.lose_disk if disk_lost else world.kill)(_dying(world))

    def boot() -> None:
        token = _awaits.set(awaits)
        world.boot(_dying(world))
        _awaits.reset(token)

    await scenario.live(world, awaits, boot)
    if crash_at is None:
        await world.until_settled(RECOVERY_LIMIT_S)
    else:
        async with asyncio.timeout(RECOVERY_LIMIT_S):
            await awaits.crashed.wait()
        await asyncio.sleep(world.random.uniform(0, 1))
        world.boot(_dying(world))
    awaits.armed = False
    await world.until_settled(RECOVERY_LIMIT_S)
    await asyncio.sleep(READ_MAX_S)
    await world.stop()
    return world.verdict(), awaits


def places_of(scenario: Scenario, *, standby: bool) -> list[str]:
    """Where the process waits in a scenario that nothing disturbs, in order."""
    verdict, awaits = run_virtual(_crash(scenario, standby, None, disk_lost=False))
    assert verdict.complaints == []
    return awaits.places


def verdict_of_crash(scenario: Scenario, number: int, *, standby: bool, disk_lost: bool) -> Verdict:
    """Die at the `number`-th await (from 1 on), and start again."""
    try:
        return run_virtual(_crash(scenario, standby, number, disk_lost))[0]
    except TimeoutError:
        return Verdict(complaints=["it never came to rest"])


# The scenarios


CHATS = [f"1415555012{n}@s.whatsapp.net" for n in range(3)]


def _dying(world: World) -> str:
    """The machine of the process that dies: that of the first device."""
    return world.holders[FIRST_SLOT]


async def _nothing(world: World) -> None:
    """The world as it begins."""


async def _join(world: World) -> None:
    """The first device is connected and sends; now the other one comes, which so does not."""
    await asyncio.sleep(5)
    for name in world.holders.values():
        if name != _dying(world):
            world.boot(name)
            await asyncio.sleep(5)


async def _talk(world: World) -> None:
    for n, chat in enumerate((CHATS[0], CHATS[0], CHATS[1])):
        await world.accept(f"out {n}", chat)


async def _send(world: World, awaits: Awaits, boot: Callable[[], None]) -> None:
    """Three messages in two chats are claimed and handed over."""
    boot()
    await _join(world)
    awaits.arm()
    await _talk(world)


async def _settle(world: World, awaits: Awaits, boot: Callable[[], None]) -> None:
    """WhatsApp has taken them; the answers and the receipts are on their way."""
    boot()
    await _join(world)
    await _talk(world)
    while len(world.whatsapp.shown) < 2:  # noqa: ASYNC110 - virtual time, and nobody to tell us
        await asyncio.sleep(0.01)
    awaits.arm()


async def _inbound(world: World, awaits: Awaits, boot: Callable[[], None]) -> None:
    """Messages come in, the last one twice."""
    boot()
    await _join(world)
    awaits.arm()
    for n in range(3):
        world.whatsapp.deliver_twice = 1.0 if n == 2 else 0.0
        world.say(f"in {n}", CHATS[n % 2])
        await asyncio.sleep(0.1)


async def _interrupted(world: World) -> None:
    """The sending process has died in the middle of three messages, some of which have left."""
    world.boot(_dying(world))
    await _join(world)
    await _talk(world)
    while not world.whatsapp.shown:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def _interrupted_by_fire(world: World) -> None:
    await _interrupted(world)
    world.lose_disk(_dying(world))


async def _start(world: World, awaits: Awaits, boot: Callable[[], None]) -> None:
    """A process starts and has to find out what its predecessor left behind."""
    awaits.arm()
    boot()


async def _take_over(world: World, awaits: Awaits, boot: Callable[[], None]) -> None:
    """Another machine is given the device while the earlier one is still at it, and hears of it only much later."""
    awaits.arm()
    token = _awaits.set(awaits)
    earlier = await world.take_over()
    _awaits.reset(token)
    asyncio.get_running_loop().call_later(60, world.processes[earlier].kill)


SCENARIOS = (
    Scenario("send", _nothing, _send),
    Scenario("settle", _nothing, _settle),
    Scenario("inbound", _nothing, _inbound),
    Scenario("restore", _interrupted_by_fire, _start),
    Scenario("takeover", _interrupted, _take_over),
)
