"""A thousand faults, none with two voices; and what single faults of two at once once left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from random import Random

import pytest

from keepline.domain.lease import EXTREME
from keepline.ports.documents import StoreUnavailable, Write
from keepline.testing.virtual_time import run_virtual
from tests.simulation.apart import run_parts
from tests.simulation.failover import FAULTS_PER_WORLD, WORLDS, live
from tests.simulation.ring import Member, Ring

FAULTS_MIN = 1_000
CPU_MAX_S = 150.0
PROCESSES = 2


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Killed processes leave tasks behind that wait for ever, and asyncio says so when they are collected."""
    logging.disable(logging.CRITICAL)
    yield
    gc.collect()
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(600)
async def test_of_a_thousand_faults_none_has_two_voices(capsys: pytest.CaptureFixture[str]) -> None:
    worlds = WORLDS // PROCESSES
    parts = [("--worlds", str(worlds), "--first", str(number * worlds)) for number in range(PROCESSES)]
    with capsys.disabled():
        total, kinds, told = await run_parts("failover", parts)
    assert total["complaints"] == 0, f"{told}\nOne world again: python -m tests.simulation.failover --seed N"
    broken = ("two_voices", "lost", "twice", "out_of_order", "stale_settles", "reused_keys", "unheard")
    assert {name: total[name] for name in broken} == dict.fromkeys(broken, 0)
    assert total["faults"] >= FAULTS_MIN
    assert total["cpu_s"] <= CPU_MAX_S
    # A kind that never strikes defends nothing, and where the right to send never moves nobody could speak out of turn.
    assert len(kinds) >= 15
    assert all(kinds[kind] >= FAULTS_MIN / 40 for kind in kinds)
    assert total["handed_over"] >= FAULTS_MIN / 2


def test_a_seed_lives_its_world_again() -> None:
    first, second = live(2, 8), live(2, 8)
    assert first == second
    assert (first.complaints, first.faults.total()) == ([], 8)
    assert FAULTS_PER_WORLD * WORLDS >= FAULTS_MIN


# What the ring has found. Each failed before it was mended.


def told(story: Callable[[Ring], Awaitable[None]]) -> None:
    async def main() -> None:
        ring = Ring(Random(1), EXTREME)
        await ring.start()
        await until(lambda: not ring.unrest())
        await story(ring)
        await ring.stop()
        assert ring.verdict().complaints == []

    run_virtual(main())


async def until(condition: Callable[[], bool], limit_s: float = 120.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - virtual time, and nobody to tell us
            await asyncio.sleep(0.1)


def test_a_process_whose_name_was_taken_while_it_was_stopped_ends_and_leaves_its_successor_alone() -> None:
    async def story(ring: Ring) -> None:
        earlier = ring.processes["east-1"]
        earlier.stop()
        later = ring.boot("east-1")
        await until(lambda: not ring.unrest())
        await asyncio.sleep(2 * EXTREME.ttl_s)
        earlier.go_on()
        assert earlier.task is not None
        assert later.task is not None
        await until(earlier.task.done)
        await asyncio.sleep(2 * EXTREME.ttl_s)
        assert not later.task.done()
        # Nor is its last word on a state the one that stays.
        assert ring.unrest(receipts=False) == ""

    told(story)


def test_a_device_that_was_given_away_without_an_answer_is_not_started_again() -> None:
    async def story(ring: Ring) -> None:
        def links(of: Member) -> int:
            return sum(process is of for number in ring.numbers.values() for process, _ in number.speakers.values())

        ring.processes["west-1"].kill()
        await asyncio.sleep(60)
        ring.boot("west-1")
        lost: list[tuple[Member, int]] = []

        def lose(giver: Member) -> None:
            lost.append((giver, links(giver)))

        for process in ring.living:
            _lose_answers_to_giving(process, partial(lose, process))
        await until(lambda: bool(lost))
        giver, before = lost[0]
        await asyncio.sleep(5)
        assert links(giver) == before

    told(story)


def _lose_answers_to_giving(process: Member, lost: Callable[[], None]) -> None:
    """Whenever it gives a device to another connector it does not hear that this was done."""
    honest = process.store.on_applied
    given: list[Write] = []

    def note(writes: Sequence[Write]) -> None:
        honest(writes)
        given.extend(w for w in writes if getattr(w, "fields", {}).get("connector", "") not in ("", process.name))

    def lose_answer(_: int) -> None:
        if given:
            given.clear()
            lost()
            raise StoreUnavailable("in the test")

    process.store.on_applied, process.store.after_commit = note, lose_answer
