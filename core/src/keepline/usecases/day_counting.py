"""What one session did on one day, from its documents.

Nothing is counted while it happens: a counter that a trigger raises is wrong after every repeat, and one that it raises exactly
once costs a document for each message. Instead the day's documents are counted by their indexes when the day is over. Firestore
charges one read for a thousand of them, so this is exact, can be repeated, and costs a session some 50 reads a day, and up to
1,250 when it sends thousands (see ADR 36).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keepline.domain.connection_ledger import Change, Ledger, ledger
from keepline.domain.events import EventKind
from keepline.domain.message import FACTS, MessageState
from keepline.domain.reports import Day, Delays, MessageCounts, delays_of
from keepline.domain.session import SessionState
from keepline.ports.documents import Document, DocumentStore
from keepline.records import history, monitoring, outbox
from keepline.records.accounts import Account

# A count ends here; one session's day does not get there.
COUNT_MAX = 1_000_000
# So many messages are read for their delays; of more than these, as many of each hour.
ROWS_READ_MAX = 1_000
ROWS_OF_HOUR_MAX = 50
EVENTS_READ_MAX = 5_000
# Of what was before the day: enough to tell its state then, and whether it was linked.
EVENTS_BEFORE = 20

_S = MessageState
_READ = (_S.READ, _S.PLAYED)
_TAKEN = (_S.SENT, *sorted(FACTS))


@dataclass(frozen=True)
class Hour:
    """One hour of a day."""

    begin: datetime
    accepted: int
    received: int
    downtime_s: float


@dataclass(frozen=True)
class SessionDay:
    """What a session did on a day. `delays_s` are those that were measured, not rounded and in no order."""

    account: Account
    ledger: Ledger
    messages: MessageCounts
    delays_s: tuple[float, ...]
    hours: tuple[Hour, ...]
    doubts: int
    rate_signals: int
    dead_letters: int

    @property
    def delays(self) -> Delays | None:
        return delays_of(self.delays_s)


async def count_day(store: DocumentStore, account: Account, day: Day, now: datetime) -> SessionDay:
    """Raises StoreUnavailable."""
    found = await asyncio.gather(
        _counts(store, account.id, day),
        store.query(monitoring.events_between(account.id, day.begin, day.end, EVENTS_READ_MAX)),
        store.query(monitoring.events_before(account.id, day.begin, EVENTS_BEFORE)),
        store.count(outbox.dead_letters(account.id, COUNT_MAX, None)),
    )
    messages, events, earlier, dead_letters = found
    of_kind = Counter(event.fields["kind"] for event in events)
    before, changes = _changes(earlier, events)
    if not before:
        before = await _known_before(store, account, changes, events, day, now)
    time = ledger(before, changes, day.begin, day.end)
    rows = await _rows(store, account.id, day, messages.accepted)
    return SessionDay(
        account=account,
        ledger=time,
        messages=messages,
        delays_s=tuple(_delays(rows)),
        hours=await _hours(store, account.id, day, messages, rows, time),
        doubts=of_kind[EventKind.DOUBT.value],
        rate_signals=of_kind[EventKind.RATE_SIGNAL.value],
        dead_letters=dead_letters,
    )


async def _counts(store: DocumentStore, account: str, day: Day) -> MessageCounts:
    def of(*states: MessageState) -> asyncio.Future[int]:
        names = [state.value for state in states]
        return asyncio.ensure_future(
            store.count(outbox.accepted_rows_in(account, names, day.begin, day.end, COUNT_MAX))
        )

    accepted, received = await asyncio.gather(
        store.count(outbox.accepted_rows(account, day.begin, day.end, COUNT_MAX)),
        store.count(history.heard_between(account, day.begin, day.end, COUNT_MAX)),
    )
    if not accepted:
        return MessageCounts(received=received)
    sent, delivered, read, failed, expired, cancelled, in_doubt = await asyncio.gather(
        of(*_TAKEN), of(*sorted(FACTS)), of(*_READ), of(_S.FAILED), of(_S.EXPIRED), of(_S.CANCELLED), of(_S.IN_DOUBT)
    )
    return MessageCounts(accepted, sent, delivered, read, failed, expired, cancelled, in_doubt, received)


async def _rows(store: DocumentStore, account: str, day: Day, accepted: int) -> list[Document]:
    """All of the day's rows, or the last ones of each of its hours."""
    if not accepted:
        return []
    if accepted <= ROWS_READ_MAX:
        return await store.query(outbox.accepted_rows(account, day.begin, day.end, ROWS_READ_MAX))
    of_hours = await asyncio.gather(
        *(store.query(outbox.accepted_rows(account, begin, end, ROWS_OF_HOUR_MAX)) for begin, end in day.hours())
    )
    return [row for rows in of_hours for row in rows]


def _delays(rows: Sequence[Document]) -> list[float]:
    """From a message's turn, which is when it was accepted unless it was for later, to WhatsApp's acknowledgement."""
    found = []
    for row in rows:
        sent_at = row.fields["times"].get("sent")
        if sent_at is not None:
            found.append((sent_at - row.fields["due_at"]) / timedelta(seconds=1))
    return found


async def _hours(
    store: DocumentStore, account: str, day: Day, messages: MessageCounts, rows: Sequence[Document], time: Ledger
) -> tuple[Hour, ...]:
    hours = day.hours()

    async def accepted_in(begin: datetime, end: datetime) -> int:
        if messages.accepted > ROWS_READ_MAX:
            return await store.count(outbox.accepted_rows(account, begin, end, COUNT_MAX))
        return sum(begin <= row.fields["accepted_at"] < end for row in rows)

    async def received_in(begin: datetime, end: datetime) -> int:
        if not messages.received:
            return 0
        return await store.count(history.heard_between(account, begin, end, COUNT_MAX))

    accepted = await asyncio.gather(*(accepted_in(*hour) for hour in hours))
    received = await asyncio.gather(*(received_in(*hour) for hour in hours))
    return tuple(
        Hour(begin, accepted[n], received[n], sum(span.within(begin, end) for span in time.down))
        for n, (begin, end) in enumerate(hours)
    )


def _changes(earlier: Sequence[Document], events: Sequence[Document]) -> tuple[list[Change], list[Change]]:
    """The changes of state before the day, and those in it."""
    before, inside = (
        [
            Change(event.fields["at"], SessionState(event.fields["to"]))
            for event in told
            if event.fields["kind"] == EventKind.SESSION_STATE.value
        ]
        for told in (earlier, events)
    )
    return before, inside


async def _known_before(
    store: DocumentStore,
    account: Account,
    inside: Sequence[Change],
    events: Sequence[Document],
    day: Day,
    now: datetime,
) -> list[Change]:
    """The state at the day's beginning, when no change from before it is kept: it has been so for months, or it is new."""
    if account.created_at >= day.begin:
        return []
    if not inside:
        if account.changed_at < day.begin:
            return [Change(account.changed_at, account.status.state)]
        events = await store.query(monitoring.events_between(account.id, day.end, now, EVENTS_READ_MAX))
    left = [
        event
        for event in events
        if event.fields["kind"] == EventKind.SESSION_STATE.value and event.fields["from"] is not None
    ]
    if not left:
        return []
    first = min(left, key=lambda event: event.fields["at"])
    return [Change(account.created_at, SessionState(first.fields["from"]))]
