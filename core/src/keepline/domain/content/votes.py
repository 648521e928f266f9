"""Votes in polls, which WhatsApp encrypts once more, under a key that everybody who has the poll can make.

The key is drawn from the poll's message secret for one voter (HKDF with SHA-256, then AES-256-GCM; whatsmeow, msgsecret.go). Of a
poll of ours the secret is its tag.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
_KEY_BYTES = 32


def seal_vote(secret: bytes, poll: str, author: str, voter: str, plain: bytes, nonce: bytes) -> bytes:
    """A vote (a PollVoteMessage's bytes) as everybody who has the poll can open it. `nonce` is random and used once."""
    return AESGCM(_key(secret, poll, author, voter)).encrypt(nonce, plain, _associated(poll, voter))


def open_vote(
    secret: bytes, poll: str, authors: Iterable[str], voters: Iterable[str], payload: bytes, nonce: bytes
) -> bytes | None:
    """The vote's plain bytes (a PollVoteMessage), or None if this is no vote in the poll with that WhatsApp id and secret.

    People have two addresses and the vote does not say which of them it was sealed with, so all those given are tried.
    """
    if len(nonce) != NONCE_BYTES:
        return None
    for author, voter in product(authors, tuple(voters)):
        try:
            return AESGCM(_key(secret, poll, author, voter)).decrypt(nonce, payload, _associated(poll, voter))
        except InvalidTag:
            continue
    return None


def _key(secret: bytes, poll: str, author: str, voter: str) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=f"{poll}{author}{voter}Poll Vote".encode()).derive(secret)


def _associated(poll: str, voter: str) -> bytes:
    return f"{poll}\0{voter}".encode()
