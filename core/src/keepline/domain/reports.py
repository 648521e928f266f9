"""A daily report: which day is to be reported on, and how its figures are put together. Times come in, nothing is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta, tzinfo

# A day's report waits this long after the day's end: triggers and receipts of its last moments come in meanwhile.
SETTLE_TIME = timedelta(minutes=5)
# A report that was missed is made up; days further back are not.
DAYS_MADE_UP_MAX = 3


@dataclass(frozen=True)
class Day:
    """A day as its people count it, and its moments in UTC. Between 23 and 25 hours long where clocks are changed."""

    date: date
    begin: datetime
    end: datetime

    def hours(self) -> list[tuple[datetime, datetime]]:
        """The day in steps of an hour from its beginning; the last one may be shorter."""
        found, begin = [], self.begin
        while begin < self.end:
            found.append((begin, min(begin + timedelta(hours=1), self.end)))
            begin = found[-1][1]
        return found


def day_of(on: date, zone: tzinfo) -> Day:
    """The day with this date. It ends where the next one begins, also where midnight is skipped or comes twice."""
    return Day(on, _midnight(on, zone), _midnight(on + timedelta(days=1), zone))


def days_due(made_until: date | None, now: datetime, zone: tzinfo) -> list[Day]:
    """The days whose reports are to be made now, the oldest first; `made_until` is the last one that has its report.

    Somebody who has none yet begins with yesterday.
    """
    last = (now - SETTLE_TIME).astimezone(zone).date() - timedelta(days=1)
    first = (
        last if made_until is None else max(made_until + timedelta(days=1), last - timedelta(days=DAYS_MADE_UP_MAX - 1))
    )
    return [day_of(first + timedelta(days=n), zone) for n in range((last - first).days + 1)]


def next_report_at(now: datetime, zone: tzinfo) -> datetime:
    """When the present day will be over and settled."""
    return day_of((now - SETTLE_TIME).astimezone(zone).date(), zone).end + SETTLE_TIME


def _midnight(on: date, zone: tzinfo) -> datetime:
    # Where midnight comes twice the first one counts; one that is skipped is the moment at which the clock jumps.
    return datetime.combine(on, time.min, tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True)
class MessageCounts:
    """Messages that were accepted on a day, and where they stood when they were counted; and those that WhatsApp brought.

    `sent` are all that WhatsApp has taken, `delivered` those of them that a phone has, `read` those that were shown or played.
    """

    accepted: int = 0
    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    in_doubt: int = 0
    received: int = 0

    @property
    def waiting(self) -> int:
        """What had not come to an end. A message that moved while it was counted is not counted twice here."""
        return max(0, self.accepted - self.sent - self.failed - self.expired - self.cancelled - self.in_doubt)

    def __add__(self, other: MessageCounts) -> MessageCounts:
        return MessageCounts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True)
class Delays:
    """Seconds from a message's turn to WhatsApp's acknowledgement, of `measured` messages."""

    measured: int
    p50_s: float
    p95_s: float
    max_s: float


def delays_of(seconds: Iterable[float]) -> Delays | None:
    """None without any."""
    ordered = sorted(max(0.0, one) for one in seconds)
    if not ordered:
        return None
    return Delays(len(ordered), _rank(ordered, 0.5), _rank(ordered, 0.95), ordered[-1])


def _rank(ordered: Sequence[float], share: float) -> float:
    """The smallest one that so large a share of them does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
