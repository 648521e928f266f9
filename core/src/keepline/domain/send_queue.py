"""The send queue of one account in memory: what waits, what is claimed, what is in doubt, and what Firestore has not been told.

Pure: the shell (usecases/sending.py) commits what `plan` says and reports back. Rules kept here:

- First in, first out per chat, by the time at which a row is due. A chat with claimed rows gets no second claim before all of
  them have an outcome, and a row in doubt blocks the rows behind it, so that a re-send can never overtake.
- Priority decides between chats: an urgent row brings its whole chat forward, never itself past those before it.
- At most `in_flight_max` rows are on their way at once, and each waits for what the account's pacing says of it.
- A row is handed to WhatsApp only after the claim that names it is durable; whoever takes over finds it named there.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keepline.domain.addresses import is_group
from keepline.domain.content.bodies import Content
from keepline.domain.link_events import SendOutcome
from keepline.domain.message import Cause, MessageState, OnDoubt, next_state
from keepline.domain.pacing import CHATS_MAX, Pacing, Wait

# Below Firestore's 500, with room for the authority document, and for what an edit or a revocation does to its message.
WRITES_PER_COMMIT_MAX = 240
# Sent rows whose receipts are still expected are remembered this long; an older one costs a query when its receipt comes.
REMEMBERED_SENT_MAX = 2_000
# A message that cannot be handed over for passing reasons is given up after this many tries (about 9 minutes).
ATTEMPTS_MAX = 8
RETRY_BASE_S = 2.0
RETRY_FACTOR = 2.0
RETRY_MAX_S = 120.0
# What priority is worth: a high row goes before normal ones of the ten minutes before it, a low one lets those of the ten
# minutes after it pass. So nothing waits for ever behind a stream of more important things.
PRIORITY_WORTH = timedelta(minutes=10)
# A message that its recipient cannot read is sent anew once; a second complaint would not be mended by a third copy.
REPAIRS_MAX = 1

# Answers of WhatsApp to a stanza that may be different the next time; every other code is final (seen in facts about acks).
RETRYABLE_REFUSALS = frozenset({"wa_421", "wa_429", "wa_500", "wa_503"})

# Firestore bills documents and takes its time for commits, so what can wait a moment waits for company: while sends are on their
# way, claims and outcomes for each other's; receipts for each other (delivered is often followed by read). An idle account waits
# for nothing: its claim and its outcome are committed at once.
CLAIMS_LINGER_S = 0.08
RECEIPTS_LINGER_S = 0.4

_WAITING = (MessageState.QUEUED, MessageState.IN_DOUBT)
# They have left, and WhatsApp knows them by an id.
WITH_WHATSAPP = (MessageState.SENT, MessageState.DELIVERED, MessageState.READ, MessageState.PLAYED)


@dataclass
class Outgoing:
    """One row of the outbox as the connector holds it."""

    message_id: str
    chat: str
    content: Content
    due_at: datetime
    created: datetime
    version: datetime
    send_at: datetime | None = None
    expires_at: datetime | None = None
    priority: int = 0
    on_doubt: OnDoubt = OnDoubt.RESEND
    state: MessageState = MessageState.QUEUED
    attempts: int = 0  # tries that are over; the next one has this number
    attempts_max: int = ATTEMPTS_MAX
    repairs: int = 0
    repair_of: str | None = (
        None  # the WhatsApp id of the copy that could not be read, to be revoked before the next try
    )
    tried_by: str | None = None  # the slot of the device that made the last try
    tried_at: datetime | None = None  # by Firestore's clock: not before this
    unreadable: str | None = None  # the WhatsApp id of such a copy, while the row's claim is not released yet
    wa_message_id: str | None = None
    to_phone: str | None = None  # the person that it goes to by both names, as digits, where they are known
    to_lid: str | None = None
    error_code: str | None = None
    times: dict[str, datetime] = field(default_factory=dict)
    origin: Mapping[str, str] = field(
        default_factory=dict
    )  # the request that brought it, for the log (trace_context.py)
    claim: int | None = None
    dirty: bool = False
    revision: int = 0  # rises with every change that Firestore has not been told of
    not_before_s: float = 0.0
    doubt_since_s: float | None = None

    @property
    def order(self) -> tuple[datetime, datetime, str]:
        """Due first goes first; the emulator's server time has milliseconds, its create time microseconds."""
        return (self.due_at, self.created, self.message_id)

    @property
    def doubtful_attempt(self) -> int:
        """The number of the last try: of a row in doubt the one that is."""
        return max(0, self.attempts - 1)


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
    """The queue of the device in `slot`. All times are of a monotonic clock, except those that are shown to people."""

    def __init__(self, in_flight_max: int, slot: str, pacing: Pacing) -> None:
        self._slot = slot
        self._in_flight_max = in_flight_max
        self._pacing = pacing
        self._strangers: OrderedDict[str, bool] = (
            OrderedDict()
        )  # by chat: whether nothing was ever said there; else not known
        self._held: tuple[float, str] | None = None  # until when pacing holds everything back, and why
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

    def has(self, message_id: str) -> bool:
        """Whether a row is taken in and not settled yet."""
        return message_id in self._open

    def adopt(self, row: Outgoing, outcome: SendOutcome | None, tried_by: str, now: datetime, now_s: float) -> None:
        """A row that an earlier holder had claimed or left in doubt, and what this device's store knows of that try.

        `tried_by` is the device whose claim it was; a row in doubt says that itself.
        `sent`: WhatsApp had acknowledged it. `unknown`: it may have left, under the WhatsApp id given, if one is known.
        None: it was never handed over, and is simply queued.
        """
        row.claim = None
        was_in_doubt = row.state is MessageState.IN_DOUBT
        if outcome is None and not was_in_doubt:
            return
        self._open[row.message_id] = row
        if not was_in_doubt:
            row.attempts += 1
            row.tried_by = tried_by
        if outcome is not None and outcome.result == "sent":
            self._prove(row, Cause.TAKEN, now, outcome.wa_message_id)
            return
        if outcome is not None and outcome.wa_message_id is not None:
            row.wa_message_id = outcome.wa_message_id
        row.doubt_since_s = now_s
        if not was_in_doubt:
            self._into_doubt(row, now)
        self._remember(row)

    def plan(self, now: datetime, now_s: float, *, may_send: bool) -> Plan:
        """What to commit now. `may_send` is false while the device is not connected: then nothing new is claimed."""
        self._expire(now)
        self._held = None
        claim = self._claimable(now, now_s) if may_send else []
        # What releases a claim must say what became of it: another holder would take a row without either for never tried.
        dirty = sorted(self._dirty.values(), key=lambda row: row.message_id not in self._released)
        write = tuple(dirty[:WRITES_PER_COMMIT_MAX])
        return Plan(write, tuple(row.revision for row in write), tuple(claim), tuple(sorted(self._released)))

    def strangers_to_look_up(self, now: datetime, now_s: float, limit: int) -> list[str]:
        """Waiting chats of which it must be known whether anything was said there before, and is not."""
        if not self._pacing.tells_strangers(now_s):
            return []
        chats = self._ready_chats(now, now_s)
        return list(itertools.islice((chat for chat in chats if not self._is_placed(chat)), limit))

    def _is_placed(self, chat: str) -> bool:
        """Whether it is known if a chat is a first contact. A group is none: somebody let us in."""
        return is_group(chat) or chat in self._strangers

    def met(self, chat: str, *, stranger: bool = False) -> None:
        """Something was said in this chat; or, for a `stranger`, nothing ever was."""
        self._strangers[chat] = stranger
        self._strangers.move_to_end(chat)
        while len(self._strangers) > CHATS_MAX:
            self._strangers.popitem(last=False)

    def claiming(self, plan: Plan, now_s: float, jitter: float) -> None:
        """The plan is about to be committed. Its claims count for the pace also if that fails: rather too slow than too fast."""
        for row in plan.claim:
            self._pacing.sent(now_s, row.chat, jitter, first_contact=self._strangers.get(row.chat, False))
            self.met(row.chat)

    def held(self, now_s: float) -> Wait | None:
        """What holds back all that could be sent, if it is pacing."""
        if self._held is None or self._held[0] <= now_s:
            return None
        return Wait(self._held[0] - now_s, self._held[1])

    def committed(self, plan: Plan, attempt: int, versions: Sequence[datetime]) -> None:
        """The plan is durable: `versions` are those of the rows it wrote, in order."""
        for row, revision, version in zip(plan.write, plan.revisions, versions, strict=True):
            row.version = version
            self._mark_seen(row)
            if row.revision == revision:  # Else a receipt came while the commit was on its way.
                row.dirty = False
                self._dirty.pop(row.message_id, None)
            if row.claim is None and row.state not in _WAITING:
                self._open.pop(row.message_id, None)
        for row in plan.claim:
            row.claim = attempt
        for message_id in plan.release:
            self._released.discard(message_id)
            released = self._open.get(message_id)
            if released is not None:
                released.claim = None
                if released.unreadable is not None:
                    self._repair(released, released.unreadable)
                if released.state not in _WAITING:
                    del self._open[message_id]

    def outcome(self, row: Outgoing, outcome: SendOutcome, now: datetime, now_s: float) -> None:
        """What became of handing over a claimed row."""
        self._released.add(row.message_id)
        row.attempts += 1
        row.tried_by = self._slot
        self._pacing.signal(outcome.error_code or "", now_s)
        row.to_phone, row.to_lid = outcome.to_phone or row.to_phone, outcome.to_lid or row.to_lid
        match outcome.result:
            case "sent":
                self._prove(row, Cause.TAKEN, now, outcome.wa_message_id)
            case "not_sent":
                self._retry_or_fail(row, outcome.error_code or "not_connected", now, now_s)
            case "refused" if outcome.error_code in RETRYABLE_REFUSALS:
                self._retry_or_fail(row, outcome.error_code or "refused", now, now_s)
            case "refused":
                self._fail(row, outcome.error_code or "refused", now)
            case _ if outcome.wa_message_id is None:
                # The library's own row is written before the stanza leaves: no row, no stanza.
                self._retry_or_fail(row, "not_handed_over", now, now_s)
            case _:
                row.wa_message_id = outcome.wa_message_id
                row.doubt_since_s = now_s
                self._into_doubt(row, now)
                self._remember(row)

    def put_back(self, row: Outgoing) -> None:
        """A claimed row that was not even tried, because one before it in its chat was not sent."""
        self._released.add(row.message_id)

    def receipt(self, wa_message_id: str, cause: Cause, at: datetime) -> bool:
        """A receipt for a message sent lately. False when this queue does not know the WhatsApp id."""
        row = self._sent.get(wa_message_id)
        if row is None:
            return False
        if cause is Cause.UNREADABLE:
            self._repair(row, wa_message_id)
        else:
            self._prove(row, cause, at, wa_message_id)
        return True

    def witnessed(self, message_id: str, wa_message_id: str | None, now: datetime) -> None:
        """Another device of the account has seen the doubtful message under this id; or has not, with None."""
        row = self._open.get(message_id)
        if row is None or row.state is not MessageState.IN_DOUBT or row.claim is not None:
            return
        if wa_message_id is not None:
            self._prove(row, Cause.TAKEN, now, wa_message_id)
        else:
            self._leave_doubt(row, Cause.NOT_TAKEN, now)

    def give_up_waiting(self, row: Outgoing, now: datetime) -> None:
        """No evidence will come for this doubt: its sender's choice decides."""
        self._leave_doubt(row, Cause.HELD if row.on_doubt is OnDoubt.HOLD else Cause.NOT_TAKEN, now)

    def doubts(self) -> list[Outgoing]:
        """The rows in doubt that no claim holds any more."""
        return [row for row in self._open.values() if row.state is MessageState.IN_DOUBT and row.claim is None]

    @property
    def has_doubts(self) -> bool:
        """Whether the outcome of a try is open, also of one whose claim is not yet settled."""
        return any(row.state is MessageState.IN_DOUBT for row in self._open.values())

    def refresh(self, row: Outgoing, current: Outgoing | None) -> None:
        """A commit with this row was refused; `current` is what the store holds of it now (None: it is gone)."""
        if current is None:
            self._forget(row)
        elif (
            current.version == row.version  # It was refused for another row's sake.
            or current.state in (MessageState.QUEUED, row.state)
            or (row.dirty and row.state in WITH_WHATSAPP)
        ):
            # Ours to write still; or it was applied after all and only the answer was lost.
            row.version = current.version
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
        if row is not None and (row.dirty or row.unreadable):
            return False
        return all(dirty.repair_of != wa_message_id for dirty in self._dirty.values())

    def claimed(self) -> list[Outgoing]:
        """Rows under an open claim, with or without an outcome."""
        return [row for row in self._open.values() if row.claim is not None]

    def waiting(self) -> list[Outgoing]:
        """Rows that are not yet sent, those first that are due first."""
        return sorted((row for row in self._open.values() if row.state in _WAITING), key=lambda row: row.order)

    def linger_s(self, plan: Plan) -> float:
        """How long a plan may wait for company, counted from the moment in which there was something to commit."""
        if not plan.changes_claims:
            return RECEIPTS_LINGER_S
        if not self._on_their_way() or len(plan.claim) >= self._in_flight_max // 2:
            return 0.0
        return CLAIMS_LINGER_S

    def next_change_s(self, now: datetime, now_s: float) -> float | None:
        """Seconds until time itself changes something (a back-off ends, a row is due, one expires), or None."""
        times = [row.not_before_s - now_s for row in self._open.values()]
        times += [self._held[0] - now_s] if self._held is not None else []
        for row in self._open.values():
            times += [(at - now).total_seconds() for at in (row.send_at, row.expires_at) if at is not None]
        return min((time for time in times if time > 0), default=None)

    def _on_their_way(self) -> list[Outgoing]:
        """Rows that were handed over, or are about to be, and have no outcome."""
        return [row for row in self.claimed() if row.message_id not in self._released]

    def _claimable(self, now: datetime, now_s: float) -> list[Outgoing]:
        # The commit that claims also releases what has its outcome.
        room = self._in_flight_max - len(self._on_their_way())
        if room <= 0:
            return []
        chats = self._paced(self._ready_chats(now, now_s), now_s)
        chosen: list[Outgoing] = []
        while chats and len(chosen) < (1 if self._pacing.spaces else room):
            chat = min(chats, key=lambda name: _urgency(chats[name]))
            chosen.append(chats[chat].pop(0))
            if not chats[chat]:
                del chats[chat]
        return chosen

    def _paced(self, chats: dict[str, list[Outgoing]], now_s: float) -> dict[str, list[Outgoing]]:
        """The chats that may be written to at this moment."""
        tells_strangers = self._pacing.tells_strangers(now_s)
        ready: dict[str, list[Outgoing]] = {}
        held: list[Wait] = []
        for chat, rows in chats.items():
            if tells_strangers and not self._is_placed(chat):
                continue  # It is being looked up.
            wait = self._pacing.wait(now_s, chat, first_contact=self._strangers.get(chat, False))
            if wait.because is None:
                ready[chat] = rows
            else:
                held.append(wait)
        next_free = min(held, key=lambda wait: wait.seconds, default=None)
        self._held = None
        if not ready and next_free is not None:
            self._held = (now_s + next_free.seconds, next_free.because or "")
        return ready

    def _ready_chats(self, now: datetime, now_s: float) -> dict[str, list[Outgoing]]:
        """For each chat, the rows that may be claimed now, in their order."""
        blocked = {row.chat for row in self._on_their_way()}
        ready: dict[str, list[Outgoing]] = {}
        for row in self.waiting():
            if row.chat in blocked:
                continue
            # A row whose last claim still names it waits for the commit that releases it: one commit cannot do both.
            unready = row.dirty or row.message_id in self._released
            # Only a time that somebody chose: `due_at` of the others is Firestore's clock, and ours may be behind it.
            unready = unready or (row.send_at is not None and row.send_at > now)
            if row.state is MessageState.IN_DOUBT or row.not_before_s > now_s or unready:
                blocked.add(row.chat)
                continue
            ready.setdefault(row.chat, []).append(row)
        return ready

    def _expire(self, now: datetime) -> None:
        for row in self._open.values():
            # Of a row that is being repaired a copy has left.
            in_play = row.claim is not None or row.message_id in self._released or row.repair_of is not None
            if row.expires_at is None or row.expires_at > now or in_play or row.state is not MessageState.QUEUED:
                continue
            self._end(row, Cause.EXPIRED, "expired", now)

    def _prove(self, row: Outgoing, cause: Cause, at: datetime, wa_message_id: str | None) -> None:
        state = next_state(row.state, cause)
        if state is None or (state is row.state and _proof_time(cause) in row.times):
            return
        row.state = state
        row.error_code = None
        row.doubt_since_s = None
        row.wa_message_id = wa_message_id
        row.times.setdefault(_proof_time(cause), at)
        self._touch(row)
        self._remember(row)

    def _retry_or_fail(self, row: Outgoing, code: str, now: datetime, now_s: float) -> None:
        if code == "not_connected":
            row.attempts -= 1  # The link's trouble is not the message's: it waits for the connection, without a count.
            return
        if row.attempts >= row.attempts_max:
            self._fail(row, code, now)
            return
        tries = row.attempts - (row.attempts_max - ATTEMPTS_MAX)  # A replay has its own series of pauses.
        row.not_before_s = now_s + min(RETRY_BASE_S * RETRY_FACTOR ** (tries - 1), RETRY_MAX_S)
        self._touch(row)

    def _fail(self, row: Outgoing, code: str, now: datetime) -> None:
        self._end(row, Cause.REFUSED, code, now)

    def _into_doubt(self, row: Outgoing, now: datetime) -> None:
        state = next_state(row.state, Cause.UNSURE)
        if state is None:
            return  # Its receipt was faster than the bad news.
        row.state = state
        row.error_code = "outcome_unknown"
        row.times.setdefault(state.value, now)
        self._touch(row)

    def _leave_doubt(self, row: Outgoing, cause: Cause, now: datetime) -> None:
        if cause is Cause.HELD or row.attempts >= row.attempts_max:
            self._end(row, Cause.HELD, "outcome_unknown", now)
            return
        state = next_state(row.state, cause)
        if state is None:
            return
        row.state = state
        row.error_code = None
        row.doubt_since_s = None
        self._touch(row)

    def _repair(self, row: Outgoing, unreadable: str) -> None:
        """Send the message anew under another id, and let the copy that could not be read vanish; once."""
        state = next_state(row.state, Cause.UNREADABLE)
        row.unreadable = unreadable if row.claim is not None else None
        if state is None or row.repairs >= REPAIRS_MAX or row.claim is not None or row.attempts >= row.attempts_max:
            return
        row.state = state
        row.doubt_since_s = None
        row.repairs += 1
        row.repair_of = unreadable
        row.wa_message_id = None
        self._sent.pop(unreadable, None)  # What else is said of that copy says nothing of the new one.
        self._open[row.message_id] = row
        self._touch(row)

    def _end(self, row: Outgoing, cause: Cause, code: str, now: datetime) -> None:
        state = next_state(row.state, cause)
        if state is None:
            return
        row.state = state
        row.error_code = code
        row.doubt_since_s = None
        row.times[state.value] = now
        self._touch(row)

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


def _urgency(rows: Sequence[Outgoing]) -> tuple[datetime, tuple[datetime, datetime, str]]:
    """Of a chat: when its most urgent row would be due at normal priority, then its first row's place."""
    return min(row.due_at - row.priority * PRIORITY_WORTH for row in rows), rows[0].order


def _proof_time(cause: Cause) -> str:
    return MessageState.SENT.value if cause is Cause.TAKEN else cause.value
