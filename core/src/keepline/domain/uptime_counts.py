"""What a day's checks of a target come to: few numbers, from which an average and percentiles can be told."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

# Upper bounds in ms; answers above the last one are counted beside them.
BOUNDS_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)


@dataclass(frozen=True)
class DayCounts:
    """Of one UTC day. `watched_s` is how long the target was looked after; `histogram` counts the answers by `BOUNDS_MS`."""

    day: date
    checks: int = 0
    failures: int = 0
    slow: int = 0
    watched_s: float = 0.0
    sum_ms: int = 0
    max_ms: int = 0
    histogram: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)

    @property
    def average_ms(self) -> int | None:
        """Of the answers; None without any."""
        answers = sum(self.histogram)
        return round(self.sum_ms / answers) if answers else None

    @property
    def p95_ms(self) -> int | None:
        """95 % of the answers took at most so long, as finely as the histogram has it; None without any."""
        return percentile_ms(self.histogram, self.max_ms, 0.95)


def with_check(counts: DayCounts, *, ok: bool, ms: int | None, slow_ms: int, watched_s: float) -> DayCounts:
    """One more check of that day, and the seconds for which the target was looked after until it."""
    histogram = list(counts.histogram)
    if ms is not None:
        histogram[bisect_left(BOUNDS_MS, ms)] += 1
    return replace(
        counts,
        checks=counts.checks + 1,
        failures=counts.failures + (not ok),
        slow=counts.slow + (ok and ms is not None and ms > slow_ms),
        watched_s=counts.watched_s + watched_s,
        sum_ms=counts.sum_ms + (ms or 0),
        max_ms=max(counts.max_ms, ms or 0),
        histogram=tuple(histogram),
    )


def percentile_ms(histogram: Sequence[int], max_ms: int, share: float) -> int | None:
    """Between the bounds of a bucket its answers are taken to lie evenly."""
    answers = sum(histogram)
    if not answers:
        return None
    rank, seen = share * answers, 0
    for index, count in enumerate(histogram):
        if count and seen + count >= rank:
            low = BOUNDS_MS[index - 1] if index else 0
            high = min(BOUNDS_MS[index], max_ms) if index < len(BOUNDS_MS) else max_ms
            return round(low + (max(high, low) - low) * (rank - seen) / count)
        seen += count
    return max_ms
