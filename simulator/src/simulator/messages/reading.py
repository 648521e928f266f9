"""Reads a decrypted message: its kind, its text, and the fields that a phone shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from simulator import wire
from simulator.limits import MESSAGE_WRAPPERS_MAX
from simulator.messages import schema as s
from simulator.wire import Fields

# Kinds that are not shown: a phone acts on them, or they only change another message's keys.
SILENT = frozenset({"protocol", "sender_key"})
# Kinds that change another message; a message that cannot be decrypted and is one of these is not waited for visibly.
ADDONS = frozenset({"reaction", "edit", "revoke", "vote", "pin", "keep"})
_WA_ID = re.compile(r"waid=(\d+)")


class Key(NamedTuple):
    """Names another message (waCommon `MessageKey`)."""

    chat: str
    from_me: bool
    id: str
    # The author in a group, if it is not the writer of the key.
    participant: str


class MediaRef(NamedTuple):
    """Where an attachment is and how it is opened."""

    sealed_as: str
    path: str
    key: bytes
    file_sha256: bytes
    blob_sha256: bytes


@dataclass(slots=True)
class Content:
    """A message as a phone understands it."""

    kind: str
    text: str = ""
    # 64 hex digits of the message secret, by which a sender may recognise its message; "" without one.
    tag: str = ""
    # Where a copy of an own message went (an address), else "".
    sent_to: str = ""
    # What is shown besides the text; addresses in it are still addresses.
    fields: dict[str, Any] = field(default_factory=dict)
    target: Key | None = None
    media: MediaRef | None = None
    # A sender key that came along: the group and libsignal's distribution message.
    sender_key: tuple[str, bytes] | None = None
    # ProtocolMessage, for what phones and their devices tell each other.
    protocol: Fields | None = None
    vote: tuple[bytes, bytes] | None = None
    # The message itself, out of its wrappers.
    message: bytes = b""


def read(message: bytes) -> Content:
    """Raises `ProtocolError` if it is not a message at all."""
    fields = wire.parse(message)
    secret = fields.message(s.MESSAGE_CONTEXT).blob(s.MESSAGE_SECRET)
    sent_to = ""
    if s.DEVICE_SENT in fields:
        wrapper = fields.message(s.DEVICE_SENT)
        sent_to, message = wrapper.text(1), wrapper.blob(2)
        fields = wire.parse(message)
        secret = secret or fields.message(s.MESSAGE_CONTEXT).blob(s.MESSAGE_SECRET)
    key = fields.message(s.SENDER_KEY) if s.SENDER_KEY in fields else None
    flags: dict[str, Any] = {}
    fields = _unwrap(fields, flags)
    found = _read_kind(fields)
    found.tag, found.sent_to, found.message = secret.hex(), sent_to, message
    found.fields.update(flags)
    if key is not None:
        found.sender_key = (key.text(1), key.blob(2))
        if found.kind == "other":
            found.kind = "sender_key"
    return found


def _unwrap(fields: Fields, flags: dict[str, Any]) -> Fields:
    for _ in range(MESSAGE_WRAPPERS_MAX):
        number = next((one for one in s.WRAPPERS if one in fields), None)
        if number is None:
            break
        if s.WRAPPERS[number]:
            flags[s.WRAPPERS[number]] = True
        fields = fields.message(number).message(1)
    return fields


def _read_kind(fields: Fields) -> Content:
    if s.CONVERSATION in fields:
        return Content("text", fields.text(s.CONVERSATION))
    for number, layout in s.MEDIA_BY_NUMBER.items():
        if number in fields:
            return _media(fields.message(number), layout)
    for number, reader in _READERS.items():
        if number in fields:
            inner = fields.message(number)
            found = reader(inner)
            if number in s.CONTEXTS:
                _context(inner.message(s.CONTEXTS[number]), found.fields)
            return found
    return Content("other")


def _context(context: Fields, into: dict[str, Any]) -> None:
    """What a message says about others: a quote, mentions, that it was forwarded."""
    if s.QUOTED_ID in context:
        quoted = _read_kind(_unwrap(context.message(s.QUOTED_MESSAGE), {}))
        into["quote"] = {"id": context.text(s.QUOTED_ID), "from": context.text(s.QUOTED_FROM), "text": quoted.text}
    if s.MENTIONS in context:
        into["mentions"] = context.texts(s.MENTIONS)
    if context.number(s.FORWARDED):
        into["forwarded"] = True


def _media(inner: Fields, layout: s.MediaLayout) -> Content:
    ref = MediaRef(
        layout.sealed_as, inner.text(layout.path), inner.blob(layout.key), inner.blob(layout.file_sha256),
        inner.blob(layout.blob_sha256),
    )  # fmt: skip
    shown: dict[str, Any] = {
        "mimetype": inner.text(layout.mimetype),
        "size": inner.number(layout.size),
        "sha256": ref.file_sha256.hex(),
    }
    for name, number in (("seconds", layout.seconds), ("width", layout.width), ("height", layout.height)):
        if number and number in inner:
            shown[name] = inner.number(number)
    if layout.filename:
        shown["filename"] = inner.text(layout.filename)
    if layout.view_once and inner.number(layout.view_once):
        shown["view_once"] = True
    kind = layout.kind
    if layout.flag and inner.number(layout.flag):
        shown[layout.flag_name] = True
        kind = "voice" if layout.flag_name == "voice" else kind
    _context(inner.message(layout.context), shown)
    return Content(kind, inner.text(layout.caption) if layout.caption else "", fields=shown, media=ref)


def read_key(fields: Fields) -> Key:
    return Key(fields.text(1), bool(fields.number(2)), fields.text(3), fields.text(4))


def _extended(inner: Fields) -> Content:
    shown = {
        name: inner.text(number) for name, number in (("title", 6), ("description", 5), ("link", 2)) if number in inner
    }
    return Content("text", inner.text(1), fields=shown)


def _location(inner: Fields) -> Content:
    shown = {
        "latitude": inner.decimal(1),
        "longitude": inner.decimal(2),
        "name": inner.text(3),
        "address": inner.text(4),
    }
    return Content("location", fields=shown)


def _live_location(inner: Fields) -> Content:
    return Content("live_location", inner.text(6), fields={"latitude": inner.decimal(1), "longitude": inner.decimal(2)})


def _contact(inner: Fields) -> Content:
    return Content("contact", fields=_card(inner))


def _card(inner: Fields) -> dict[str, Any]:
    vcard = inner.text(16)
    return {"name": inner.text(1), "vcard": vcard, "numbers": _WA_ID.findall(vcard)}


def _contacts(inner: Fields) -> Content:
    return Content("contacts", inner.text(1), fields={"contacts": [_card(one) for one in inner.messages(2)]})


def _invite(inner: Fields) -> Content:
    return Content(
        "group_invite", inner.text(6), fields={"group": inner.text(1), "code": inner.text(2), "name": inner.text(4)}
    )


def _reaction(inner: Fields) -> Content:
    key = read_key(inner.message(1))
    return Content("reaction", fields={"target": key.id, "emoji": inner.text(2)}, target=key)


def _poll(inner: Fields) -> Content:
    options = [option.text(1) for option in inner.messages(3)]
    return Content("poll", inner.text(2), fields={"options": options, "choices": inner.number(4)})


def _vote(inner: Fields) -> Content:
    key, sealed = read_key(inner.message(1)), inner.message(2)
    return Content("vote", fields={"target": key.id}, target=key, vote=(sealed.blob(1), sealed.blob(2)))


def _pin(inner: Fields) -> Content:
    key = read_key(inner.message(1))
    return Content("pin", fields={"target": key.id, "pinned": inner.number(2) == 1}, target=key)


def _keep(inner: Fields) -> Content:
    key = read_key(inner.message(1))
    return Content("keep", fields={"target": key.id, "kept": inner.number(2) == 1}, target=key)


def _protocol(inner: Fields) -> Content:
    kind = inner.number(s.PROTOCOL_TYPE)
    if s.PROTOCOL_KEY in inner and kind in (s.REVOKE, s.EDIT):
        key = read_key(inner.message(s.PROTOCOL_KEY))
        if kind == s.REVOKE:
            return Content("revoke", fields={"target": key.id}, target=key)
        edited = _read_kind(_unwrap(inner.message(s.PROTOCOL_EDITED), {}))
        return Content("edit", edited.text, fields={"target": key.id}, target=key)
    return Content("protocol", protocol=inner)


_READERS: dict[int, Callable[[Fields], Content]] = {
    s.EXTENDED_TEXT: _extended,
    s.PROTOCOL: _protocol,
    s.REACTION: _reaction,
    s.LOCATION: _location,
    s.LIVE_LOCATION: _live_location,
    s.CONTACT: _contact,
    s.CONTACTS: _contacts,
    s.GROUP_INVITE: _invite,
    **dict.fromkeys(s.POLL_CREATIONS, _poll),
    s.POLL_VOTE: _vote,
    s.PIN: _pin,
    s.KEEP: _keep,
}
