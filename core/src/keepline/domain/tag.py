"""The tag: 32 bytes in a message's `messageSecret` by which a send is recognised wherever it shows up.

WhatsApp lets a client choose the secret freely and copies it to every linked device of the sender; whatsmeow stores it
beside the WhatsApp id before the stanza leaves. So the tag finds the WhatsApp id of a send that was cut off in the middle,
and another device of the account that gets the copy can tell which message it is.

A tag holds the message's id and the number of the try, hidden behind a keystream of its own check value (the construction of
a synthetic IV: deterministic, and nothing can be read or forged without the account's key). To everybody else it looks random,
as a secret should.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

TAG_BYTES = 32
# Six bits beside the 130 of a message id: two bytes more than the digits need would be eight.
TRIES_MAX = 64

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID_CHARACTERS = 26
_CONTENT_BYTES = 17
_CHECK_BYTES = TAG_BYTES - _CONTENT_BYTES


@dataclass(frozen=True)
class Tagged:
    """What a tag says: an outgoing message and which try of sending it this was (0 for the first)."""

    message_id: str
    attempt: int


def message_tag(account_key: bytes, message_id: str, attempt: int) -> bytes:
    """The 32-byte tag of one try to send a message, under its account's key (32 random bytes that never leave our documents)."""
    content = _pack(message_id, attempt)
    check = _check(account_key, content)
    return check + _hide(account_key, check, content)


def read_tag(account_key: bytes, tag: bytes) -> Tagged | None:
    """What a secret says if it is a tag of ours under this key; None for everything else."""
    if len(tag) != TAG_BYTES:
        return None
    check, hidden = tag[:_CHECK_BYTES], tag[_CHECK_BYTES:]
    content = _hide(account_key, check, hidden)
    return _unpack(content) if hmac.compare_digest(check, _check(account_key, content)) else None


def _pack(message_id: str, attempt: int) -> bytes:
    digits = message_id.removeprefix("m_")
    if len(digits) != _ID_CHARACTERS or not 0 <= attempt < TRIES_MAX:
        raise ValueError("a tag needs the id of an outgoing message and a try below 64")
    number = attempt
    for character in digits:
        number = number * 32 + _ALPHABET.index(character)
    return number.to_bytes(_CONTENT_BYTES, "big")


def _unpack(content: bytes) -> Tagged:
    number = int.from_bytes(content, "big")
    digits = ""
    for _ in range(_ID_CHARACTERS):
        number, digit = divmod(number, 32)
        digits = _ALPHABET[digit] + digits
    return Tagged("m_" + digits, number)


def _check(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, b"keepline tag 2:" + content, hashlib.sha256)[:_CHECK_BYTES]


def _hide(key: bytes, check: bytes, content: bytes) -> bytes:
    keystream = hmac.digest(key, b"keepline tag 2 stream:" + check, hashlib.sha256)
    return bytes(a ^ b for a, b in zip(content, keystream, strict=False))
