"""What is inside a message once it is decrypted: the few fields of WhatsApp's `Message` that phones here understand.

Field numbers are those of waE2E's schema: conversation 1, extendedTextMessage 6 (text 1), deviceSentMessage 31 (destination 1,
message 2), messageContextInfo 35 (messageSecret 3).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from simulator import wire
from simulator.errors import ProtocolError

CONVERSATION, EXTENDED_TEXT, PROTOCOL, DEVICE_SENT, CONTEXT_INFO = 1, 6, 12, 31, 35
_SECRET = 3

# Names of the kinds of content, for the inbox; what is not listed is "other".
_KINDS = {
    CONVERSATION: "text", EXTENDED_TEXT: "text", 3: "image", 4: "contact", 5: "location", 7: "document", 8: "audio",
    9: "video", PROTOCOL: "protocol", 13: "contacts", 26: "sticker", 46: "reaction", 49: "poll", 50: "poll_vote", 58: "edit",
}  # fmt: skip


class Content(NamedTuple):
    """A message as a phone shows it."""

    kind: str
    text: str
    # 64 hex digits of the message secret, by which a sender may recognise its message; "" without one.
    tag: str
    # Where a copy of an own message went (an address), else "".
    sent_to: str


def pad(plain: bytes) -> bytes:
    """1 to 15 bytes of their own count, as whatsmeow's `padMessage` does it."""
    count = os.urandom(1)[0] & 15 or 15
    return plain + bytes((count,)) * count


def unpad(padded: bytes) -> bytes:
    count = padded[-1] if padded else 0
    if count == 0 or len(padded) < count or padded[-count:] != bytes((count,)) * count:
        raise ProtocolError("bad_padding", "A decrypted message is not padded as it should be.")
    return padded[:-count]


def text_message(text: str) -> bytes:
    """A plain text message with a message secret, as phones send it."""
    return wire.pack((CONVERSATION, text), (CONTEXT_INFO, wire.pack((_SECRET, os.urandom(32)))))


def secret_of(message: bytes) -> str:
    return wire.parse(message).message(CONTEXT_INFO).blob(_SECRET).hex()


def device_sent(message: bytes, destination: str) -> bytes:
    """The copy of an own message for the sender's other devices."""
    context = wire.parse(message).blob(CONTEXT_INFO)
    return wire.pack((DEVICE_SENT, wire.pack((1, destination), (2, message))), (CONTEXT_INFO, context or None))


def read(message: bytes) -> Content:
    """Raises `ProtocolError` if it is not a message at all."""
    fields = wire.parse(message)
    tag = fields.message(CONTEXT_INFO).blob(_SECRET).hex()
    sent_to = ""
    if DEVICE_SENT in fields:
        wrapper = fields.message(DEVICE_SENT)
        sent_to = wrapper.text(1)
        fields = wrapper.message(2)
        tag = tag or fields.message(CONTEXT_INFO).blob(_SECRET).hex()
    kind = next((name for number, name in _KINDS.items() if number in fields), "other")
    text = fields.text(CONVERSATION) or fields.message(EXTENDED_TEXT).text(1)
    return Content(kind, text, tag, sent_to)
