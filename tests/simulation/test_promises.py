"""The promises in virtual time: the real use cases, a WhatsApp in memory, crashes wherever they hurt most.

A failing seed is replayed by its number: `pytest tests/simulation -k 'seed and 17'`.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from keepline.domain.lease import EXTREME
from keepline.testing.virtual_time import run_virtual
from tests.simulation.world import World

CHATS = [f"1415555012{n}@s.whatsapp.net" for n in range(3)]
COMMITS_WATCHED_MAX = 60


async def crash_at_commit(number: int, *, after: bool, seed: int) -> tuple[list[str], bool]:
    """Ten messages out and five in; the connector dies before or after its commit `number` and is started again."""
    world = World(Random(seed))
    await world.start()
    world.boot()
    crashed = False

    def crash(commit: int) -> None:
        nonlocal crashed
        if commit == number and not crashed:
            crashed = True
            world.kill()

    if after:
        world.store.after_commit = crash
    else:
        world.store.before_commit = crash
    for n in range(10):
        await world.accept(f"out {n}", CHATS[n % 2])
        if n % 2:
            world.say(f"in {n}", CHATS[2])
        await asyncio.sleep(world.random.uniform(0, 0.5))
    if not crashed:
        # The crash point lies later, or there are fewer commits than that.
        await asyncio.wait([asyncio.create_task(world.until_settled())], timeout=60)
    if crashed:
        world.boot()
    await world.until_settled()
    await world.stop()
    return await world.complaints(), crashed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_commit_loses_nothing_repeats_nothing_and_keeps_the_order(after: bool) -> None:
    crashes = 0
    for number in range(1, COMMITS_WATCHED_MAX):
        complaints, crashed = run_virtual(crash_at_commit(number, after=after, seed=number))
        assert complaints == [], f"crash {'after' if after else 'before'} commit {number}"
        crashes += crashed
    # Fewer would mean that the scenario has become too small to say anything.
    assert crashes >= 20


async def bad_hour(seed: int) -> tuple[list[str], int]:
    """An hour of talk with kills, dropped sockets, lost answers and a Firestore that fails one call in fifty."""
    world = World(Random(seed))
    await world.start()
    world.whatsapp.lose_answer = 0.02
    world.boot()
    loop = asyncio.get_running_loop()
    next_fault_s = world.random.expovariate(1 / 60)
    while loop.time() < 3_600:
        world.store.trouble = 0.02
        await asyncio.sleep(world.random.expovariate(1 / 10))
        if world.random.random() < 0.6:
            await world.accept(f"out {len(world.accepted)}", world.random.choice(CHATS))
        else:
            world.say(f"in {len(world.said)}", world.random.choice(CHATS))
        if loop.time() > next_fault_s:
            next_fault_s = loop.time() + world.random.expovariate(1 / 60)
            if world.random.random() < 0.5:
                world.kill()
                await asyncio.sleep(world.random.uniform(0, 20))
                world.boot()
            else:
                world.drop_socket(back_in_s=world.random.uniform(0, 5))
    world.store.trouble = 0.0
    world.whatsapp.lose_answer = 0.0
    await world.until_settled()
    await world.stop()
    return await world.complaints(), world.faults.total()


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_hour_loses_nothing_repeats_nothing_and_keeps_the_order(seed: int) -> None:
    complaints, faults = run_virtual(bad_hour(seed))
    assert complaints == []
    assert faults >= 20


async def bad_hour_with_standby(seed: int, *, lose_answer: float, absence_s_max: float) -> tuple[list[str], int]:
    """Kills of both connectors and lost answers, while all recipients' phones are off: only the copies tell."""
    world = World(Random(seed), standby=True)
    await world.start()
    world.whatsapp.recipients_are_off = True
    world.whatsapp.lose_answer = lose_answer
    world.boot_all()
    loop = asyncio.get_running_loop()
    next_fault_s = world.random.expovariate(1 / 60)
    while loop.time() < 3_600:
        for process in world.processes.values():
            process.store.trouble = 0.02
        await asyncio.sleep(world.random.expovariate(1 / 8))
        for _ in range(world.random.randrange(1, 4)):
            await world.accept(f"out {len(world.accepted)}", world.random.choice(CHATS))
        if loop.time() > next_fault_s:
            next_fault_s = loop.time() + world.random.expovariate(1 / 60)
            name = world.random.choice(list(world.holders.values()))
            world.kill(name)
            await asyncio.sleep(world.random.uniform(0, absence_s_max))
            world.boot(name)
    for process in world.processes.values():
        process.store.trouble = 0.0
    world.whatsapp.lose_answer = 0.0
    await world.until_settled()
    await world.stop()
    return await world.complaints(), world.faults.total()


@pytest.mark.parametrize("seed", range(2))
def test_with_a_standby_nothing_is_sent_twice_even_when_no_receipt_ever_comes(seed: int) -> None:
    complaints, faults = run_virtual(bad_hour_with_standby(seed, lose_answer=0.05, absence_s_max=EXTREME.ttl_s - 1))
    assert complaints == []
    assert faults >= 20


@pytest.mark.parametrize("seed", range(2))
def test_nor_when_devices_are_taken_over_and_spread_again_all_the_time(seed: int) -> None:
    # No answer is lost here: a witness that is rebuilt before an answer is given up (75 s) cannot tell (docs/limits.md).
    complaints, faults = run_virtual(bad_hour_with_standby(seed, lose_answer=0.0, absence_s_max=20.0))
    assert complaints == []
    assert faults >= 20


def test_a_seed_gives_the_same_hour_again() -> None:
    async def story() -> list[Any]:
        world = World(Random(7))
        await world.start()
        world.boot()
        for n in range(20):
            await world.accept(f"out {n}", world.random.choice(CHATS))
            await asyncio.sleep(world.random.uniform(0, 2))
        await world.until_settled()
        await world.stop()
        return [*world.whatsapp.shown, world.documents.commits]

    assert run_virtual(story()) == run_virtual(story())
