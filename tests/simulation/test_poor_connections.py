"""A connection that works badly: another device sends first, then it is made anew; and nothing flaps, is lost or comes twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from keepline.domain.link_events import Connected, QualityChanged
from keepline.domain.link_quality import LEAVE_AGAIN_AFTER_S
from keepline.records import accounts
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT, Device
from keepline.testing.virtual_time import run_virtual
from tests.simulation.processes import ACCOUNT
from tests.simulation.world import FIRST, SECOND, World

LIMIT_S = 60.0
POOR = QualityChanged(True, 41, "slow_acks")
GOOD = QualityChanged(False, 100, "")
CHATS = [f"1415555012{n}@s.whatsapp.net" for n in range(4)]


async def until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - virtual time, and nobody to tell us
            await asyncio.sleep(0.1)


async def device(world: World, slot: str) -> Device:
    document = await world.documents.get(accounts.device_path(ACCOUNT, slot))
    assert document is not None
    return Device.read(document)


async def sending(world: World) -> None:
    """A message every 3 s, to several people."""
    number = 0
    while True:
        await world.accept(f"text {number}", CHATS[number % len(CHATS)])
        number += 1
        await asyncio.sleep(3)


async def told(story: Callable[[World], Awaitable[None]], seed: int, *, standby: bool) -> None:
    """A story of a linked account that sends all the time, and what must hold after it."""
    world = World(Random(seed), standby=standby, bare=True)
    await world.start()
    world.boot(FIRST)
    await asyncio.sleep(5)
    if standby:
        world.boot(SECOND)
        await asyncio.sleep(5)
    load = asyncio.create_task(sending(world))
    await asyncio.sleep(5)
    await story(world)
    load.cancel()
    await world.until_settled()
    assert await world.complaints() == []
    await world.stop()


def every_connection_is_poor(world: World, name: str) -> None:
    """Each becomes poor 3 s after its login, and stays so."""
    link = world.processes[name].links[-1]
    honest = link.tell

    def tell(event: object) -> None:
        honest(event)  # type: ignore[arg-type]
        if isinstance(event, Connected):
            asyncio.get_running_loop().call_later(3.0, honest, POOR)

    link.tell = tell  # type: ignore[method-assign]
    honest(POOR)


@pytest.mark.parametrize("seed", range(5))
def test_a_poor_connection_passes_the_sending_on_and_is_made_anew(seed: int) -> None:
    async def story(world: World) -> None:
        link = world.processes[FIRST].links[-1]
        before = link._socket
        every_connection_is_poor(world, FIRST)
        await until(lambda: world.voice == SECOND_SLOT, 15)
        await until(lambda: link._socket == before + 1)
        await asyncio.sleep(2)
        assert [(await device(world, slot)).state for slot in (FIRST_SLOT, SECOND_SLOT)] == ["connected"] * 2
        await asyncio.sleep(LEAVE_AGAIN_AFTER_S - 20)
        assert (world.voice, link._socket) == (SECOND_SLOT, before + 1)

    run_virtual(told(story, seed, standby=True))


def test_two_poor_connections_do_not_pass_the_sending_to_and_fro() -> None:
    async def story(world: World) -> None:
        voices = [world.voice]
        links = [world.processes[name].links[-1] for name in (FIRST, SECOND)]
        logins = sum(link._socket for link in links)
        for name in (FIRST, SECOND):
            every_connection_is_poor(world, name)
        for _ in range(int(2 * LEAVE_AGAIN_AFTER_S)):
            await asyncio.sleep(1)
            if world.voice != voices[-1]:
                voices.append(world.voice)
        # For each device once at the beginning, and once each time the limit allows it.
        assert 1 <= len(voices) - 1 <= 2 * 3
        assert sum(link._socket for link in links) - logins <= 2 * 3

    run_virtual(told(story, 1, standby=True))


def test_a_poor_connection_is_better_than_none() -> None:
    """The standby's is poor as well when the sending device loses its own."""

    async def story(world: World) -> None:
        links = {name: world.processes[name].links[-1] for name in (FIRST, SECOND)}
        links[SECOND].tell(POOR)  # It is made anew, and as bad as before.
        await asyncio.sleep(5)
        links[SECOND].tell(POOR)
        await asyncio.sleep(2)
        assert (await device(world, SECOND_SLOT)).status.code == "poor_connection"
        before = links[FIRST]._socket
        links[FIRST].tell(POOR)
        await asyncio.sleep(30)
        assert (world.voice, links[FIRST]._socket) == (FIRST_SLOT, before), "there is no better one"
        links[FIRST].drop()
        await until(lambda: world.voice == SECOND_SLOT, 5)

    run_virtual(told(story, 1, standby=True))


def test_without_another_device_a_poor_connection_is_said_and_kept() -> None:
    async def story(world: World) -> None:
        link = world.processes[FIRST].links[-1]
        before = link._socket
        link.tell(POOR)
        await asyncio.sleep(2 * LEAVE_AGAIN_AFTER_S)
        assert link._socket == before
        status = (await device(world, FIRST_SLOT)).status
        assert (status.state, status.code) == ("degraded", "poor_connection")
        shown = len(world.whatsapp.shown)
        await asyncio.sleep(5)
        assert len(world.whatsapp.shown) > shown
        link.tell(GOOD)
        await asyncio.sleep(2)
        assert (await device(world, FIRST_SLOT)).state == "connected"

    run_virtual(told(story, 1, standby=False))


def test_a_poor_connection_of_the_standby_is_made_anew_once() -> None:
    async def story(world: World) -> None:
        link = world.processes[SECOND].links[-1]
        before = link._socket
        every_connection_is_poor(world, SECOND)
        await asyncio.sleep(LEAVE_AGAIN_AFTER_S - 10)
        assert link._socket == before + 1
        assert world.voice == FIRST_SLOT
        await asyncio.sleep(20)
        assert link._socket == before + 2

    run_virtual(told(story, 1, standby=True))
