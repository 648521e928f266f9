"""A person asks for a connection: a running connector tries now, where its own next try would be later or none."""

from __future__ import annotations

import asyncio

from keepline.domain.link_events import Banned, LinkFailed, QualityChanged, Replaced
from keepline.domain.reconnect import Breaker
from keepline.records import accounts
from keepline.records.accounts import FIRST_SLOT, Device
from keepline.usecases.asking_to_reconnect import ReconnectRequests
from keepline.usecases.limiting import Limiter
from tests.simulation.processes import ACCOUNT
from tests.simulation.test_settings_following import SettingsWorld, tell

# The listener brings the request, and a login takes a moment.
SOON_S = 3.0


async def ask(world: SettingsWorld) -> None:
    await ReconnectRequests(world.documents, Limiter(world.documents, world.outside.clock)).ask("demo", "s1")


async def device(world: SettingsWorld) -> Device:
    document = await world.documents.get(accounts.device_path(ACCOUNT, FIRST_SLOT))
    assert document is not None
    return Device.read(document)


async def give_up_fast_tries(world: SettingsWorld) -> None:
    """WhatsApp is away until the breaker is open, and a try has just failed."""
    world.whatsapp.is_away = True
    world.link().lose_socket(LinkFailed("unreachable"))

    async def is_open() -> bool:
        return (await device(world)).life.breaker is Breaker.OPEN

    await world.until(is_open)


def test_a_session_whose_breaker_is_open_tries_at_once_when_it_is_asked_to() -> None:
    async def story(world: SettingsWorld) -> list[float]:
        world.boot()
        took_s = []
        for _ in range(4):  # By itself it would try 12 to 24 s later.
            await world.until_code("connected")
            await asyncio.sleep(60)
            await give_up_fast_tries(world)
            world.whatsapp.is_away = False
            began_s = world.outside.clock.monotonic_s()
            await ask(world)
            await world.until_code("connected")
            took_s.append(world.outside.clock.monotonic_s() - began_s)
        return took_s

    assert max(tell(story)) < SOON_S


def test_a_session_that_another_program_had_taken_comes_back_when_it_is_asked_to() -> None:
    async def story(world: SettingsWorld) -> None:
        world.boot()
        await world.until_code("connected")
        await asyncio.sleep(60)
        world.link().lose_socket(Replaced())
        await world.until(lambda: world.connections == 2)
        world.link().lose_socket(Replaced())
        await world.until_code("replaced")
        await asyncio.sleep(600)
        assert world.connections == 2
        await ask(world)
        await world.until_code("connected")

    tell(story)


def test_a_connection_that_works_is_left_alone() -> None:
    async def story(world: SettingsWorld) -> int:
        world.boot()
        await world.until_code("connected")
        await asyncio.sleep(60)
        await ask(world)
        await asyncio.sleep(60)
        return world.connections

    assert tell(story) == 1


def test_a_connection_that_works_badly_is_made_anew() -> None:
    async def story(world: SettingsWorld) -> int:
        world.boot()
        await world.until_code("connected")
        await asyncio.sleep(60)
        world.link().tell(QualityChanged(True, 40, "slow_acks"))
        await world.until_code("poor_connection")
        await asyncio.sleep(60)
        before = world.connections
        await ask(world)
        await world.until_code("connected")
        return world.connections - before

    assert tell(story) == 1


def test_a_ban_is_obeyed_whoever_asks() -> None:
    async def story(world: SettingsWorld) -> None:
        world.boot()
        await world.until_code("connected")
        await asyncio.sleep(60)
        world.link().lose_socket(Banned(101, 900))
        await world.until_code("banned")
        before = world.connections
        await ask(world)
        await asyncio.sleep(800)
        assert (await world.code(), world.connections) == ("banned", before)
        await asyncio.sleep(200)
        assert await world.code() == "connected"

    tell(story)
