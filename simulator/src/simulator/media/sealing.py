"""How attachments are encrypted (whatsmeow upload.go, download.go): AES-CBC, then 10 bytes of HMAC, keys from one media key."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import NamedTuple

from simulator.signal.kdf import cbc_decrypt, cbc_encrypt, hkdf

MAC_BYTES = 10
MEDIA_KEY_BYTES = 32
# What the keys are for (whatsmeow download.go `MediaType`); stickers use the keys of images.
INFO = {
    "image": b"WhatsApp Image Keys", "sticker": b"WhatsApp Image Keys", "video": b"WhatsApp Video Keys",
    "audio": b"WhatsApp Audio Keys", "document": b"WhatsApp Document Keys", "history": b"WhatsApp History Keys",
    "app-state": b"WhatsApp App State Keys",
}  # fmt: skip


class MediaError(Exception):
    """A blob is not what its message says it is; the text names the check that failed."""


class SealedMedia(NamedTuple):
    """An encrypted blob and what its message says about it."""

    blob: bytes
    key: bytes
    file_sha256: bytes
    blob_sha256: bytes
    size: int


def _keys(key: bytes, kind: str) -> tuple[bytes, bytes, bytes]:
    """Initialisation vector, cipher key, authenticator key."""
    expanded = hkdf(key, b"", INFO[kind], 112)
    return expanded[:16], expanded[16:48], expanded[48:80]


def seal(plain: bytes, kind: str) -> SealedMedia:
    key = os.urandom(MEDIA_KEY_BYTES)
    iv, cipher_key, mac_key = _keys(key, kind)
    sealed = cbc_encrypt(cipher_key, iv, plain)
    blob = sealed + hmac.digest(mac_key, iv + sealed, "sha256")[:MAC_BYTES]
    return SealedMedia(blob, key, hashlib.sha256(plain).digest(), hashlib.sha256(blob).digest(), len(plain))


def open_sealed(blob: bytes, kind: str, key: bytes, file_sha256: bytes, blob_sha256: bytes) -> bytes:
    """The file; raises `MediaError` when a hash or the authenticator is wrong."""
    if hashlib.sha256(blob).digest() != blob_sha256:
        raise MediaError("the sha256 of the encrypted file is wrong")
    iv, cipher_key, mac_key = _keys(key, kind)
    sealed, mac = blob[:-MAC_BYTES], blob[-MAC_BYTES:]
    if not hmac.compare_digest(hmac.digest(mac_key, iv + sealed, "sha256")[:MAC_BYTES], mac):
        raise MediaError("the authenticator of the encrypted file is wrong")
    try:
        plain = cbc_decrypt(cipher_key, iv, sealed)
    except ValueError as problem:
        raise MediaError(str(problem)) from None
    if hashlib.sha256(plain).digest() != file_sha256:
        raise MediaError("the sha256 of the file is wrong")
    return plain
