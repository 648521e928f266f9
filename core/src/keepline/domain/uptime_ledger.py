"""Uptime from the record: outages, and the gaps in which nobody watched.

A check that failed is no second of downtime and a good one no minute of uptime: what counts is from when to when the outages
were. Where nobody watched, nothing is claimed: such time is neither up nor down and is shown as a figure of its own, except
inside an outage that was open before and after it, which is down throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

BUDGET_DAYS = 30


class Span(NamedTuple):
    """From a moment to another, the second one not included."""

    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return max(0.0, (self.end - self.begin).total_seconds())


@dataclass(frozen=True)
class Ledger:
    """What is on record of a target, as of `now`. An outage or a gap that has not ended reaches to `now`."""

    watched_since: datetime
    now: datetime
    outages: Sequence[Span]
    gaps: Sequence[Span]


@dataclass(frozen=True)
class Figures:
    """Of a period, in seconds. `uptime` is the share of the time that is known of; None where nothing is."""

    uptime: float | None
    down_s: float
    watched_s: float
    not_watched_s: float
    outages: int


@dataclass(frozen=True)
class Budget:
    """What a target may be down in `BUDGET_DAYS` days and keep its objective. `left_s` is negative when it is overspent."""

    slo: float
    days: int
    allowed_s: float
    used_s: float
    left_s: float


def figures(ledger: Ledger, period: Span) -> Figures:
    """What a period comes to."""
    life = Span(min([ledger.watched_since, *(outage.begin for outage in ledger.outages)]), ledger.now)
    lived = clipped([life], period)
    down = clipped(union(ledger.outages), Span(period.begin, min(period.end, ledger.now)))
    # Before the target was watched only its outages are known of.
    before = [Span(life.begin, ledger.watched_since)]
    unknown = without(clipped(union([*ledger.gaps, *before]), period), down)
    watched = without(lived, unknown)
    watched_s, down_s = total_s(watched), total_s(down)
    return Figures(
        uptime=max(0.0, 1 - down_s / watched_s) if watched_s > 0 else None,
        down_s=down_s,
        watched_s=watched_s,
        not_watched_s=total_s(clipped(without(unknown, before), Span(ledger.watched_since, ledger.now))),
        outages=sum(bool(clipped([outage], period)) for outage in union(ledger.outages)),
    )


def budget(ledger: Ledger, slo: float) -> Budget:
    """The error budget of the last `BUDGET_DAYS` days."""
    used_s = figures(ledger, last_days(ledger.now, BUDGET_DAYS)).down_s
    allowed_s = (1 - slo) * timedelta(days=BUDGET_DAYS).total_seconds()
    return Budget(slo, BUDGET_DAYS, allowed_s, used_s, allowed_s - used_s)


def longest_outage_s(ledger: Ledger) -> float | None:
    """None without any."""
    return max((outage.seconds for outage in union(ledger.outages)), default=None)


def mean_repair_s(ledger: Ledger) -> float | None:
    """The mean time to repair: how long the outages lasted that are over. None without any."""
    over = [outage.seconds for outage in union(ledger.outages) if outage.end < ledger.now]
    return sum(over) / len(over) if over else None


def last_days(now: datetime, days: int) -> Span:
    return Span(now - timedelta(days=days), now)


def day_span(day: date) -> Span:
    """A day in UTC."""
    begin = datetime.combine(day, time(), UTC)
    return Span(begin, begin + timedelta(days=1))


def month_span(month: date) -> Span:
    """The month, in UTC, that this day belongs to."""
    first = month.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Span(day_span(first).begin, day_span(following).begin)


def union(spans: Iterable[Span]) -> list[Span]:
    """The same time without overlaps, the earliest first. What touches is one."""
    joined: list[Span] = []
    for span in sorted(span for span in spans if span.begin < span.end):
        if joined and span.begin <= joined[-1].end:
            joined[-1] = Span(joined[-1].begin, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def clipped(spans: Iterable[Span], period: Span) -> list[Span]:
    """What of them lies in a period."""
    inside = (Span(max(span.begin, period.begin), min(span.end, period.end)) for span in spans)
    return [span for span in inside if span.begin < span.end]


def without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """What of `spans` is in none of `taken`."""
    left: list[Span] = union(spans)
    for hole in union(taken):
        left = [
            part
            for span in left
            for part in (
                Span(span.begin, min(span.end, max(span.begin, hole.begin))),
                Span(max(span.begin, min(span.end, hole.end)), span.end),
            )
            if part.begin < part.end and not (hole.begin <= part.begin and part.end <= hole.end)
        ]
    return left


def total_s(spans: Iterable[Span]) -> float:
    """Of spans that do not overlap."""
    return sum(span.seconds for span in spans)
