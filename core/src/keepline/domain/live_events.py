"""How far a live listener has come in a tenant's log of events, and what one more look at the log gives it.

The log's order is that of its commits, by the store's own time, which no query can ask for. So a look asks by `recorded_at`, a
field that the store fills in somewhat before the commit, and from `SETTLING` earlier than what is known to be complete; what
is told next follows from the commits' times alone. See docs/decisions/029-live-events-from-a-log.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

# An entry's `recorded_at` and the time of its commit are never further apart: a commit is given up after 5 s.
SETTLING = timedelta(seconds=20)
# As many entries as one look asks for; more only where so many lie within SETTLING that it would not get on.
PAGE = 500
# That is 200 events a second of one tenant.
PAGE_MAX = 8_000

_AFTER_ALL = "~"  # behind every lane's name
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INSTANT = re.compile(r"at_(\d{1,17})")


@dataclass(frozen=True, order=True)
class Position:
    """A place in the log: behind an entry, or, without a lane, behind all that was committed by `at`.

    Within a commit the entries are of one lane and have their numbers; of commits of the same instant any order is as good.
    """

    at: datetime
    lane: str = _AFTER_ALL
    sequence: int = 0

    @property
    def token(self) -> str | None:
        """What a listener can come back with; None for a place behind an entry, which the entry's own id names."""
        return f"at_{(self.at - _EPOCH) // _MICROSECOND}" if self.lane == _AFTER_ALL else None


def read_token(token: str) -> Position | None:
    """The place that `Position.token` wrote, or None."""
    written = _INSTANT.fullmatch(token)
    return Position(_EPOCH + int(written[1]) * _MICROSECOND) if written is not None else None


@dataclass(frozen=True)
class Entry:
    """Where an event stands in the log, by the time of its commit, and when that was on its way."""

    event_id: str
    position: Position
    recorded_at: datetime


@dataclass(frozen=True)
class Reading:
    """All up to `cursor` is told. The next look asks for up to `page` entries from `floor` on, in the order of `recorded_at`.

    `seen` is a moment of the store's time before that look: what it does not show yet will be committed after that. `shown` are
    the events of the looks at this page until now, None as long as none of them showed all there was from its floor on.
    """

    cursor: Position
    floor: datetime
    seen: datetime
    page: int
    shown: frozenset[str] | None = None

    @classmethod
    def beginning(cls, cursor: Position, seen: datetime) -> Reading:
        return cls(cursor, cursor.at - SETTLING, seen, PAGE)

    def after(self, entries: Sequence[Entry]) -> tuple[list[Entry], Reading]:
        """What is to be told after a look, in its order, and how far that is.

        When the floor or the page differ, the next look asks for something else than this one did.
        """
        seen = max([self.seen, *(entry.position.at for entry in entries)])
        # Firestore shows nothing late. Its emulator's listeners do: they lose an update at times, or a document that was there
        # in the look before, and a later look has it.
        late = sorted(filter(self._is_late, entries), key=lambda one: one.position)
        ahead = sorted((one for one in entries if one.position > self.cursor), key=lambda one: one.position)
        if len(entries) < self.page:
            return late + ahead, replace(
                self,
                cursor=max(self.cursor, Position(seen)),
                seen=seen,
                shown=(self.shown or frozenset()).union(entry.event_id for entry in entries),
            )
        # There is more behind this page, and it may have been committed SETTLING before it says.
        last = entries[-1].recorded_at
        fresh = [one for one in ahead if one.position.at < last - SETTLING]
        cursor = fresh[-1].position if fresh else self.cursor
        untold = [one.recorded_at for one in ahead if one.position > cursor]
        floor = max(self.floor, min([last, seen - SETTLING, *untold]))
        page = PAGE if floor > self.floor else min(2 * self.page, PAGE_MAX)
        return late + fresh, Reading(cursor, floor, seen, page)

    def _is_late(self, entry: Entry) -> bool:
        return self.shown is not None and entry.position <= self.cursor and entry.event_id not in self.shown

    def asks_as(self, other: Reading) -> bool:
        """Whether both ask for the same."""
        return (self.floor, self.page) == (other.floor, other.page)
