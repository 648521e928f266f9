"""How WhatsApp seals files (whatsmeow, upload.go, download.go): AES-256-CBC, then ten bytes of an HMAC-SHA256, keys by HKDF."""

from __future__ import annotations

import hashlib
import hmac
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# What the keys of a kind are drawn for; stickers use those of pictures.
_PURPOSES = {
    "image": b"WhatsApp Image Keys",
    "video": b"WhatsApp Video Keys",
    "audio": b"WhatsApp Audio Keys",
    "document": b"WhatsApp Document Keys",
    "sticker": b"WhatsApp Image Keys",
}
_MAC_BYTES = 10
_BLOCK_BYTES = 16
# Beyond the file itself: the padding and the authenticator.
OVERHEAD_BYTES = _BLOCK_BYTES + _MAC_BYTES


class Damaged(Exception):
    """It is not the file that the message names. The text says which check failed."""


class Opening:
    """A sealed file as it comes in, opened into `target`. Nothing in `target` is to be used before `finish` has returned."""

    def __init__(self, kind: str, key: bytes, sha256: bytes, sealed_sha256: bytes, target: BinaryIO) -> None:
        drawn = HKDF(SHA256(), 112, salt=None, info=_PURPOSES[kind]).derive(key)
        iv, cipher_key, mac_key = drawn[:16], drawn[16:48], drawn[48:80]
        self._decryptor = Cipher(AES256(cipher_key), CBC(iv)).decryptor()
        self._mac = hmac.new(mac_key, iv, "sha256")
        self._sealed = hashlib.sha256()
        self._plain = hashlib.sha256()
        self._wanted = (sha256, sealed_sha256)
        self._target = target
        self._held = b""  # the end may be the authenticator
        self._last = b""  # the last block may be padding
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """More of the sealed file."""
        self._sealed.update(chunk)
        held = self._held + chunk
        cut = max(0, len(held) - _MAC_BYTES)
        self._held = held[cut:]
        self._mac.update(held[:cut])
        opened = self._last + self._decryptor.update(held[:cut])
        keep = max(0, len(opened) - _BLOCK_BYTES)
        self._last = opened[keep:]
        self._take(opened[:keep])

    def finish(self) -> None:
        """That was all of it. Raises Damaged."""
        sha256, sealed_sha256 = self._wanted
        if self._sealed.digest() != sealed_sha256:
            raise Damaged("the hash of the sealed file is wrong")
        if not hmac.compare_digest(self._mac.digest()[:_MAC_BYTES], self._held):
            raise Damaged("the authenticator is wrong")
        try:
            end = self._last + self._decryptor.finalize()
        except ValueError:
            raise Damaged("its length is none of a sealed file") from None
        padding = end[-1] if end else 0
        if not 1 <= padding <= _BLOCK_BYTES or end[-padding:] != bytes([padding]) * padding:
            raise Damaged("its padding is wrong")
        self._take(end[:-padding])
        if self._plain.digest() != sha256:
            raise Damaged("the hash of the file is wrong")

    def _take(self, plain: bytes) -> None:
        self.size += len(plain)
        self._plain.update(plain)
        self._target.write(plain)
