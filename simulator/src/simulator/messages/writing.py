"""Writes messages as phones do, with the attributes that their stanzas carry (whatsmeow send.go, `prepareMessageNode`)."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from simulator import wire
from simulator.media.sealing import SealedMedia
from simulator.media.store import Stored
from simulator.messages import schema as s
from simulator.messages.reading import Key

# The `edit` attribute (whatsmeow types/message.go `EditAttribute`).
EDITED, SENDER_REVOKED, ADMIN_REVOKED = "1", "7", "8"


class Draft(NamedTuple):
    """A message that is ready to be encrypted, and what its stanza says about it."""

    message: bytes
    # The stanza's `type`: text, media, poll or reaction.
    type: str = "text"
    # The encrypted part's `mediatype`.
    mediatype: str = ""
    # The stanza's `edit`.
    edit: str = ""
    polltype: str = ""

    @property
    def hidden(self) -> bool:
        """Whether a device that cannot decrypt it shows nothing instead of "Waiting for this message"."""
        return bool(self.edit) or self.type == "reaction" or self.polltype == "vote"


class Quote(NamedTuple):
    """The message that another one answers."""

    id: str
    author: str
    message: bytes


class About(NamedTuple):
    """What a message says about others."""

    quote: Quote | None = None
    mentions: tuple[str, ...] = ()

    def packed(self) -> bytes | None:
        if not self.quote and not self.mentions:
            return None
        quote = self.quote
        return wire.pack(
            (s.QUOTED_ID, quote.id if quote else None),
            (s.QUOTED_FROM, quote.author if quote else None),
            (s.QUOTED_MESSAGE, quote.message if quote else None),
            *wire.repeated(s.MENTIONS, self.mentions),
        )


_NOTHING = About()


def _message(number: int, body: bytes | str) -> bytes:
    """One field, and a message secret as phones put it into everything."""
    secret = wire.pack((s.MESSAGE_SECRET, os.urandom(s.SECRET_BYTES)))
    return wire.pack((number, body), (s.MESSAGE_CONTEXT, secret))


def _now_ms() -> int:
    return int(time.time() * 1_000)


def pack_key(key: Key) -> bytes:
    return wire.pack((1, key.chat), (2, key.from_me), (3, key.id), (4, key.participant or None))


def text(content: str, about: About = _NOTHING) -> Draft:
    context = about.packed()
    if context is None:
        return Draft(_message(s.CONVERSATION, content))
    return Draft(_message(s.EXTENDED_TEXT, wire.pack((1, content), (17, context))))


class MediaDetails(NamedTuple):
    """What is told about a file besides its bytes."""

    mimetype: str
    caption: str = ""
    filename: str = ""
    seconds: int = 0
    # A voice note, a gif, an animated sticker.
    flag: bool = False
    view_once: bool = False


def media(kind: str, sealed: SealedMedia, stored: Stored, details: MediaDetails, about: About = _NOTHING) -> Draft:
    """`kind` is one of `schema.MEDIA`."""
    layout = s.MEDIA[kind]
    pairs: list[tuple[int, wire.Packable]] = [
        (1, stored.url),
        (layout.mimetype, details.mimetype),
        (layout.file_sha256, sealed.file_sha256),
        (layout.size, sealed.size),
        (layout.key, sealed.key),
        (layout.blob_sha256, sealed.blob_sha256),
        (layout.path, stored.direct_path),
        (layout.key_at, int(time.time())),
        (layout.context, about.packed()),
    ]
    optional = (
        (layout.caption, details.caption), (layout.filename, details.filename), (layout.seconds, details.seconds),
        (layout.flag, int(details.flag)), (layout.view_once, int(details.view_once)),
    )  # fmt: skip
    pairs += [(number, value) for number, value in optional if number and value]
    mediatype = {"voice": "ptt", "gif": "gif"}.get(layout.flag_name, kind) if details.flag else kind
    return Draft(_message(layout.number, wire.pack(*pairs)), "media", mediatype)


def location(latitude: float, longitude: float, name: str = "", address: str = "", about: About = _NOTHING) -> Draft:
    body = wire.pack((1, latitude), (2, longitude), (3, name or None), (4, address or None), (17, about.packed()))
    return Draft(_message(s.LOCATION, body))


def contact(name: str, vcard: str, about: About = _NOTHING) -> Draft:
    return Draft(_message(s.CONTACT, wire.pack((1, name), (16, vcard), (17, about.packed()))), "media", "vcard")


def vcard(name: str, number: str) -> str:
    """A contact card as phones make it; `waid` is what makes it a WhatsApp contact."""
    return f"BEGIN:VCARD\nVERSION:3.0\nFN:{name}\nTEL;type=CELL;waid={number}:+{number}\nEND:VCARD"


def poll(question: str, options: list[str], choices: int, about: About = _NOTHING) -> Draft:
    body = wire.pack(
        (2, question),
        *wire.repeated(3, [wire.pack((1, option)) for option in options]),
        (4, choices),
        (5, about.packed()),
    )
    number = s.POLL_CREATION_ONE_CHOICE if choices == 1 else s.POLL_CREATION
    return Draft(_message(number, body), "poll", polltype="creation")


def vote(key: Key, payload: bytes, iv: bytes) -> Draft:
    body = wire.pack((1, pack_key(key)), (2, wire.pack((1, payload), (2, iv))), (4, _now_ms()))
    return Draft(wire.pack((s.POLL_VOTE, body)), "poll", polltype="vote")


def reaction(key: Key, emoji: str) -> Draft:
    """An empty emoji takes a reaction back."""
    body = wire.pack((1, pack_key(key)), (2, emoji), (4, _now_ms()))
    return Draft(wire.pack((s.REACTION, body)), "reaction", edit="" if emoji else SENDER_REVOKED)


def edit(key: Key, content: str) -> Draft:
    protocol = wire.pack(
        (s.PROTOCOL_KEY, pack_key(key)), (s.PROTOCOL_TYPE, s.EDIT), (s.PROTOCOL_EDITED, wire.pack((s.CONVERSATION, content))),
        (s.PROTOCOL_AT_MS, _now_ms()),
    )  # fmt: skip
    inner = wire.pack((s.PROTOCOL, protocol))
    return Draft(_message(s.EDITED, wire.pack((1, inner))), edit=EDITED)


def revoke(key: Key) -> Draft:
    protocol = wire.pack((s.PROTOCOL_KEY, pack_key(key)), (s.PROTOCOL_TYPE, s.REVOKE))
    return Draft(_message(s.PROTOCOL, protocol), edit=SENDER_REVOKED if key.from_me else ADMIN_REVOKED)


def protocol(kind: int, number: int, body: bytes) -> Draft:
    """Something that a phone tells its own devices."""
    return Draft(wire.pack((s.PROTOCOL, wire.pack((s.PROTOCOL_TYPE, kind), (number, body)))))
