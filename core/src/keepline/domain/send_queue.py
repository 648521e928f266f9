"""The send queue of one account in memory: what waits, what is claimed, what is in doubt, and what Firestore has not been told.

Pure: the shell (usecases/sending.py) commits what `plan` says and reports back. Rules kept here:

- First in, first out per chat. A chat with claimed rows gets no second claim before all of them have an outcome, and a row in
  doubt blocks the rows behind it, so that a re-send can never overtake.
- At most `in_flight_max` rows are claimed at once.
- A row is handed to WhatsApp only after the claim that names it is durable; whoever takes over finds it named there.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from keepline.domain.link_events import SendOutcome
from keepline.domain.message import MessageState, advance

# Below Firestore's 500, with room for the authority document.
WRITES_PER_COMMIT_MAX = 400
# Sent rows whose receipts are still expected are remembered this long; an older one costs a query when its receipt comes.
REMEMBERED_SENT_MAX = 2_000
# A message that cannot be handed over for passing reasons is given up after this many tries (about 9 minutes).
ATTEMPTS_MAX = 8
RETRY_BASE_S = 2.0
RETRY_FACTOR = 2.0
RETRY_MAX_S = 120.0
# How long a doubt waits, from the moment the device has caught up, for the receipt that would prove the message arrived.
# A recipient that is online answers within a second or two; the receipts of the time away come with the catching-up.
DOUBT_WAIT_S = 10.0

# Answers of WhatsApp to a stanza that may be different the next time; every other code is final (seen in facts about acks).
RETRYABLE_REFUSALS = frozenset({"wa_421", "wa_429", "wa_500", "wa_503"})

_PROVEN = frozenset(
    {MessageState.SENT, MessageState.DELIVERED, MessageState.READ, MessageState.PLAYED, MessageState.FAILED}
)


@dataclass
class Outgoing:
    """One row of the outbox as the connector holds it."""

    message_id: str
    chat: str
    text: str
    accepted_at: datetime
    created: datetime
    version: datetime
    state: MessageState = MessageState.QUEUED
    attempts: int = 0
    wa_message_id: str | None = None
    error_code: str | None = None
    times: dict[str, datetime] = field(default_factory=dict)
    claim: int | None = None
    dirty: bool = False
    revision: int = 0  # rises with every change that Firestore has not been told of
    not_before_s: float = 0.0
    doubt_since_s: float | None = None

    @property
    def order(self) -> tuple[datetime, datetime, str]:
        """Accepted first goes first; the emulator's server time has milliseconds, its create time microseconds."""
        return (self.accepted_at, self.created, self.message_id)


@dataclass(frozen=True)
class Plan:
    """What the next commit does: rows to write, rows to claim, rows whose claim ends."""

    write: tuple[Outgoing, ...]
    revisions: tuple[int, ...]  # of the rows in `write` when the plan was made
    claim: tuple[Outgoing, ...]
    release: tuple[str, ...]

    @property
    def changes_claims(self) -> bool:
        return bool(self.claim or self.release)

    def __bool__(self) -> bool:
        return bool(self.write or self.claim or self.release)


