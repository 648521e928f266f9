"""A message as programs see it, made of an outbox row or of what WhatsApp brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from keepline.domain.addresses import is_group, lid_of, phone_of
from keepline.domain.content import maps
from keepline.domain.message import MessageState, OnDoubt
from keepline.domain.send_options import Priority
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore
from keepline.records import outbox
from keepline.records.changes import latest_edit
from keepline.records.heard_media import MediaFate, fate_of
from keepline.records.outbox import Authority


@dataclass(frozen=True)
class Delivery:
    """What only a message of the API has: how it is to be sent, and how often it was tried."""

    send_at: datetime | None
    expires_at: datetime | None
    priority: Priority
    on_doubt: OnDoubt
    attempts: int
    repairs: int


@dataclass(frozen=True)
class Person:
    """Somebody by both of WhatsApp's names, as digits, where they are known."""

    phone: str | None
    lid: str | None


@dataclass(frozen=True)
class MessageView:
    """One message, in or out. `at` orders it among the others, to the millisecond."""

    message_id: str
    session_id: str
    chat: str
    direction: Literal["out", "in"]
    kind: str
    text: str | None
    content: Mapping[str, Any]  # what its kind says, by the names of domain/content/maps.py
    sender: Person | None  # of what WhatsApp brought
    recipient: Person | None  # of what went out to one person
    edited_at: datetime | None
    revoked_at: datetime | None
    state: MessageState
    wa_message_id: str | None
    times: Mapping[str, datetime]
    error_code: str | None
    at: datetime
    delivery: Delivery | None
    media: MediaFate | None = None  # of a file that WhatsApp brought


class MessageViewer:
    """Knows of outbox rows what the rows do not say: whether they are on their way at this moment, or not due yet."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def views(self, found: Sequence[Document]) -> list[MessageView]:
        """The views of one account's messages, in their order."""
        claimed = await self._claimed([document for document in found if is_row(document)])
        return [self._row_view(one, claimed) if is_row(one) else _heard_view(one, self._clock.now()) for one in found]

    async def view(self, found: Document) -> MessageView:
        [view] = await self.views([found])
        return view

    def fresh(self, row: Document) -> MessageView:
        """A row that was accepted this moment, so that nobody can have claimed it."""
        return self._row_view(row, frozenset())

    async def _claimed(self, rows: Sequence[Document]) -> frozenset[str]:
        """Which of an account's rows are named in an open claim, so that they may be on the wire right now."""
        queued = [row for row in rows if row.fields["state"] == MessageState.QUEUED.value]
        if not queued:
            return frozenset()
        document = await self._store.get(outbox.authority_path(queued[0].fields["account"]))
        return frozenset(Authority.read(document).message_ids()) if document is not None else frozenset()

    def _row_view(self, row: Document, claimed: frozenset[str]) -> MessageView:
        fields = row.fields
        return MessageView(
            message_id=row.id,
            session_id=fields["session_id"],
            chat=fields["chat"],
            direction="out",
            kind=fields["kind"],
            **_said(fields, maps.from_map(fields["kind"], fields["content"]).text),
            sender=None,
            recipient=None if is_group(fields["chat"]) else Person(fields["to"]["phone"], fields["to"]["lid"]),
            state=self._shown_state(row, claimed),
            wa_message_id=fields["wa_message_id"],
            times=fields["times"],
            error_code=fields["error_code"],
            at=instant(row),
            delivery=Delivery(
                send_at=fields["send_at"],
                expires_at=fields["expires_at"],
                priority=Priority(fields["priority"]),
                on_doubt=OnDoubt(fields["on_doubt"]),
                attempts=fields["attempts"],
                repairs=fields["repairs"],
            ),
        )

    def _shown_state(self, row: Document, claimed: frozenset[str]) -> MessageState:
        state = MessageState(row.fields["state"])
        if state is not MessageState.QUEUED:
            return state
        if row.id in claimed:
            return MessageState.SENDING
        # Not by `due_at`: for a row without a wish that is the store's time, and its clock may be a little ahead of ours.
        send_at = row.fields["send_at"]
        return MessageState.SCHEDULED if send_at is not None and send_at > self._clock.now() else state


def _said(fields: Mapping[str, Any], text: str | None) -> dict[str, Any]:
    """What a message says by now: as it was written, as it was edited last, or nothing since it was taken back."""
    edit, revoked_at = latest_edit(fields), fields.get("revoked_at")
    return {
        "text": None if revoked_at else edit["text"] if edit else text,
        "content": {} if revoked_at else fields.get("content") or {},
        "edited_at": edit["at"] if edit else None,
        "revoked_at": revoked_at,
    }


def is_row(document: Document) -> bool:
    """Whether this is a row of the outbox; else WhatsApp brought it."""
    return document.path.startswith(f"{outbox.OUTBOX}/")


def instant(document: Document) -> datetime:
    """When a message happened, to the millisecond: what is shown, and what `before` can say."""
    fields = document.fields
    at: datetime = fields["accepted_at"] if is_row(document) else fields["at"]
    # Field by field: what Firestore's client gives is a kind of datetime with nanoseconds.
    whole = (at.year, at.month, at.day, at.hour, at.minute, at.second)
    return datetime(*whole, at.microsecond // 1000 * 1000, tzinfo=at.tzinfo)


def _heard_view(document: Document, now: datetime) -> MessageView:
    fields = document.fields
    chat, incoming, read_at = fields["chat"], fields["direction"] == "in", fields.get("read_at")
    return MessageView(
        message_id=fields["message_id"],
        session_id=fields["session_id"],
        chat=fields["chat"],
        direction=fields["direction"],
        kind=fields["kind"],
        **_said(fields, fields["text"]),
        sender=Person(fields["from"]["phone"], fields["from"]["lid"]),
        recipient=None if incoming or is_group(chat) else Person(phone_of(chat), lid_of(chat)),
        state=MessageState.READ if read_at is not None else MessageState(fields["state"]),
        wa_message_id=fields["wa_message_id"],
        times=fields["times"] if read_at is None else {**fields["times"], "read": read_at},
        error_code=None,
        at=instant(document),
        delivery=None,
        media=fate_of(fields, now) if "media" in (fields.get("content") or {}) else None,
    )
