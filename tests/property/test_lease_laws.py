"""No two voices: nobody takes over while the holder still believes that it holds, whatever is late, paused, lost or skewed."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from keepline.domain.lease import CLOCK_DRIFT_MAX, EXTREME, NORMAL, SAFETY_MARGIN, HeldLease, LeaseProfile, LeaseWatch

# What is left of the margin once one clock ran slow and the other fast: 2d / (1 + d) of the TTL are gone.
MARGIN_LEFT = SAFETY_MARGIN - 2 * CLOCK_DRIFT_MAX / (1 + CLOCK_DRIFT_MAX)
# The bytes' way to WhatsApp, in seconds.
ON_THE_WAY_S = 0.2

clocks = st.tuples(
    st.sampled_from([1 - CLOCK_DRIFT_MAX, 1.0, 1 + CLOCK_DRIFT_MAX])
    | st.floats(1 - CLOCK_DRIFT_MAX, 1 + CLOCK_DRIFT_MAX),
    st.floats(-1e6, 1e6),
)
# In TTLs: what a pause, a partition or a slow store makes of a delay.
TROUBLES = [0.3, 0.45, 0.9, 1.0, 1.1, 4.0]


@dataclass(frozen=True)
class Weather:
    """How probable trouble is for the holder's writes and for the observer's news, and the network's delay, in TTLs."""

    holder: float
    observer: float
    network: float
    partition: tuple[float, float]  # in TTLs: from when its writes get stuck, and for how long


weathers = st.builds(
    Weather,
    holder=st.sampled_from([0.0, 0.02, 0.3]),
    observer=st.sampled_from([0.0, 0.02, 0.3]),
    network=st.sampled_from([0.0, 0.001, 0.1]),
    partition=st.tuples(st.floats(0.5, 15), st.floats(0, 3) | st.just(1_000.0)),
)


@dataclass
class World:
    """Firestore's document (`version` counts its renewals), events by real time, and who believes what."""

    random: Random
    weather: Weather
    profile: LeaseProfile
    holder_clock: tuple[float, float]
    observer_clock: tuple[float, float]
    holder: HeldLease = field(init=False)
    watch: LeaseWatch = field(init=False)
    version: int = 0
    declared_at: float | None = None
    now: float = 0.0

    def __post_init__(self) -> None:
        self.holder, self.watch = HeldLease(self.profile), LeaseWatch(self.profile.ttl_s)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._news_until = 0.0

    def holder_s(self) -> float:
        return self.now * self.holder_clock[0] + self.holder_clock[1]

    def observer_s(self) -> float:
        return self.now * self.observer_clock[0] + self.observer_clock[1]

    def delay(self, trouble: float) -> float:
        troubled = self.random.random() < trouble
        delay_ttl = self.random.choice(TROUBLES) if troubled else self.random.uniform(0, self.weather.network)
        return delay_ttl * self.profile.ttl_s

    def at(self, when: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), then))

    def run(self, steps: int) -> None:
        self.renew(acquiring=True)
        self.look()
        for _ in range(steps):
            self.now, _, happen = heapq.heappop(self._events)
            happen()
            if self.declared_at is not None:
                assert not self.holder.holds(self.holder_s()), "two voices"

    def renew(self, *, acquiring: bool = False) -> None:
        """The holder sends a renewal. It commits some time later and is answered some time after that; or neither."""
        if acquiring or self.holder.holds(self.holder_s()):
            sent_at_s = self.holder_s()

            def commit() -> None:
                self.version += 1
                # News comes in order: what is stuck holds up what is behind it.
                self._news_until = max(self._news_until, self.now + self.delay(self.weather.observer))
                beat = self.version
                self.at(self._news_until, lambda: self.watch.seen(beat, self.observer_s()))
                self.at(self.now + self.delay(self.weather.holder), answered)

            def answered() -> None:
                (self.holder.acquired if acquiring else self.holder.renewed)(sent_at_s, self.holder_s())

            arrives = self.now + self.delay(self.weather.holder)
            start, length = (part * self.profile.ttl_s for part in self.weather.partition)
            self.at(start + length if start < arrives < start + length else arrives, commit)
        self.at(self.now + self.profile.heartbeat_s + self.delay(self.weather.holder) / 10, self.renew)

    def look(self) -> None:
        """The observer looks at what it has heard so far. It may be paused for a while before it gets to act on it."""
        if self.watch.expired(self.observer_s()):
            beat = self.watch.beat
            self.at(self.now + self.delay(self.weather.observer), lambda: self.declare(beat))
        self.at(self.now + 0.02 * self.profile.ttl_s + self.delay(self.weather.observer / 10), self.look)

    def declare(self, beat: int | None) -> None:
        if self.version == beat and self.declared_at is None:
            self.declared_at = self.now


@settings(max_examples=1_500, deadline=None)
@given(st.integers(0, 2**32), weathers, clocks, clocks, st.sampled_from([EXTREME, NORMAL]))
def test_no_lease_is_declared_expired_while_its_holder_believes_to_hold_it(
    seed: int, weather: Weather, holder: tuple[float, float], observer: tuple[float, float], profile: LeaseProfile
) -> None:
    world = World(Random(seed), weather, profile, holder, observer)
    world.run(steps=600)
    event("declared expired" if world.declared_at else "never expired")


@settings(max_examples=300, deadline=None)
@given(clocks, clocks, st.sampled_from([EXTREME, NORMAL]), st.floats(0, 1), st.integers(1, 40))
def test_what_the_clocks_leave_of_the_margin_is_there_when_others_may_act(
    holder_clock: tuple[float, float],
    observer_clock: tuple[float, float],
    profile: LeaseProfile,
    seen_after_ttl: float,
    looks_per_ttl: int,
) -> None:
    """The tightest case: the renewal is seen the moment it is sent, and never another."""
    holder, watch = HeldLease(profile), LeaseWatch(profile.ttl_s)
    start, (rate, offset) = 50.0, holder_clock
    holder.acquired(start * rate + offset, start * rate + offset)
    assert holder.deadline_s is not None
    silent_at = (holder.deadline_s - offset) / rate
    now = start + seen_after_ttl * 0.01 * profile.ttl_s
    while True:
        observer_s = now * observer_clock[0] + observer_clock[1]
        watch.seen(1, observer_s)
        if watch.expired(observer_s):
            break
        now += profile.ttl_s / (looks_per_ttl + 2)
    assert now - silent_at >= MARGIN_LEFT * profile.ttl_s * 0.99 > ON_THE_WAY_S
