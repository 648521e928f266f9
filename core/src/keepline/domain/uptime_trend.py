"""Whether a target's answers slow down steadily: when they will be slow, told before they are.

The slope is Theil and Sen's: the median of the slopes between all pairs of answers. Up to 29 % of the answers may be anything
(a pause of the garbage collector, a lost packet) without moving it, where a mean, a least-squares line or an EWMA would follow
the one that stands out; and it says how fast, so that one can say when. It is believed only where the rise stands clear of what
the answers scatter around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

# At the quickest pace a minute, at 10 s somewhat more than three.
ANSWERS_MIN = 20
# What is predicted for later than this is left alone: by then there will be more to go by.
HORIZON_S = 300.0
# The newest answers against the oldest ones: a rise below a half is no matter, however steady.
RISE_MIN = 1.5
# The rise in units of the scatter (the median distance from the line): heartbeats, whose ages are anything between 0 and their
# interval, never come that far by chance (tests/unit/test_uptime_checks.py).
CLEAR_OF_SCATTER = 4.0
_ENDS = 5


def slow_in_s(answers: Sequence[tuple[float, float]], slow_ms: float) -> float | None:
    """In how many seconds answers will take `slow_ms`, if they go on like this. None: nothing is to be expected.

    `answers`: their times in seconds and their durations in ms, the oldest first.
    """
    if len(answers) < ANSWERS_MIN:
        return None
    first = median(ms for _, ms in answers[:_ENDS])
    last = median(ms for _, ms in answers[-_ENDS:])
    if last >= slow_ms or last < RISE_MIN * max(first, 1.0):
        return None  # Slow already, which its state says; or hardly slower than it was.
    slope = _slope(answers)
    if slope <= 0:
        return None
    rest = [ms - slope * at for at, ms in answers]
    level = median(rest)
    scatter = median(abs(value - level) for value in rest)
    if slope * (answers[-1][0] - answers[0][0]) < CLEAR_OF_SCATTER * scatter:
        return None
    in_s = (slow_ms - last) / slope
    return in_s if in_s <= HORIZON_S else None


def _slope(answers: Sequence[tuple[float, float]]) -> float:
    """In ms per second."""
    slopes = [
        (later_ms - ms) / (later - at)
        for index, (at, ms) in enumerate(answers)
        for later, later_ms in answers[index + 1 :]
        if later > at
    ]
    return median(slopes) if slopes else 0.0
