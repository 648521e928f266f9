"""`outbox/{message_id}`: an outgoing message, from acceptance to the last receipt. `send_authority/{account}`: who may send.

Rows are not touched by a claim. The one authority document of an account names the open claims, so a claim of ten rows costs
one write, and every claim and every settle is refused once the document has changed hands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from keepline.domain.addresses import lid_of, phone_of
from keepline.domain.content import maps
from keepline.domain.content.bodies import Content
from keepline.domain.message import FACTS, MessageState, OnDoubt
from keepline.domain.pacing import PacingMemory
from keepline.domain.send_queue import ATTEMPTS_MAX, Outgoing
from keepline.domain.trace_context import Origin
from keepline.ports.documents import SERVER_TIME, Create, Document, Query, Sentinel, Update, Version, Where

OUTBOX = "outbox"
AUTHORITY = "send_authority"

# One query's worth of waiting rows per group of accounts; the rest follows as these settle.
WAITING_ROWS_MAX = 500
DOUBT_ROWS_MAX = 100
# How many WhatsApp ids one receipt look-up asks for (the limit of Firestore's `in`).
RECEIPT_IDS_MAX = 30


def row_path(message_id: str) -> str:
    return f"{OUTBOX}/{message_id}"


def authority_path(account: str) -> str:
    return f"{AUTHORITY}/{account}"


@dataclass(frozen=True)
class NewMessage:
    """What the API accepts. Times are None where the caller gave none."""

    message_id: str
    tenant: str
    account: str
    session_id: str
    chat: str
    content: Content
    body_hash: str
    send_at: datetime | None = None
    expires_at: datetime | None = None
    priority: int = 0  # 1 high, 0 normal, -1 low
    on_doubt: OnDoubt = OnDoubt.RESEND
    origin: Origin = field(default_factory=Origin)


def new_row(message: NewMessage) -> Create:
    """Accept a message: it is durable when this write is."""
    return Create(
        row_path(message.message_id),
        {
            "tenant": message.tenant,
            "account": message.account,
            "session_id": message.session_id,
            "chat": message.chat,
            "to": {"phone": phone_of(message.chat), "lid": lid_of(message.chat)},
            "kind": message.content.kind,
            "content": maps.to_map(message.content),
            "body_hash": message.body_hash,
            "state": MessageState.QUEUED.value,
            "priority": message.priority,
            "on_doubt": message.on_doubt.value,
            "attempts": 0,
            "attempts_max": ATTEMPTS_MAX,
            "repairs": 0,
            "repair_of": None,
            "tried_by": None,
            "tried_at": None,
            "wa_message_id": None,
            "error_code": None,
            "send_at": message.send_at,
            "expires_at": message.expires_at,
            # Also at the top: the Python client's listener cannot order by a field inside a map (it ends with a ValueError).
            "accepted_at": SERVER_TIME,
            # What the queue is ordered by, within a chat and for the watch: when it may go.
            "due_at": message.send_at or SERVER_TIME,
            "times": {"accepted": SERVER_TIME},
            "origin": message.origin.fields(),
        },
    )


def waiting_rows(accounts: tuple[str, ...]) -> Query:
    """The queued rows of up to 30 accounts, those first that may go first: what a connector watches."""
    where = (Where("account", "in", list(accounts)), Where("state", "==", MessageState.QUEUED.value))
    return Query(OUTBOX, where, "due_at", limit=WAITING_ROWS_MAX)


def queued_rows(account: str, limit: int) -> Query:
    """The queued rows of one account, those first that may go first."""
    where = (Where("account", "==", account), Where("state", "==", MessageState.QUEUED.value))
    return Query(OUTBOX, where, "due_at", limit=limit)


def dead_letters(account: str, limit: int, before: datetime | None) -> Query:
    """The failed rows of one account, newest first."""
    where = [Where("account", "==", account), Where("state", "==", MessageState.FAILED.value)]
    if before is not None:
        where.append(Where("accepted_at", "<", before))
    return Query(OUTBOX, tuple(where), "accepted_at", descending=True, limit=limit)


def overdue_rows(expired_before: datetime, limit: int) -> Query:
    """Queued rows of any account whose time ran out before a moment."""
    where = (Where("state", "==", MessageState.QUEUED.value), Where("expires_at", "<", expired_before))
    return Query(OUTBOX, where, "expires_at", limit=limit)


def newest_rows(account: str, chat: str | None, limit: int, before: datetime | None) -> Query:
    """The newest outgoing messages of an account, or of one of its chats, whatever their state."""
    where = [Where("account", "==", account)]
    if chat is not None:
        where.append(Where("chat", "==", chat))
    if before is not None:
        where.append(Where("accepted_at", "<", before))
    return Query(OUTBOX, tuple(where), "accepted_at", descending=True, limit=limit)


def accepted_rows(account: str, begin: datetime, end: datetime, limit: int) -> Query:
    """The rows of one account that were accepted in a time, newest first."""
    where = (Where("account", "==", account), Where("accepted_at", ">=", begin), Where("accepted_at", "<", end))
    return Query(OUTBOX, where, "accepted_at", descending=True, limit=limit)


def accepted_rows_in(account: str, states: list[str], begin: datetime, end: datetime, limit: int) -> Query:
    """Those of them that are in one of some states: counted at once, so a row that moves between these is counted once."""
    where = (
        Where("account", "==", account),
        Where("state", "in", states),
        Where("accepted_at", ">=", begin),
        Where("accepted_at", "<", end),
    )
    return Query(OUTBOX, where, "accepted_at", descending=True, limit=limit)


def longest_waiting_rows(due_before: datetime, limit: int) -> Query:
    """Queued rows of any account that have been due since before a time, oldest first."""
    where = (Where("state", "==", MessageState.QUEUED.value), Where("due_at", "<", due_before))
    return Query(OUTBOX, where, "due_at", limit=limit)


def doubtful_rows(account: str) -> Query:
    where = (Where("account", "==", account), Where("state", "==", MessageState.IN_DOUBT.value))
    return Query(OUTBOX, where, "accepted_at", limit=DOUBT_ROWS_MAX)


def rows_by_wa_id(account: str, wa_message_ids: list[str]) -> Query:
    where = (Where("account", "==", account), Where("wa_message_id", "in", wa_message_ids))
    return Query(OUTBOX, where, limit=RECEIPT_IDS_MAX)


def taken_in_chat(account: str, chat: str) -> Query:
    """One message of a chat that WhatsApp has taken, if there is any."""
    taken = [state.value for state in MessageState if state is MessageState.SENT or state in FACTS]
    where = (Where("account", "==", account), Where("chat", "==", chat), Where("state", "in", taken))
    return Query(OUTBOX, where, limit=1)


def authorities_of(accounts: tuple[str, ...]) -> Query:
    return Query(AUTHORITY, (Where("account", "in", list(accounts)),), limit=len(accounts))


def to_outgoing(document: Document) -> Outgoing:
    """A row as the send queue holds it."""
    fields = document.fields
    return Outgoing(
        message_id=document.id,
        chat=fields["chat"],
        content=maps.from_map(fields["kind"], fields["content"]),
        due_at=fields["due_at"],
        created=document.created,
        version=document.version,
        send_at=fields["send_at"],
        expires_at=fields["expires_at"],
        priority=fields["priority"],
        on_doubt=OnDoubt(fields["on_doubt"]),
        state=MessageState(fields["state"]),
        attempts=fields["attempts"],
        attempts_max=fields["attempts_max"],
        repairs=fields["repairs"],
        repair_of=fields["repair_of"],
        tried_by=fields["tried_by"],
        tried_at=fields["tried_at"],
        wa_message_id=fields["wa_message_id"],
        to_phone=fields["to"]["phone"],
        to_lid=fields["to"]["lid"],
        error_code=fields["error_code"],
        times=dict(fields["times"]),
        origin=fields.get("origin", {}),
    )


def settle_row(row: Outgoing) -> Update:
    """Write what is known of a row, if nobody has changed it since."""
    return Update(
        row_path(row.message_id),
        {
            "state": row.state.value,
            "attempts": row.attempts,
            "repairs": row.repairs,
            "repair_of": row.repair_of,
            "tried_by": row.tried_by,
            # Of others nobody asks, and an index over what rises with time slows all writes.
            "tried_at": row.tried_at if row.state is MessageState.IN_DOUBT else None,
            "wa_message_id": row.wa_message_id,
            "to": {"phone": row.to_phone, "lid": row.to_lid},
            "error_code": row.error_code,
            "times": dict(row.times),
        },
        row.version,
    )


def cancel_row(row: Document) -> Update:
    """Withdraw a queued row, if nobody has changed it since."""
    return Update(row.path, {"state": MessageState.CANCELLED.value, "times.cancelled": SERVER_TIME}, row.version)


def replay_row(row: Document) -> Update:
    """Queue a dead letter again, for as many tries as a new message has; behind what its chat has waiting now."""
    return Update(
        row.path,
        {
            "state": MessageState.QUEUED.value,
            "error_code": None,
            "attempts_max": row.fields["attempts"] + ATTEMPTS_MAX,
            "expires_at": None,
            "due_at": SERVER_TIME,
            "times.replayed": SERVER_TIME,
        },
        row.version,
    )


@dataclass(frozen=True)
class Authority:
    """Who may send for an account. `generation` fences: it rises whenever the authority changes hands.

    `recalls` counts withdrawn messages: a withdrawal changes this document, so that it and a claim made at the same moment
    cannot both succeed. `sessions` has the step that each device's stored session had at the last change: an older one must not
    be used. `incarnation` names the life of the local store that the claims were made over: of a claim, only that one can say
    that it was never handed over; `claim_slot` is that store's device. `yielded`: the holder has fallen silent, and another
    of the account's devices may take over. `pacing` is what the number's pace has to remember.
    """

    account: str
    generation: int
    connector: str
    slot: str
    attempt: int = 0
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # attempt -> ids without a settled outcome
    claimed_at: Mapping[str, datetime | Sentinel] = field(default_factory=dict)  # attempt -> time
    recalls: int = 0
    sessions: Mapping[str, int] = field(default_factory=dict)
    incarnation: str = ""
    claim_slot: str = ""
    yielded: bool = False
    pacing: PacingMemory = field(default_factory=PacingMemory)
    version: Version | None = None

    @classmethod
    def read(cls, document: Document) -> Authority:
        fields: Mapping[str, Any] = document.fields
        return cls(
            account=document.id,
            generation=fields["generation"],
            connector=fields["connector"],
            slot=fields["slot"],
            attempt=fields["attempt"],
            claims={attempt: tuple(ids) for attempt, ids in fields["claims"].items()},
            claimed_at=dict(fields["claimed_at"]),
            recalls=fields["recalls"],
            sessions=dict(fields["sessions"]),
            incarnation=fields["incarnation"],
            claim_slot=fields["claim_slot"],
            yielded=fields["yielded"],
            pacing=_read_pacing(fields["pacing"]),
            version=document.version,
        )

    @classmethod
    def nobodys(cls, account: str) -> Authority:
        """Before anybody has sent for the account."""
        return cls(account, 0, "", "")

    def write(self) -> Create | Update:
        """This state of the authority, on the condition that nobody changed it since it was read."""
        fields = {
            "account": self.account,
            "generation": self.generation,
            "connector": self.connector,
            "slot": self.slot,
            "attempt": self.attempt,
            "claims": {attempt: list(ids) for attempt, ids in self.claims.items()},
            "claimed_at": dict(self.claimed_at),
            "recalls": self.recalls,
            "sessions": dict(self.sessions),
            "incarnation": self.incarnation,
            "claim_slot": self.claim_slot,
            "yielded": self.yielded,
            "pacing": {
                "first_contacts": list(self.pacing.first_contacts),
                "closed_until": dict(self.pacing.closed_until),
                "slowness": self.pacing.slowness,
                "slowed_at": self.pacing.slowed_at,
            },
            "changed_at": SERVER_TIME,
        }
        path = authority_path(self.account)
        return Create(path, fields) if self.version is None else Update(path, fields, self.version)

    def after(self, claim: Sequence[str], release: Collection[str]) -> Authority:
        """The authority with one more claim (if any ids are given) and without the released ids."""
        claims = {attempt: tuple(i for i in ids if i not in release) for attempt, ids in self.claims.items()}
        times = dict(self.claimed_at)
        attempt = self.attempt
        if claim:
            attempt += 1
            claims[str(attempt)] = tuple(claim)
            times[str(attempt)] = SERVER_TIME
        claims = {attempt: ids for attempt, ids in claims.items() if ids}
        return replace(self, attempt=attempt, claims=claims, claimed_at={name: times[name] for name in claims})

    def written(self, version: Version) -> Authority:
        """The authority once it is durable: a document's version is the server's time of its commit."""
        times = {name: version if time is SERVER_TIME else time for name, time in self.claimed_at.items()}
        return replace(self, claimed_at=times, version=version)

    def claim_time(self, message_id: str) -> datetime | None:
        """When a message was claimed."""
        for attempt, ids in self.claims.items():
            if message_id in ids and isinstance(time := self.claimed_at[attempt], datetime):
                return time
        return None

    def at(self, sequence: int, incarnation: str) -> Authority:
        """The authority of a holder whose session is at this step. Its claims, if there are any, are of its own making."""
        sessions = {**self.sessions, self.slot: sequence}
        return replace(self, sessions=sessions, incarnation=incarnation, claim_slot=self.slot)

    def taken_by(self, connector: str, slot: str) -> Authority:
        """The authority after it changed hands. The claims stay, and whose they are."""
        return replace(self, generation=self.generation + 1, connector=connector, slot=slot, yielded=False)

    def paced(self, memory: PacingMemory) -> Authority:
        return replace(self, pacing=memory)

    def given_up(self) -> Authority:
        return replace(self, yielded=True)

    def after_recall(self) -> Authority:
        """The authority after a message was withdrawn."""
        return replace(self, recalls=self.recalls + 1)

    def message_ids(self) -> list[str]:
        """Everything that is claimed."""
        return [message_id for ids in self.claims.values() for message_id in ids]


def _read_pacing(fields: Mapping[str, Any]) -> PacingMemory:
    return PacingMemory(
        first_contacts=tuple(fields["first_contacts"]),
        closed_until=dict(fields["closed_until"]),
        slowness=fields["slowness"],
        slowed_at=fields["slowed_at"],
    )
