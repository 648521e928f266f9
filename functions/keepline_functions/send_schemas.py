"""What `POST /api/messages/send` may contain, kind by kind: one model each, with the fields of that kind and no others."""

from __future__ import annotations

import json
from typing import Any, Literal, Union

from flask import Request
from werkzeug.exceptions import UnsupportedMediaType

from keepline.domain.addresses import parse_person, phone_of
from keepline.domain.content import bodies
from keepline.domain.content.bodies import Content, Quote
from keepline.domain.content.files import Audio, Document, File, Image, Sticker, Video
from keepline.domain.content.references import MessageRef
from keepline.domain.content.vcards import make_vcard
from keepline.domain.errors import InvalidInput
from keepline.domain.message import OnDoubt
from keepline.domain.send_options import Priority, SendOptions
from keepline_functions.schemas import Body, Time, body_bytes, parse_body


class SendMessage(Body):
    """What every kind has. What is null is as if it were not there."""

    session_id: str
    send_at: Time | None = None
    """Not before this time, at most 90 days ahead; a time in the past is now."""
    expires_at: Time | None = None
    """Not after this time, which must be later than now and than `send_at`."""
    priority: Literal["high", "normal", "low"] | None = None
    """Which chats go first; `normal` if it is not said."""
    on_doubt: Literal["resend", "hold"] | None = None
    """What to do when nobody can know whether it left: send it again (perhaps twice), or hold it for a person to decide."""

    def options(self) -> SendOptions:
        """What is asked for beyond the content and where it goes."""
        return SendOptions(
            send_at=self.send_at,
            expires_at=self.expires_at,
            priority=Priority[self.priority.upper()] if self.priority else Priority.NORMAL,
            on_doubt=OnDoubt(self.on_doubt) if self.on_doubt else None,
        )

    def recipient(self) -> str | None:
        """Where it goes; None for what goes where the message is that it is about."""
        return None

    def content(self) -> Content:
        """What it says. Raises InvalidInput for an address in it that is none."""
        raise NotImplementedError


class _SendTo(SendMessage):
    to: str
    """A phone number with its country code, `…@s.whatsapp.net`, `…@c.us` or `…@lid`; a group as `…@g.us`; your statuses as
    `status@broadcast` (texts only)."""

    def recipient(self) -> str:
        return self.to


class _Answer(_SendTo):
    quote: str | None = None
    """The `message_id` of the message that this one answers."""

    def _quoting(self) -> Quote | None:
        return Quote(MessageRef(self.quote)) if self.quote is not None else None


class _Preview(Body):
    """The box under a link of the text."""

    url: str
    """A link that stands in the text. Nothing is fetched."""
    title: str
    description: str = ""


class SendText(_Answer):
    """A text."""

    kind: Literal["text"] | None = "text"
    text: str
    """1 to 65,536 characters."""
    mentions: list[str] | None = None
    """People whose `@number` stands in the text."""
    preview: _Preview | None = None
    """The box under a link of the text."""

    def content(self) -> Content:
        preview = bodies.LinkPreview(**self.preview.model_dump()) if self.preview is not None else None
        return Content(bodies.Text(self.text, tuple(map(parse_person, self.mentions or ())), preview), self._quoting())


class _File(Body):
    """A file, named in one of two ways."""

    url: str | None = None
    media_id: str | None = None
    file_name: str = ""

    def file(self) -> File:
        """As it was asked for; it is looked up or fetched later."""
        return File(self.media_id, self.url, name=self.file_name)


class _SendFile(_Answer):
    media: _File


class _SendPicture(_SendFile):
    caption: str = ""
    view_once: bool = False


class SendImage(_SendPicture):
    """A picture."""

    kind: Literal["image"]

    def content(self) -> Content:
        return Content(Image(self.media.file(), self.caption, self.view_once), self._quoting())


class SendVideo(_SendPicture):
    """A film."""

    kind: Literal["video"]

    def content(self) -> Content:
        return Content(Video(self.media.file(), self.caption, self.view_once), self._quoting())


class SendAudio(_SendFile):
    """Something to listen to, or a voice note."""

    kind: Literal["audio"]
    voice: bool = False

    def content(self) -> Content:
        return Content(Audio(self.media.file(), self.voice), self._quoting())


class SendDocument(_SendFile):
    """A file of any type."""

    kind: Literal["document"]
    caption: str = ""

    def content(self) -> Content:
        return Content(Document(self.media.file(), self.caption), self._quoting())


class SendSticker(_SendFile):
    """A sticker."""

    kind: Literal["sticker"]

    def content(self) -> Content:
        return Content(Sticker(self.media.file()), self._quoting())


