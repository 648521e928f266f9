"""What goes around a message before it is encrypted: padding, and the copy for the sender's own devices."""

from __future__ import annotations

import os

from simulator import wire
from simulator.errors import ProtocolError
from simulator.messages import schema, writing
from simulator.messages.reading import Content, read

__all__ = ["Content", "device_sent", "pad", "read", "secret_of", "text_message", "unpad", "with_sender_key"]


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
    return writing.text(text).message


def secret_of(message: bytes) -> str:
    return wire.parse(message).message(schema.MESSAGE_CONTEXT).blob(schema.MESSAGE_SECRET).hex()


def device_sent(message: bytes, destination: str) -> bytes:
    """The copy of an own message for the sender's other devices."""
    context = wire.parse(message).blob(schema.MESSAGE_CONTEXT)
    inner = wire.pack((1, destination), (2, message))
    return wire.pack((schema.DEVICE_SENT, inner), (schema.MESSAGE_CONTEXT, context or None))


def with_sender_key(group: str, distribution: bytes, message: bytes = b"") -> bytes:
    """A message that hands out a sender key, alone or together with something to show."""
    return wire.pack((schema.SENDER_KEY, wire.pack((1, group), (2, distribution)))) + message
