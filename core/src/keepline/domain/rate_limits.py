"""How often a user may do something: GCRA (the generic cell rate algorithm), exact over any number of callers. Pure.

One moment is kept for each limit: when it would be whole again if nothing more came (`whole_at`; "theoretical arrival time" in
the literature). Each use moves it on by one interval; a use that would move it further than the burst reaches is refused. So in
any time t no more than burst + t / interval is let through (to within a microsecond a use, in which times are kept).

Whoever has a high limit has it in shards, each with its part of the burst and of the rate: their sum keeps the bound, and a
document of its own for each lets many be counted at the same time (Firestore: one document takes few writes a second).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

# A shard is worth having where one document would be written more often than this a second.
_WRITES_PER_S = 2.0
# Below this a shard's burst would refuse what the whole would let through.
_BURST_PER_SHARD_MIN = 10
SHARDS_MAX = 20
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Limit:
    """`count` uses in `period_s` seconds in the long run, and `burst` of them at once. One request uses `uses_max` at most."""

    name: str
    count: int
    period_s: float
    burst: int
    uses_max: int = 1

    @property
    def interval_s(self) -> float:
        return self.period_s / self.count

    @property
    def shards(self) -> int:
        """How many documents share it."""
        by_rate = math.ceil(self.count / self.period_s / _WRITES_PER_S)
        return max(1, min(SHARDS_MAX, by_rate, self.burst // max(_BURST_PER_SHARD_MIN, self.uses_max)))


@dataclass(frozen=True)
class Verdict:
    """What became of asking for uses of one shard.

    `whole_at` is what to keep: of a refusal it is as it was. `remaining` could be used at once now; `reset_s` is when all of the
    burst can. `retry_after_s` is 0 when it was allowed.
    """

    allowed: bool
    whole_at: datetime
    remaining: int
    reset_s: float
    retry_after_s: float


def wait_s(limit: Limit, shard: int, whole_at: datetime | None, now: datetime) -> float:
    """Seconds until the limit's shard, which was `whole_at` (None: never used), has room; 0 or less when it has."""
    return _debt_s(whole_at, now) - (_burst(limit, shard) - 1) * limit.interval_s * limit.shards


def state_of(limit: Limit, moments: Sequence[datetime | None], now: datetime) -> Verdict:
    """What can be used now of all shards, which were whole at these moments. Whether one more use is allowed, and else when."""
    waits_s = [wait_s(limit, shard, whole_at, now) for shard, whole_at in enumerate(moments)]
    # Room for roundings is no use of the limit's own.
    remaining = min(limit.burst, sum(_uses(limit, one_s) for one_s in waits_s))
    reset_s = max(_debt_s(whole_at, now) for whole_at in moments)
    return Verdict(remaining > 0, now + timedelta(seconds=reset_s), remaining, reset_s, max(0.0, min(waits_s)))


def ask(limit: Limit, shard: int, whole_at: datetime | None, now: datetime, uses: int = 1) -> Verdict:
    """Whether so many more uses are within the limit's shard, which was `whole_at` (None: it was never used).

    More uses than the whole burst use that, so that whoever waits gets through.
    """
    uses = min(uses, _burst(limit, shard))
    debt_s = _debt_s(whole_at, now)
    waits_s = wait_s(limit, shard, whole_at, now)
    free = _uses(limit, waits_s)
    if free < uses:
        waits_s += (uses - 1) * limit.interval_s * limit.shards
        return Verdict(False, now + timedelta(seconds=debt_s), free, debt_s, waits_s)
    # Rounded up: a moment that is cut to microseconds would let a little more through with every use.
    debt_s += uses * limit.interval_s * limit.shards
    whole_at = now + timedelta(microseconds=math.ceil(debt_s * 1e6))
    return Verdict(True, whole_at, free - uses, debt_s, 0.0)


def _burst(limit: Limit, shard: int) -> int:
    """The shard's part of the burst."""
    return limit.burst // limit.shards + (shard < limit.burst % limit.shards)


def _uses(limit: Limit, waits_s: float) -> int:
    """How many uses of a shard that has to wait so long (or, below 0, has been ready for so long) are let through at once."""
    # Times in Firestore have microseconds; whoever waited for what was said must not be told to wait for roundings.
    roundings_s = _ROUNDING_S * (limit.burst + 1)
    return max(0, math.floor(1 + (roundings_s - waits_s) / (limit.interval_s * limit.shards)))


def _debt_s(whole_at: datetime | None, now: datetime) -> float:
    return max(0.0, (whole_at - now).total_seconds()) if whole_at is not None else 0.0
