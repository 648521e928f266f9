"""How long a session was up, by its recorded changes of state: what a report says of a day.

Only the time in which a session is linked counts. Before a phone has linked it there is nothing that could be down, and an
account that waits for its first scan would spoil every figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keepline.domain.session import SessionState

UP = frozenset({SessionState.CONNECTED, SessionState.DEGRADED})
# Nobody gets there without a phone having linked the session. The others are passed through before that as well.
_ONLY_LINKED = UP | {SessionState.RECONNECTING, SessionState.LOGGED_OUT, SessionState.BANNED, SessionState.OUTDATED}


@dataclass(frozen=True)
class Change:
    """From this moment on a session was in this state."""

    at: datetime
    state: SessionState


@dataclass(frozen=True)
class Span:
    """A stretch of time; its end does not belong to it."""

    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.begin) / timedelta(seconds=1)

    def within(self, begin: datetime, end: datetime) -> float:
        """How many seconds of it lie between two moments."""
        return max(0.0, (min(self.end, end) - max(self.begin, begin)) / timedelta(seconds=1))


@dataclass(frozen=True)
class Ledger:
    """A session's time between two moments. `watched_s` is how long it was linked; `down` lies in that, without overlaps.

    A disconnect is a way from up to down, a reconnect the way back, each counted where it happened.
    """

    watched_s: float = 0.0
    down: tuple[Span, ...] = ()
    degraded_s: float = 0.0
    disconnects: int = 0
    reconnects: int = 0
    bans: int = 0

    @property
    def downtime_s(self) -> float:
        return sum(span.seconds for span in self.down)

    @property
    def longest_s(self) -> float:
        return max((span.seconds for span in self.down), default=0.0)


def ledger(before: Sequence[Change], changes: Iterable[Change], begin: datetime, end: datetime) -> Ledger:
    """What changes between `begin` and `end` make of that time, in whatever order they are given.

    `before` are the last changes from before `begin`; without any, nothing is known until the first change.
    """
    history = sorted(before, key=lambda change: change.at)
    linked = any(change.state in _ONLY_LINKED for change in history)
    state = history[-1].state if history else None
    down: list[Span] = []
    watched_s = degraded_s = 0.0
    disconnects = reconnects = bans = 0
    since = begin
    inside = sorted((change for change in changes if begin <= change.at < end), key=lambda change: change.at)
    for change in (*inside, None):
        until = end if change is None else change.at
        if linked and state is not None:
            span = Span(since, until)
            watched_s += span.seconds
            degraded_s += span.seconds if state is SessionState.DEGRADED else 0.0
            if state not in UP and span.seconds > 0:
                _append(down, span)
        if change is None:
            break
        if linked and state is not None:
            disconnects += state in UP and change.state not in UP
            reconnects += state not in UP and change.state in UP
        bans += change.state is SessionState.BANNED and state is not SessionState.BANNED
        state, since = change.state, change.at
        linked = linked or state in _ONLY_LINKED
    return Ledger(watched_s, tuple(down), degraded_s, disconnects, reconnects, bans)


def _append(down: list[Span], span: Span) -> None:
    """One outage goes through several states: reconnecting, starting, reconnecting."""
    if down and down[-1].end == span.begin:
        down[-1] = Span(down[-1].begin, span.end)
    else:
        down.append(span)