class SendQueue:
    """All times are seconds of a monotonic clock, except those of receipts, which are shown to people."""

    def __init__(self, in_flight_max: int) -> None:
        self._in_flight_max = in_flight_max
        self._open: dict[str, Outgoing] = {}  # queued, claimed or in doubt
        self._sent: OrderedDict[str, Outgoing] = OrderedDict()  # by WhatsApp id, oldest first
        self._dirty: dict[str, Outgoing] = {}
        self._released: set[str] = set()  # had an outcome; their claim still names them
        self._seen: OrderedDict[str, datetime] = OrderedDict()  # message id -> newest version we wrote

    def offer(self, rows: Iterable[Outgoing]) -> None:
        """Take in the whole present result of the outbox query for this account (rows whose state is `queued`)."""
        present = {row.message_id: row for row in rows}
        for message_id, row in present.items():
            # A row that we settled can still stand in a result that was read before.
            seen = self._seen.get(message_id)
            if message_id not in self._open and (seen is None or row.version > seen):
                self._open[message_id] = row
        for message_id, row in list(self._open.items()):
            idle = row.claim is None and row.state is MessageState.QUEUED and not row.dirty
            if message_id not in present and idle:
                # Cancelled, or gone with its session; or the result is an older one, and then the next shows it again.
                del self._open[message_id]
                self._seen.pop(message_id, None)

    def adopt_doubt(self, row: Outgoing, now_s: float) -> None:
        """A row that may have left under an earlier claim, with the WhatsApp id that its tag was found under."""
        row.claim = None
        row.doubt_since_s = now_s
        self._open[row.message_id] = row
        if row.state is not MessageState.IN_DOUBT:
            row.state = MessageState.IN_DOUBT
            row.error_code = "outcome_unknown"
            self._touch(row)
        self._remember(row)

    def plan(self, now_s: float, *, may_send: bool) -> Plan:
        """What to commit now. `may_send` is false while the device is not connected: then nothing new is claimed."""
        claim = self._claimable(now_s) if may_send else []
        write = tuple(itertools.islice(self._dirty.values(), WRITES_PER_COMMIT_MAX))
        return Plan(write, tuple(row.revision for row in write), tuple(claim), tuple(sorted(self._released)))

    def committed(self, plan: Plan, attempt: int, versions: Sequence[datetime]) -> None:
        """The plan is durable: `versions` are those of the rows it wrote, in order."""
        for row, revision, version in zip(plan.write, plan.revisions, versions, strict=True):
            row.version = version
            self._mark_seen(row)
            if row.revision == revision:  # Else a receipt came while the commit was on its way.
                row.dirty = False
                self._dirty.pop(row.message_id, None)
        for row in plan.claim:
            row.claim = attempt
        for message_id in plan.release:
            self._released.discard(message_id)
            row_or_none = self._open.get(message_id)
            if row_or_none is not None:
                row_or_none.claim = None
                if row_or_none.state not in (MessageState.QUEUED, MessageState.IN_DOUBT):
                    del self._open[message_id]

    def outcome(self, row: Outgoing, outcome: SendOutcome, now: datetime, now_s: float) -> None:
        """What became of handing over a claimed row."""
        self._released.add(row.message_id)
        row.attempts += 1
        match outcome.result:
            case "sent":
                self._prove(row, MessageState.SENT, now, outcome.wa_message_id)
            case "not_sent":
                self._retry_or_fail(row, outcome.error_code or "not_connected", now, now_s)
            case "refused" if outcome.error_code in RETRYABLE_REFUSALS:
                self._retry_or_fail(row, outcome.error_code or "refused", now, now_s)
            case "refused":
                self._fail(row, outcome.error_code or "refused", now)
            case _:
                self._doubt(row, outcome.wa_message_id, now, now_s)

    def put_back(self, row: Outgoing) -> None:
        """A claimed row that was not even tried, because one before it in its chat was not sent."""
        self._released.add(row.message_id)

    def receipt(self, wa_message_id: str, status: MessageState, at: datetime) -> bool:
        """A receipt for a message sent lately. False when this queue does not know the WhatsApp id."""
        row = self._sent.get(wa_message_id)
        if row is None:
            return False
        self._prove(row, status, at, wa_message_id)
        if row.claim is None:
            self._open.pop(row.message_id, None)  # It was in doubt; the receipt is the proof.
        return True

    def settle_doubts(self, now_s: float, caught_up_since_s: float | None) -> None:
        """Send again what is in doubt, when the device has caught up and the proof had its time to come."""
        if caught_up_since_s is None:
            return
        for row in self._open.values():
            if row.state is not MessageState.IN_DOUBT or row.claim is not None or row.doubt_since_s is None:
                continue
            if now_s - max(row.doubt_since_s, caught_up_since_s) >= DOUBT_WAIT_S:
                row.state = MessageState.QUEUED
                row.doubt_since_s = None
                self._touch(row)

    def refresh(self, row: Outgoing, current: Outgoing | None) -> None:
        """A commit with this row was refused; `current` is what the store holds of it now (None: it is gone)."""
        if current is None:
            self._forget(row)
        elif current.state in (MessageState.QUEUED, row.state) or (row.dirty and row.state in _PROVEN):
            row.version = (
                current.version
            )  # Ours to write still; or it was applied after all and only the answer was lost.
        else:
            self._forget(row)

    def release_unknown(self, claimed_ids: Iterable[str]) -> None:
        """Ids that stand in the authority document although we hold no claim on them (its commit's answer was lost)."""
        held = {row.message_id for row in self.claimed()}
        self._released.update(message_id for message_id in claimed_ids if message_id not in held)

    def recall(self, row: Outgoing) -> None:
        """A row sent long ago whose receipt has come."""
        self._remember(row)

    def is_durable(self, wa_message_id: str) -> bool:
        """Whether everything known of the message with this WhatsApp id has been written."""
        row = self._sent.get(wa_message_id)
        return row is None or not row.dirty

    def claimed(self) -> list[Outgoing]:
        """Rows under an open claim, with or without an outcome."""
        return [row for row in self._open.values() if row.claim is not None]

    def has_doubts(self) -> bool:
        return any(row.state is MessageState.IN_DOUBT for row in self._open.values())

    def waiting(self) -> list[Outgoing]:
        """Rows that are not yet sent, oldest first."""
        return sorted(
            (row for row in self._open.values() if row.state in (MessageState.QUEUED, MessageState.IN_DOUBT)),
            key=lambda row: row.order,
        )

    def next_retry_s(self, now_s: float) -> float | None:
        """Seconds until the first row whose back-off ends, or None."""
        times = [row.not_before_s - now_s for row in self._open.values() if row.not_before_s > now_s]
        return min(times, default=None)

    def _claimable(self, now_s: float) -> list[Outgoing]:
        room = self._in_flight_max - len(self.claimed())
        blocked: set[str] = {row.chat for row in self._open.values() if row.claim is not None}
        chosen: list[Outgoing] = []
        for row in self.waiting():
            if len(chosen) >= room:
                break
            if row.chat in blocked:
                continue
            # A row whose last claim still names it waits for the commit that releases it: one commit cannot do both.
            unready = row.dirty or row.message_id in self._released
            if row.state is MessageState.IN_DOUBT or row.not_before_s > now_s or unready:
                blocked.add(row.chat)
                continue
            chosen.append(row)
        return chosen

    def _prove(self, row: Outgoing, proof: MessageState, at: datetime, wa_message_id: str | None) -> None:
        state = advance(row.state, proof)
        if state is row.state and proof.value in row.times:
            return
        row.state = state
        row.error_code = None
        row.doubt_since_s = None
        row.wa_message_id = wa_message_id
        row.times.setdefault(proof.value, at)
        self._touch(row)
        self._remember(row)

    def _retry_or_fail(self, row: Outgoing, code: str, now: datetime, now_s: float) -> None:
        if code == "not_connected":
            row.attempts -= 1  # The link's trouble is not the message's: it waits for the connection, without a count.
            return
        if row.attempts >= ATTEMPTS_MAX:
            self._fail(row, code, now)
            return
        row.not_before_s = now_s + min(RETRY_BASE_S * RETRY_FACTOR ** (row.attempts - 1), RETRY_MAX_S)
        self._touch(row)

    def _fail(self, row: Outgoing, code: str, now: datetime) -> None:
        row.state = MessageState.FAILED
        row.error_code = code
        row.times.setdefault(MessageState.FAILED.value, now)
        self._touch(row)

    def _doubt(self, row: Outgoing, tried: str | None, now: datetime, now_s: float) -> None:
        if tried is None:
            # The library's own row is written before the stanza leaves: no row, no stanza.
            self._retry_or_fail(row, "not_handed_over", now, now_s)
            return
        if row.attempts >= ATTEMPTS_MAX:
            self._fail(row, "outcome_unknown", now)
            return
        row.state = MessageState.IN_DOUBT
        row.error_code = "outcome_unknown"
        row.wa_message_id = tried
        row.doubt_since_s = now_s
        self._touch(row)
        self._remember(row)

    def _forget(self, row: Outgoing) -> None:
        row.dirty = False
        self._dirty.pop(row.message_id, None)
        self._open.pop(row.message_id, None)
        if row.claim is not None:
            self._released.add(row.message_id)

    def _touch(self, row: Outgoing) -> None:
        row.dirty = True
        row.revision += 1
        self._dirty[row.message_id] = row

    def _remember(self, row: Outgoing) -> None:
        if row.wa_message_id is None:
            return
        self._sent[row.wa_message_id] = row
        self._sent.move_to_end(row.wa_message_id)
        while len(self._sent) > REMEMBERED_SENT_MAX:
            self._sent.popitem(last=False)

    def _mark_seen(self, row: Outgoing) -> None:
        self._seen[row.message_id] = row.version
        self._seen.move_to_end(row.message_id)
        while len(self._seen) > REMEMBERED_SENT_MAX:
            self._seen.popitem(last=False)
