"""What a new message says about earlier ones: their ids of ours become WhatsApp's own, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keepline.domain.content import maps
from keepline.domain.content.bodies import (
    Addition,
    Body,
    Contacts,
    Content,
    Edit,
    Forward,
    Location,
    Poll,
    Quote,
    Revoke,
    Text,
    Vote,
)
from keepline.domain.content.files import Image, Media, Video
from keepline.domain.content.references import MessageRef
from keepline.domain.errors import InvalidInput, NotFound, StateConflict
from keepline.domain.ids import is_message_id
from keepline.domain.message import MessageState
from keepline.domain.send_queue import WITH_WHATSAPP
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore
from keepline.records import history, outbox
from keepline.records.changes import latest_edit
from keepline.records.heard_media import is_stored
from keepline.usecases.message_views import is_row

# WhatsApp's help pages; phones ignore what comes later. (The library waves 20 minutes through, whatsmeow send.go `EditWindow`.)
EDIT_WINDOW = timedelta(minutes=15)
# "A little over two days" (WhatsApp, August 2022): 60 hours in its apps.
REVOKE_WINDOW = timedelta(hours=60)

# They change or mark another message, and nothing can be said about them in turn.
_NOT_REFERRED_TO = frozenset({"reaction", "edit", "revoke", "vote"})


@dataclass(frozen=True)
class _Earlier:
    """A message that was sent or heard, by the name that WhatsApp knows it by."""

    reference: MessageRef
    kind: str
    text: str | None
    body: Body | None  # None where it cannot be said again
    sent_at: datetime


class References:
    """The earlier messages of all tenants."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def resolve(self, tenant: str, account: str, content: Content) -> Content:
        """The content with WhatsApp's names for what it refers to; a forward becomes what it forwards.

        Raises NotFound (`message_not_found`) and StateConflict: `message_of_another_session`, `message_not_sent`,
        `message_revoked`, `cannot_be_referred_to`, `cannot_edit`, `edit_too_late`, `cannot_revoke`, `revoke_too_late`,
        `cannot_forward`, `not_a_poll`; and InvalidInput (`bad_vote`).
        """
        body = content.body
        if isinstance(body, Addition | Forward):
            earlier = await self._find(tenant, account, body.message)
            match body:
                case Vote():
                    _check_vote(body, earlier)
                case Edit():
                    self._check_editable(earlier)
                case Revoke():
                    self._check_revocable(earlier)
                case Forward():
                    return replace(content, body=_forwarded(earlier), forwarded=True)
            content = replace(content, body=replace(body, message=earlier.reference))
        if content.quote is not None:
            quoted = await self._find(tenant, account, content.quote.message)
            content = replace(content, quote=Quote(quoted.reference, quoted.text or ""))
        return content

    async def _find(self, tenant: str, account: str, reference: MessageRef) -> _Earlier:
        document = await self._document(tenant, reference.message_id or "")
        fields = document.fields
        if fields["account"] != account:
            raise StateConflict(
                "message_of_another_session",
                "The message that this one refers to belongs to another session.",
                "Refer to a message of the session that sends.",
            )
        if fields.get("revoked_at") is not None:
            raise StateConflict(
                "message_revoked", "The message that this one refers to was deleted.", "Refer to another message."
            )
        if fields["kind"] in _NOT_REFERRED_TO:
            raise StateConflict(
                "cannot_be_referred_to",
                f"The message that this one refers to is only a {fields['kind']}.",
                "Refer to the message that it is about.",
            )
        if is_row(document) and (fields["state"] not in WITH_WHATSAPP or fields["wa_message_id"] is None):
            raise StateConflict(
                "message_not_sent",
                f"The message that this one refers to is not with WhatsApp: it is {fields['state']}.",
                "Wait until it is sent.",
            )
        return _row(document) if is_row(document) else _heard(document)

    async def _document(self, tenant: str, message_id: str) -> Document:
        document = None
        if is_message_id(message_id) and message_id.startswith("m_"):
            document = await self._store.get(outbox.row_path(message_id))
        elif is_message_id(message_id):
            document = next(iter(await self._store.query(history.message_by_id(tenant, message_id))), None)
        if document is None or document.fields["tenant"] != tenant:
            raise NotFound("message_not_found", "There is no such message.", "Use the message_id that an answer named.")
        return document

    def _check_editable(self, earlier: _Earlier) -> None:
        if not earlier.reference.from_me or earlier.kind != "text":
            raise StateConflict(
                "cannot_edit", "Only texts that this number sent can be edited.", "Send another message instead."
            )
        if self._clock.now() - earlier.sent_at > EDIT_WINDOW:
            raise StateConflict(
                "edit_too_late",
                "WhatsApp lets a message be edited for 15 minutes after it was sent.",
                "Send another message instead.",
            )

    def _check_revocable(self, earlier: _Earlier) -> None:
        if not earlier.reference.from_me:
            raise StateConflict(
                "cannot_revoke",
                "Only messages that this number sent can be deleted for everyone.",
                "Ask its sender to delete it.",
            )
        if self._clock.now() - earlier.sent_at > REVOKE_WINDOW:
            raise StateConflict(
                "revoke_too_late",
                "WhatsApp lets a message be deleted for everyone for 60 hours after it was sent.",
                "Nothing can be done about it any more.",
            )