class _Place(Body):
    """A place, in degrees."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""


class SendLocation(_Answer):
    """A place."""

    kind: Literal["location"]
    location: _Place

    def content(self) -> Content:
        return Content(bodies.Location(**self.location.model_dump()), self._quoting())


class _Contact(Body):
    """Somebody, with either their numbers or a card."""

    name: str
    phones: list[str] | None = None
    """Numbers, of which a card is made; or"""
    vcard: str | None = None
    """a whole vCard."""


class SendContact(_Answer):
    """One contact card, or several."""

    kind: Literal["contact"]
    contacts: list[_Contact]
    """1 to 257."""

    def content(self) -> Content:
        cards = [_card(number, contact) for number, contact in enumerate(self.contacts)]
        return Content(bodies.Contacts(tuple(cards)), self._quoting())


class _Poll(Body):
    """A question with options."""

    question: str
    """Up to 255 characters."""
    options: list[str]
    """2 to 12, of up to 100 characters."""
    selectable: int = 1
    """How many options one person may choose; 0 for any number."""


class SendPoll(_Answer):
    """A poll."""

    kind: Literal["poll"]
    poll: _Poll

    def content(self) -> Content:
        poll = bodies.Poll(self.poll.question, tuple(self.poll.options), self.poll.selectable)
        return Content(poll, self._quoting())


class _Vote(Body):
    """What this number chooses in a poll."""

    message: str
    """The poll's `message_id`."""
    options: list[str]
    """What this number chooses, in place of what it chose before; none take the vote back."""


class SendVote(SendMessage):
    """A vote in a poll, in the poll's chat."""

    kind: Literal["vote"]
    vote: _Vote

    def content(self) -> Content:
        return Content(bodies.Vote(MessageRef(self.vote.message), tuple(self.vote.options)))


class _Reaction(Body):
    """One emoji on a message."""

    message: str
    """A `message_id`."""
    emoji: str
    """One emoji; an empty text takes it back."""


class SendReaction(SendMessage):
    """A reaction to a message, in that message's chat."""

    kind: Literal["reaction"]
    reaction: _Reaction

    def content(self) -> Content:
        return Content(bodies.Reaction(MessageRef(self.reaction.message), self.reaction.emoji))


class _Edit(Body):
    """New words for a text."""

    message: str
    """The `message_id` of a text that this number sent, within 15 minutes."""
    text: str
    """What it is to say."""


class SendEdit(SendMessage):
    """New words for a text of ours."""

    kind: Literal["edit"]
    edit: _Edit

    def content(self) -> Content:
        return Content(bodies.Edit(MessageRef(self.edit.message), self.edit.text))


class _Named(Body):
    """The message that it is about."""

    message: str
    """A `message_id`."""


class SendRevoke(SendMessage):
    """Deletes a message of ours for everyone."""

    kind: Literal["revoke"]
    revoke: _Named

    def content(self) -> Content:
        return Content(bodies.Revoke(MessageRef(self.revoke.message)))


class SendForward(_SendTo):
    """Says in one chat what an earlier message said, in whatever chat of the session."""

    kind: Literal["forward"]
    forward: _Named

    def content(self) -> Content:
        return Content(bodies.Forward(MessageRef(self.forward.message)))


_KINDS: dict[str, type[SendMessage]] = {
    "text": SendText,
    "image": SendImage,
    "video": SendVideo,
    "audio": SendAudio,
    "document": SendDocument,
    "sticker": SendSticker,
    "location": SendLocation,
    "contact": SendContact,
    "poll": SendPoll,
    "vote": SendVote,
    "reaction": SendReaction,
    "edit": SendEdit,
    "revoke": SendRevoke,
    "forward": SendForward,
}

# The body of `POST /api/messages/send`, as its description has it.
AnyMessage: Any = Union[tuple(_KINDS.values())]  # noqa: UP007  # `|` makes no union of a list of types


def read_message(request: Request) -> SendMessage:
    """The body as the model of its kind has it; a text when it names none.

    Raises InvalidInput (`unsupported_kind` by name, and what `read_body` raises) and werkzeug's errors for the wrong type (415)
    and too much (413).
    """
    data = body_bytes(request)
    if not request.is_json:
        raise UnsupportedMediaType
    kind = _kind_in(data)
    model = _KINDS.get(kind)
    if model is None:
        raise InvalidInput(
            "unsupported_kind",
            f"Messages of the kind {kind[:40]!r} cannot be sent.",
            f"The kinds are: {', '.join(_KINDS)}.",
        )
    return parse_body(model, data)


def _kind_in(data: bytes) -> str:
    """The kind that a body names. What is wrong with a body that is none, its model says best."""
    try:
        body: Any = json.loads(data)
    except (ValueError, RecursionError):
        return "text"
    kind = body.get("kind") if isinstance(body, dict) else None
    if kind is not None and not isinstance(kind, str):
        raise InvalidInput(
            "bad_field", "The field 'kind' is not right.", f"Input should be one of: {', '.join(_KINDS)}."
        )
    return kind or "text"


def _card(number: int, contact: _Contact) -> bodies.ContactCard:
    if (contact.vcard is None) == (not contact.phones):
        raise InvalidInput(
            "bad_contact",
            f"contacts.{number} has neither `phones` nor `vcard`, or both.",
            "Give the phone numbers, or a whole vCard.",
        )
    if contact.vcard is not None:
        return bodies.ContactCard(contact.name, contact.vcard)
    return bodies.ContactCard(
        contact.name, make_vcard(contact.name, [_digits(phone) for phone in contact.phones or ()])
    )


def _digits(phone: str) -> str:
    digits = phone_of(parse_person(phone))
    if digits is None:
        raise InvalidInput(
            "bad_contact", "A contact card has phone numbers, and a LID is none.", "Write the number as +14155550123."
        )
    return digits
