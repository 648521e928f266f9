"""Poll votes: encrypted once more, with a key from the poll's message secret (whatsmeow msgsecret.go `EncSecretPollVote`)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from simulator import wire
from simulator.errors import ProtocolError
from simulator.signal.kdf import hkdf

_IV_BYTES = 12


def _key(secret: bytes, poll_id: str, author: str, voter: str) -> tuple[bytes, bytes]:
    """The key, and what is authenticated besides. Addresses are without device numbers."""
    info = f"{poll_id}{author}{voter}Poll Vote".encode()
    return hkdf(secret, b"", info, 32), f"{poll_id}\x00{voter}".encode()


def hash_option(option: str) -> bytes:
    return hashlib.sha256(option.encode()).digest()


def seal_vote(secret: bytes, poll_id: str, author: str, voter: str, options: Iterable[str]) -> tuple[bytes, bytes]:
    """The payload and the initialisation vector."""
    key, associated = _key(secret, poll_id, author, voter)
    iv = os.urandom(_IV_BYTES)
    plain = wire.pack(*wire.repeated(1, [hash_option(option) for option in options]))
    return AESGCM(key).encrypt(iv, plain, associated), iv


def open_vote(
    secret: bytes, poll_id: str, authors: Iterable[str], voters: Iterable[str], payload: bytes, iv: bytes
) -> list[bytes] | None:
    """The hashes of the options chosen. People have two addresses, so all are tried; None if none fits."""
    for author in authors:
        for voter in voters:
            key, associated = _key(secret, poll_id, author, voter)
            try:
                return wire.parse(AESGCM(key).decrypt(iv, payload, associated)).blobs(1)
            except (InvalidTag, ValueError, ProtocolError):
                continue
    return None
