"""Contents as plain maps, as Firestore and the frames between connector and cell keep them. The kind stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keepline.domain.content import bodies
from keepline.domain.content.bodies import Body, Content, Quote
from keepline.domain.content.files import Audio, Document, File, Image, Sticker, Video
from keepline.domain.content.references import MessageRef

Fields = Mapping[str, Any]


def to_map(content: Content) -> dict[str, Any]:
    """What the content says besides its kind. What is not there has no entry."""
    fields = _body_map(content.body)
    if content.quote is not None:
        fields["quote"] = {**content.quote.message.to_map(), "text": content.quote.text}
    if content.forwarded:
        fields["forwarded"] = True
    return fields


def from_map(kind: str, fields: Mapping[str, Any]) -> Content:
    """The content that `to_map` made this of. Raises KeyError for a kind that cannot be sent."""
    quote = fields.get("quote")
    return Content(
        _READERS[kind](fields),
        Quote(MessageRef.from_map(quote), quote["text"]) if quote is not None else None,
        bool(fields.get("forwarded")),
    )


def _body_map(body: Body) -> dict[str, Any]:
    match body:
        case bodies.Text():
            fields: dict[str, Any] = {"text": body.text}
            if body.mentions:
                fields["mentions"] = list(body.mentions)
            if body.preview is not None:
                fields["preview"] = dict(vars(body.preview))
            return fields
        case Image() | Video():
            return {"media": body.file.to_map(), "caption": body.caption, "view_once": body.view_once}
        case Audio():
            return {"media": body.file.to_map(), "voice": body.voice}
        case Document():
            return {"media": body.file.to_map(), "caption": body.caption}
        case Sticker():
            return {"media": body.file.to_map()}
        case bodies.Location():
            return {"location": dict(vars(body))}
        case bodies.Contacts():
            return {"contacts": [dict(vars(card)) for card in body.cards]}
        case bodies.Poll():
            return {"poll": {**vars(body), "options": list(body.options)}}
        case bodies.Vote():
            return {"vote": {"message": body.message.to_map(), "options": list(body.options)}}
        case bodies.Reaction():
            return {"reaction": {"message": body.message.to_map(), "emoji": body.emoji}}
        case bodies.Edit():
            return {"edit": {"message": body.message.to_map(), "text": body.text}}
        case bodies.Revoke():
            return {"revoke": {"message": body.message.to_map()}}
        case bodies.Forward():
            return {"forward": {"message": body.message.to_map()}}


def _text(fields: Mapping[str, Any]) -> bodies.Text:
    preview = fields.get("preview")
    return bodies.Text(
        fields["text"],
        tuple(fields.get("mentions", ())),
        bodies.LinkPreview(**preview) if preview is not None else None,
    )


def _poll(fields: Mapping[str, Any]) -> bodies.Poll:
    poll = fields["poll"]
    return bodies.Poll(poll["question"], tuple(poll["options"]), poll["selectable"])


def _about(fields: Mapping[str, Any], name: str) -> MessageRef:
    return MessageRef.from_map(fields[name]["message"])


def _file(fields: Mapping[str, Any]) -> File:
    return File.from_map(fields["media"])


_READERS: dict[str, Callable[[Fields], Body]] = {
    "text": _text,
    "image": lambda fields: Image(_file(fields), fields["caption"], fields["view_once"]),
    "video": lambda fields: Video(_file(fields), fields["caption"], fields["view_once"]),
    "audio": lambda fields: Audio(_file(fields), fields["voice"]),
    "document": lambda fields: Document(_file(fields), fields["caption"]),
    "sticker": lambda fields: Sticker(_file(fields)),
    "location": lambda fields: bodies.Location(**fields["location"]),
    "contact": lambda fields: bodies.Contacts(tuple(bodies.ContactCard(**card) for card in fields["contacts"])),
    "poll": _poll,
    "vote": lambda fields: bodies.Vote(_about(fields, "vote"), tuple(fields["vote"]["options"])),
    "reaction": lambda fields: bodies.Reaction(_about(fields, "reaction"), fields["reaction"]["emoji"]),
    "edit": lambda fields: bodies.Edit(_about(fields, "edit"), fields["edit"]["text"]),
    "revoke": lambda fields: bodies.Revoke(_about(fields, "revoke")),
}
