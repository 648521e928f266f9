"""Cron expressions of five fields, in UTC: what Cloud Scheduler takes and Keepline's table uses.

Each field is `*`, a number, a range `a-b`, a list `a,b`, or any of these with a step `/n`.
Names (MON, JAN) and `@daily` are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# The last minute, hour, day and month that a field can name; weekdays count from Sunday = 0, and 7 is Sunday too.
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))

# A date such as 29 February on a Monday comes within 28 years; an expression without a match by then (30 February) has none.
SEARCH_DAYS_MAX = 366 * 28


@dataclass(frozen=True)
class Cron:
    """A checked expression."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Raises `ValueError` saying which field is wrong."""
        fields = text.split()
        if len(fields) != len(_FIELDS):
            raise ValueError(f"{text!r} has {len(fields)} fields, a cron expression has {len(_FIELDS)}")
        minutes, hours, days, months, weekdays = (
            _values(field, name, low, high) for field, (name, low, high) in zip(fields, _FIELDS, strict=True)
        )
        return cls(
            text=text,
            minutes=minutes,
            hours=hours,
            days=days,
            months=months,
            weekdays=frozenset(day % 7 for day in weekdays),
            any_day=fields[2].startswith("*"),
            any_weekday=fields[4].startswith("*"),
        )

    def next_after(self, moment: datetime) -> datetime:
        """The first matching minute after `moment` (aware), in UTC; `ValueError` if there is none."""
        start = moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        for ahead in range(SEARCH_DAYS_MAX):
            day = (start + timedelta(days=ahead)).date()
            if not self._matches_day(day.month, day.day, day.isoweekday() % 7):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                    if found >= start:
                        return found
        raise ValueError(f"{self.text!r} never comes")

    def _matches_day(self, month: int, day: int, weekday: int) -> bool:
        if month not in self.months:
            return False
        if self.any_day or self.any_weekday:
            return day in self.days and weekday in self.weekdays
        return day in self.days or weekday in self.weekdays  # cron's old rule: with both given, either will do


def _values(field: str, name: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for part in field.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, name, 1, high) if slash else 1
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = (_number(end, name, low, high) for end in span.split("-", 1))
        else:
            first = _number(span, name, low, high)
            last = high if slash else first
        if first > last:
            raise ValueError(f"{field!r} is no {name}: {first} is after {last}")
        values.update(range(first, last + 1, step))
    return frozenset(values)


def _number(text: str, name: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is no {name} ({low} to {high})")
    return int(text)
