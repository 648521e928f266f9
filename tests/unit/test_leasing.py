"""The keeper of a lease, in virtual time: what it renews for, what it writes, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from keepline.domain.lease import EXTREME
from keepline.ports.documents import Document, Version, Write
from keepline.records import connectors
from keepline.records.connectors import Beater, ConnectorBeat, DeviceBeat
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.usecases.leasing import LeaseKeeper, LeaseLost

DEVICE = DeviceBeat("frame", 100, 0, None)


class Kept:
    """A keeper and what became of it."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.documents = MemoryDocuments(self.clock)
        self.deadline_s = 0.0
        beater = Beater("connector-1", "here", "process-1", EXTREME.ttl_s, 200, self.clock.now())
        self.slow_s = 0.0
        commit = self.documents.commit

        async def slowly(writes: Sequence[Write]) -> list[Version]:
            await asyncio.sleep(self.slow_s)
            return await commit(writes)

        self.documents.commit = slowly  # type: ignore[method-assign]
        self.keeper = LeaseKeeper(self.documents, self.clock, beater, EXTREME, self._renewed)

    async def beat(self) -> ConnectorBeat:
        document = await self.documents.get(connectors.connector_path("connector-1"))
        assert document is not None
        return ConnectorBeat.read(document)

    async def live(self, seconds: float) -> None:
        """Show signs of life for so long."""
        until_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until_s:
            self.keeper.alive({"a": DEVICE})
            await asyncio.sleep(EXTREME.sign_of_life_s)

    def _renewed(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s


def story(tell: Callable[[Kept], Awaitable[None]]) -> None:
    async def told() -> None:
        kept = Kept()
        kept.keeper.alive({"a": DEVICE})
        await kept.keeper.acquire()
        await tell(kept)

    run_virtual(told())


def test_a_lease_is_renewed_from_when_it_is_acquired() -> None:
    async def tell(kept: Kept) -> None:
        await kept.live(20)
        assert (await kept.beat()).beat >= 19
        assert kept.deadline_s > kept.clock.monotonic_s()

    story(tell)


def test_a_connector_that_hangs_loses_its_lease_and_one_that_is_late_does_not() -> None:
    async def tell(kept: Kept) -> None:
        await kept.live(10)
        await asyncio.sleep(5.4)
        await kept.live(2)
        assert kept.deadline_s > kept.clock.monotonic_s()
        hung_at_s = kept.clock.monotonic_s()
        with pytest.raises(ExceptionGroup) as lost:
            await kept.keeper.until_lost()
        assert lost.value.subgroup(LeaseLost) is not None
        assert EXTREME.sign_of_life_max_s < kept.clock.monotonic_s() - hung_at_s
        assert kept.clock.monotonic_s() - hung_at_s < EXTREME.sign_of_life_max_s + EXTREME.ttl_s
        assert kept.deadline_s <= kept.clock.monotonic_s()

    story(tell)


def test_a_connector_that_hangs_does_not_acquire_anew_before_it_works_again() -> None:
    async def tell(kept: Kept) -> None:
        with pytest.raises(ExceptionGroup):
            await kept.keeper.until_lost()
        beat = (await kept.beat()).beat
        acquiring = asyncio.create_task(kept.keeper.acquire())
        await asyncio.sleep(30)
        assert (await kept.beat()).beat == beat
        assert not acquiring.done()
        kept.keeper.alive({})
        await acquiring
        assert kept.deadline_s > kept.clock.monotonic_s()
        kept.keeper.stop()

    story(tell)


def test_a_slow_firestore_does_not_make_the_heartbeat_slower() -> None:
    async def tell(kept: Kept) -> None:
        before = (await kept.beat()).beat
        kept.slow_s = 0.8 * EXTREME.heartbeat_s
        await kept.live(10)
        assert (await kept.beat()).beat - before >= 9

    story(tell)


def test_what_is_told_of_a_device_does_not_look_newer_than_it_is() -> None:
    async def tell(kept: Kept) -> None:
        kept.keeper.alive({"a": DEVICE})
        told_at_s = kept.clock.monotonic_s()
        await asyncio.sleep(4.2)
        beat = await kept.beat()
        written_s = (beat.at - kept.clock.now()).total_seconds() + kept.clock.monotonic_s()
        assert beat.devices["a"].evidence_age_ms == pytest.approx(100 + (written_s - told_at_s) * 1000, abs=20)

    story(tell)


def test_a_lease_is_given_back_also_when_a_beat_of_its_own_came_between() -> None:
    async def tell(kept: Kept) -> None:
        await kept.live(3.2)
        # An earlier renewal that nobody waited for any more is applied late.
        found: Document | None = await kept.documents.get(connectors.connector_path("connector-1"))
        assert found is not None
        beater = Beater("connector-1", "here", "process-1", EXTREME.ttl_s, 200, kept.clock.now())
        await kept.documents.commit([beater.write_beat(99, {}, stopping=False, version=found.version)])
        await kept.keeper.give_back()
        assert (await kept.beat()).stopping

    story(tell)


def test_a_lease_that_another_process_has_is_not_given_back_for_it() -> None:
    async def tell(kept: Kept) -> None:
        found = await kept.documents.get(connectors.connector_path("connector-1"))
        assert found is not None
        other = Beater("connector-1", "here", "process-2", EXTREME.ttl_s, 200, kept.clock.now())
        await kept.documents.commit([other.write_beat(1, {}, stopping=False, version=found.version)])
        await kept.keeper.give_back()
        assert not (await kept.beat()).stopping

    story(tell)