def _check_vote(vote: Vote, earlier: _Earlier) -> None:
    poll = earlier.body
    if not isinstance(poll, Poll):
        raise StateConflict("not_a_poll", "The message to vote on is no poll.", "Name the message_id of a poll.")
    unknown = [option for option in vote.options if option not in poll.options]
    if unknown or len(set(vote.options)) < len(vote.options):
        raise InvalidInput(
            "bad_vote",
            "vote.options has one that the poll does not have, or one twice.",
            "Write them as the poll does.",
        )
    if poll.selectable and len(vote.options) > poll.selectable:
        raise InvalidInput(
            "bad_vote", f"vote.options has {len(vote.options)}; the poll takes {poll.selectable}.", "Choose fewer."
        )


def _row(document: Document) -> _Earlier:
    fields = document.fields
    content = maps.from_map(fields["kind"], fields["content"])
    edit = latest_edit(fields)
    if edit is not None and isinstance(content.body, Text):
        content = replace(content, body=replace(content.body, text=edit["text"]))
    reference = MessageRef(document.id, fields["wa_message_id"], fields["chat"], from_me=True)
    times = fields["times"]
    sent_at = times.get(MessageState.SENT.value) or fields["accepted_at"]
    return _Earlier(reference, fields["kind"], content.text, content.body, sent_at)


def _heard(document: Document) -> _Earlier:
    fields = document.fields
    edit = latest_edit(fields)
    text = edit["text"] if edit is not None else fields["text"]
    return _Earlier(
        history.reference(document), fields["kind"], text, _heard_body(fields["kind"], text, fields), fields["at"]
    )


def _heard_body(kind: str, text: str | None, fields: maps.Fields) -> Body | None:
    match kind:
        case "text":
            return Text(text or "")
        case "location" if None in (fields["content"]["location"][name] for name in ("latitude", "longitude")):
            return None  # No place on earth, but somebody sent it.
        case "location" | "contact" | "poll":
            return maps.from_map(kind, fields["content"]).body
        case "image" | "video" | "audio" | "document" | "sticker" if is_stored(fields):
            said = {"caption": text or "", "view_once": False, "voice": False, **fields["content"]}
            return maps.from_map(kind, said).body
    return None


def _forwarded(earlier: _Earlier) -> Body:
    match earlier.body:
        case Text(text=text):
            return Text(text)  # As phones do it: without its preview and its mentions.
        case Image(view_once=True) | Video(view_once=True):
            pass  # Its sender did not mean it to be passed on.
        case body if isinstance(body, Media | Location | Contacts):
            return body
    raise StateConflict(
        "cannot_forward",
        f"A message of the kind {earlier.kind} cannot be forwarded.",
        "Forward texts, files that are stored and not for one look only, locations and contacts.",
    )
