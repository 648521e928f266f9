"""HKDF-SHA256 and the AES-CBC that message keys use, without per-call object overhead."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_ZERO_SALT = bytes(32)


def hkdf(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 with SHA-256; an empty salt stands for 32 zeros."""
    key = hmac.digest(salt or _ZERO_SALT, secret, "sha256")
    block = out = b""
    counter = 0
    while len(out) < size:
        counter += 1
        block = hmac.digest(key, block + info + bytes((counter,)), "sha256")
        out += block
    return out[:size]


def cbc_encrypt(key: bytes, iv: bytes, plain: bytes) -> bytes:
    pad = 16 - len(plain) % 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(plain + bytes((pad,)) * pad) + encryptor.finalize()


def cbc_decrypt(key: bytes, iv: bytes, sealed: bytes) -> bytes:
    if not sealed or len(sealed) % 16:
        raise ValueError("a ciphertext is not a whole number of blocks")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    plain = decryptor.update(sealed) + decryptor.finalize()
    pad = plain[-1]
    if not 1 <= pad <= 16 or plain[-pad:] != bytes((pad,)) * pad:
        raise ValueError("a ciphertext has wrong padding")
    return plain[:-pad]
