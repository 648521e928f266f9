"""Curve25519 keys, agreements and XEdDSA signatures.

Signatures are XEdDSA as published by Signal: an Ed25519 signature made with a Montgomery key; bit 7 of the last byte carries
the sign of the Edwards point.
"""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

# The type byte that Signal puts before a Curve25519 public key (libsignal `DjbType`).
DJB_TYPE = b"\x05"
_P = 2**255 - 19
_DIVERSIFIER = b"\xfe" + b"\xff" * 31


class KeyPair(NamedTuple):
    private: bytes
    public: bytes


def generate() -> KeyPair:
    private = os.urandom(32)
    return KeyPair(private, sodium.crypto_scalarmult_base(private))


def from_private(private: bytes) -> KeyPair:
    return KeyPair(private, sodium.crypto_scalarmult_base(private))


def agree(private: bytes, public: bytes) -> bytes:
    """The shared secret of X25519; raises ValueError for keys that yield none."""
    try:
        return sodium.crypto_scalarmult(private, public)
    except (CryptoError, RuntimeError) as problem:
        raise ValueError("a public key yields no shared secret") from problem


def sign(private: bytes, message: bytes) -> bytes:
    scalar = bytearray(private)
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    key = bytes(scalar)
    public = sodium.crypto_scalarmult_ed25519_base_noclamp(key)
    nonce = hashlib.sha512(_DIVERSIFIER + private + message + os.urandom(64)).digest()
    r = sodium.crypto_core_ed25519_scalar_reduce(nonce)
    point = sodium.crypto_scalarmult_ed25519_base_noclamp(r)
    challenge = sodium.crypto_core_ed25519_scalar_reduce(hashlib.sha512(point + public + message).digest())
    s = sodium.crypto_core_ed25519_scalar_add(sodium.crypto_core_ed25519_scalar_mul(challenge, key), r)
    return point + s[:31] + bytes((s[31] | public[31] & 0x80,))


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    if len(public) != 32 or len(signature) != 64:
        return False
    u = int.from_bytes(public, "little") & (1 << 255) - 1
    y = (u - 1) * pow(u + 1, -1, _P) % _P if (u + 1) % _P else 0
    edwards = y.to_bytes(32, "little")
    edwards = edwards[:31] + bytes((edwards[31] | signature[63] & 0x80,))
    plain = signature[:63] + bytes((signature[63] & 0x7F,))
    try:
        sodium.crypto_sign_open(plain + message, edwards)
    except (CryptoError, ValueError):
        return False
    return True
