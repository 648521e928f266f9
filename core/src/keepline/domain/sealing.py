"""Sealing: what of a session rests in the document store, encrypted and bound to its place (AES-256-GCM).

A sealed blob is a nonce of 96 bits, the ciphertext and a tag of 128 bits. The place where it belongs (account, slot, sequence
and so on) is authenticated with it and not kept in it, so a blob that was moved, swapped or changed does not open.

Nonces are random. Their limit is 2^32 blobs under one key for a chance of collision of 2^-32 (NIST SP 800-38D, 8.3): a device
that appends five segments a second reaches it after 27 years.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT = 1
KEY_BYTES = 32
NONCE_BYTES = 12
# What sealing adds to a payload: the nonce and the tag.
SEALED_EXTRA_BYTES = NONCE_BYTES + 16

# Below this, compressing costs more time than it saves bytes.
_COMPRESSED_BYTES_MIN = 1_000
_COMPRESSION_LEVEL = 1


class SealBroken(Exception):
    """This was not sealed under this key for this place, or it was changed since."""


class SegmentKind(Enum):
    """What one link of the chain says."""

    ROWS = "rows"  # rows of the device's store that have changed
    TAKEN = "taken"  # somebody opened the session: whoever held it before has lost it
    WHOLE = "whole"  # what changed here is in the snapshot that was saved with it, and only there


@dataclass(frozen=True)
class Header:
    """Which state of a device's store a blob tells of, in the terms of the file that it came from."""

    incarnation: str | None  # None while nothing of the device has ever been saved
    mark: int
    holder: str | None = None  # of a segment TAKEN: who, and as which epoch
    epoch: int | None = None


def key_context(account: str, slot: str) -> bytes:
    """What a device's data key is for, when it is wrapped."""
    return _joined("keepline session key", FORMAT, account, slot)


def proxy_key_context(account: str) -> bytes:
    """What the data key of an account's proxy is for, when it is wrapped."""
    return _joined("keepline proxy key", FORMAT, account)


def webhook_key_context(tenant: str, webhook: str) -> bytes:
    """What the data key of a webhook's secrets is for, when it is wrapped."""
    return _joined("keepline webhook key", FORMAT, tenant, webhook)


def channel_key_context(owner: str, channel: str) -> bytes:
    """What the data key of the address of a channel of alerts is for, when it is wrapped."""
    return _joined("keepline alert channel key", FORMAT, owner, channel)


class ChannelSeal:
    """Seals and opens the address of a channel of alerts under a data key of its own, bound to the channel and its owner."""

    def __init__(self, key: bytes, owner: str, channel: str) -> None:
        self._cipher = AESGCM(key)
        self._place = _joined("keepline", FORMAT, "alert channel", owner, channel)

    def seal(self, url: str, nonce: bytes) -> bytes:
        return _sealed(self._cipher, url.encode(), nonce, self._place)

    def open(self, sealed: bytes) -> str:
        """Raises SealBroken."""
        return _opened(self._cipher, sealed, self._place).decode()


class WebhookSeal:
    """Seals and opens a webhook's secrets under a data key of their own.

    Bound to the webhook and to its address: whoever could write another address there would be told nothing.
    """

    def __init__(self, key: bytes, tenant: str, webhook: str, url: str) -> None:
        self._cipher = AESGCM(key)
        self._place = _joined("keepline", FORMAT, "webhook", tenant, webhook, url)

    def seal(self, payload: bytes, nonce: bytes) -> bytes:
        return _sealed(self._cipher, payload, nonce, self._place)

    def open(self, sealed: bytes) -> bytes:
        """Raises SealBroken."""
        return _opened(self._cipher, sealed, self._place)


class ProxySeal:
    """Seals and opens the address of an account's proxy under a data key of its own.

    Bound to the account, and to what is shown of the address in clear.
    """

    def __init__(self, key: bytes, account: str, scheme: str, host: str, port: int) -> None:
        self._cipher = AESGCM(key)
        self._place = _joined("keepline", FORMAT, "proxy", account, scheme, host, port)

    def seal(self, url: str, nonce: bytes) -> bytes:
        return _sealed(self._cipher, url.encode(), nonce, self._place)

    def open(self, sealed: bytes) -> str:
        """Raises SealBroken."""
        return _opened(self._cipher, sealed, self._place).decode()


class Seal:
    """Seals and opens the blobs of one device under its data key."""

    def __init__(self, key: bytes, account: str, slot: str) -> None:
        self._cipher = AESGCM(key)
        self._segment = _joined("keepline", FORMAT, "segment", account, slot)
        self._snapshot = _joined("keepline", FORMAT, "snapshot", account, slot)

    def seal_segment(self, payload: bytes, nonce: bytes, *, sequence: int, epoch: int, kind: SegmentKind) -> bytes:
        return _sealed(self._cipher, payload, nonce, self._segment + _joined(sequence, epoch, kind.value))

    def open_segment(self, sealed: bytes, *, sequence: int, epoch: int, kind: SegmentKind) -> bytes:
        """Raises SealBroken."""
        return _opened(self._cipher, sealed, self._segment + _joined(sequence, epoch, kind.value))

    def seal_chunk(
        self, payload: bytes, nonce: bytes, *, sequence: int, version: int, chunk: int, chunks: int
    ) -> bytes:
        return _sealed(self._cipher, payload, nonce, self._snapshot + _joined(sequence, version, chunk, chunks))

    def open_chunk(self, sealed: bytes, *, sequence: int, version: int, chunk: int, chunks: int) -> bytes:
        """Raises SealBroken."""
        return _opened(self._cipher, sealed, self._snapshot + _joined(sequence, version, chunk, chunks))


def pack(header: Header, data: bytes) -> bytes:
    """A payload to be sealed: one line of JSON, then the data, compressed if that makes it smaller."""
    line: dict[str, Any] = {"incarnation": header.incarnation, "mark": header.mark}
    if header.holder is not None:
        line |= {"holder": header.holder, "epoch": header.epoch}
    if len(data) >= _COMPRESSED_BYTES_MIN:
        compressed = zlib.compress(data, _COMPRESSION_LEVEL)
        if len(compressed) < len(data):
            line["zlib"] = True
            data = compressed
    return json.dumps(line).encode() + b"\n" + data


def unpack(payload: bytes) -> tuple[Header, bytes]:
    """The parts of a payload. Only for what a seal has vouched for."""
    line, _, data = payload.partition(b"\n")
    fields = json.loads(line)
    header = Header(fields["incarnation"], fields["mark"], fields.get("holder"), fields.get("epoch"))
    return header, zlib.decompress(data) if fields.get("zlib") else data


def _sealed(cipher: AESGCM, payload: bytes, nonce: bytes, place: bytes) -> bytes:
    return nonce + cipher.encrypt(nonce, payload, place)


def _opened(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    if len(sealed) < SEALED_EXTRA_BYTES:
        raise SealBroken
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except InvalidTag:
        raise SealBroken from None


def _joined(*parts: str | int) -> bytes:
    """Length-prefixed, so that no two lists of parts run together into one."""
    encoded = [str(part).encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
