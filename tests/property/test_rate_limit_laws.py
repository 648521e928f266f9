"""Limits: never above burst + rate x t, over any schedule and any number of instances; and never less than that allows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from keepline.domain.errors import Unavailable
from keepline.domain.rate_limits import Limit
from keepline.ports.documents import Create, Query, StoreConflict
from keepline.testing.documents import MemoryDocuments
from keepline.usecases.limiting import Limiter, RateLimited

limits = st.builds(
    Limit,
    name=st.just("messages"),
    count=st.integers(1, 6_000),
    period_s=st.sampled_from([1.0, 60.0, 300.0]),
    burst=st.integers(1, 120),
)
# Which instance, how long after the one before, and how many at the same instant.
schedules = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.001, 0.1, 1.0, 7.0, 400.0]), st.integers(1, 12)), max_size=25
)


class ManualClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self._at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._at

    def monotonic_s(self) -> float:
        return self._at.timestamp()

    def advance(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)


class Instances:
    """Function instances on one database; each knows only what it wrote or read itself."""

    def __init__(self, limit: Limit, count: int = 4) -> None:
        self.clock = ManualClock()
        self.store = MemoryDocuments(self.clock)
        self.limit = limit
        self.limiters = [Limiter(self.store, self.clock) for _ in range(count)]
        self.allowed: list[float] = []
        self.waits: list[float] = []
        self.written = 0

    async def use(self, instance: int) -> bool:
        self.written += 1
        try:
            await self.limiters[instance].commit("anna", self.limit, [Create(f"outbox/{self.written}", {})])
        except RateLimited as refused:
            self.waits.append(refused.charged.verdict.retry_after_s)
            return False
        except (Unavailable, StoreConflict):
            return False  # The others were always faster.
        self.allowed.append(self.clock.monotonic_s())
        return True


def most_within(times: list[float], span_s: float) -> int:
    return max((sum(start <= at <= start + span_s for at in times) for start in times), default=0)


@settings(max_examples=150, deadline=None)
@given(limits, schedules)
def test_a_limit_holds_over_any_schedule_and_any_number_of_instances(
    limit: Limit, schedule: list[tuple[int, float, int]]
) -> None:
    async def run() -> Instances:
        world = Instances(limit)
        for instance, later_s, at_once in schedule:
            world.clock.advance(later_s)
            await asyncio.gather(*(world.use((instance + n) % 4) for n in range(at_once)))
        return world

    world = asyncio.run(run())
    for span_s in (0.0, 0.1, 1.0, 60.0, 1_000.0):
        assert most_within(world.allowed, span_s) <= limit.burst + span_s / limit.interval_s + 0.05
    # Each use that was allowed is in the database, with what it guards; and nothing else is.
    assert len(world.store.run_query(Query("outbox", limit=10_000))) == len(world.allowed)


@settings(max_examples=100, deadline=None)
@given(limits, st.integers(0, 2**32))
def test_who_keeps_to_the_limit_is_never_refused(limit: Limit, seed: int) -> None:
    async def run() -> None:
        world, random = Instances(limit, 1), Random(seed)
        for _ in range(limit.burst):
            assert await world.use(0)
        # Shards that were used up together are whole again together: in the worst case one waits a round of them, once.
        world.clock.advance(limit.interval_s * limit.shards)
        for _ in range(30):
            world.clock.advance(limit.interval_s * (1 + random.random()) + 2e-5)
            assert await world.use(0)

    asyncio.run(run())


@settings(max_examples=100, deadline=None)
@given(limits)
def test_who_waits_as_long_as_was_said_is_let_in(limit: Limit) -> None:
    async def run() -> None:
        world = Instances(limit, 1)
        while await world.use(0):
            pass
        world.clock.advance(max(world.waits))
        assert await world.use(0)

    asyncio.run(run())


@settings(max_examples=100, deadline=None)
@given(limits, schedules)
def test_what_is_told_to_be_left_can_be_used_at_once_and_no_more(
    limit: Limit, schedule: list[tuple[int, float, int]]
) -> None:
    async def run() -> None:
        world = Instances(limit, 1)
        for _, later_s, at_once in schedule:
            world.clock.advance(later_s)
            for _ in range(at_once):
                await world.use(0)
        told = (await world.limiters[0].look("anna", limit)).verdict
        used = 0
        while await world.use(0):
            used += 1
        assert (used, used > 0) == (told.remaining, told.allowed)

    asyncio.run(run())


def test_times_that_are_cut_to_microseconds_let_nothing_more_through() -> None:
    async def run() -> int:
        world = Instances(Limit("messages", 3, 1.0, 1))
        while world.clock.monotonic_s() - start(world) < 1_000:
            await world.use(0)
            world.clock.advance(1 / 3 - 5e-7)
        return len(world.allowed)

    def start(world: Instances) -> float:
        return world.allowed[0] if world.allowed else world.clock.monotonic_s()

    assert asyncio.run(run()) <= 3_001


def test_a_minute_is_a_minute() -> None:
    limit = Limit("messages", 60, 60.0, 30)

    async def run() -> int:
        world = Instances(limit)
        for _ in range(600):
            world.clock.advance(0.1)
            await world.use(0)
        return len(world.allowed)

    assert asyncio.run(run()) in (89, 90)
    assert timedelta(seconds=limit.interval_s) == timedelta(seconds=1)
