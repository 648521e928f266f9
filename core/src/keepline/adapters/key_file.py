"""Wrapping by a local key file, for those who run Keepline without Cloud KMS. Whoever has the file can read every session.

The file is JSON: `{"primary": id, "keys": {id: base64 of 32 bytes}}`, readable by its owner alone. It is read at each use
(which is seldom: when a session is opened), so a rotation needs no restart.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import json
import os
import stat
import tempfile
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keepline.ports.keys import KeyRefused, KeyUnavailable, Unwrapped

_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_BYTES = 8
# A wrapped key: one byte that says how long the id is, the id, the nonce, the sealed key.
_ID_LENGTH_MAX = 255
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class _Keys:
    primary: str
    keys: dict[str, bytes] = field(repr=False)

    def cipher(self, key_id: str) -> AESGCM:
        return AESGCM(self.keys[key_id])


class LocalKeyFile:
    """The wrapping keys in the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        keys = await asyncio.to_thread(_read, self._path)
        key_id = keys.primary.encode()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = keys.cipher(keys.primary).encrypt(nonce, key, _bound(key_id, context))
        return len(key_id).to_bytes(1, "big") + key_id + nonce + sealed

    async def unwrap(self, wrapped: bytes, context: bytes) -> Unwrapped:
        keys = await asyncio.to_thread(_read, self._path)
        length = wrapped[0] if wrapped else 0
        key_id, rest = wrapped[1 : 1 + length], wrapped[1 + length :]
        name = key_id.decode(errors="replace")
        if name not in keys.keys:
            raise KeyRefused(f"the key file {self._path} has no key with the id that this was wrapped with")
        try:
            key = keys.cipher(name).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _bound(key_id, context))
        except (InvalidTag, ValueError):
            raise KeyRefused(f"no key of {self._path} unwraps this") from None
        return Unwrapped(key, current=name == keys.primary)


def create_key_file(path: Path) -> None:
    """A new key file with one key. Raises FileExistsError: a key file that is overwritten takes every session with it."""
    key_id = os.urandom(_ID_BYTES).hex()
    _write(path, _Keys(key_id, {key_id: os.urandom(_KEY_BYTES)}), new=True)


def rotate_key_file(path: Path) -> None:
    """Add a new primary key; the earlier ones stay, for what they have wrapped. Raises KeyRefused when the file is not usable."""
    keys = _read(path)
    key_id = os.urandom(_ID_BYTES).hex()
    _write(path, _Keys(key_id, keys.keys | {key_id: os.urandom(_KEY_BYTES)}), new=False)


def _bound(key_id: bytes, context: bytes) -> bytes:
    return len(key_id).to_bytes(1, "big") + key_id + context


def _read(path: Path) -> _Keys:
    try:
        with path.open("rb") as file:
            # Of the file that was opened, whatever lies at the path by now.
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except OSError as error:
        raise KeyUnavailable(f"the key file {path} cannot be read: {error.strerror}") from error
    if mode & _OTHERS:
        raise KeyRefused(f"the key file {path} is open to others than its owner; close it with: chmod 600 {path}")
    try:
        return _parsed(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not `from`: such an error can carry a part of the file.
        raise KeyRefused(f"the key file {path} is not of the form that it was made in") from None


def _parsed(content: Any) -> _Keys:
    try:
        keys = {str(key_id): b64decode(text, validate=True) for key_id, text in content["keys"].items()}
    except binascii.Error as error:
        raise ValueError from error
    primary = content["primary"]
    if primary not in keys or any(len(key) != _KEY_BYTES for key in keys.values()):
        raise ValueError
    if any(len(key_id.encode()) > _ID_LENGTH_MAX for key_id in keys):
        raise ValueError
    return _Keys(primary, keys)


def _write(path: Path, keys: _Keys, *, new: bool) -> None:
    """All of it or nothing, and on the disk when this returns. mkstemp makes the file with mode 0600."""
    content = {"primary": keys.primary, "keys": {key_id: b64encode(key).decode() for key_id, key in keys.keys.items()}}
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        if new:
            path.hardlink_to(written)  # fails when something is there already
        else:
            written.replace(path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            written.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
