"""Patches of app state (whatsmeow appstate/: keys.go, hash.go, encode.go, decode.go, lthash): written and read by key holders."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from simulator import wire
from simulator.errors import ProtocolError
from simulator.signal.kdf import cbc_decrypt, cbc_encrypt, hkdf

SET, REMOVE = 0, 1
HASH_BYTES = 128
MAC_BYTES = 32
_IV_BYTES = 16
# SyncActionValue: the time of the change, in every value.
ACTION_AT_MS = 1


class Keys(NamedTuple):
    """What a sync key expands to."""

    id: bytes
    index_mac: bytes
    encryption: bytes
    value_mac: bytes
    snapshot_mac: bytes
    patch_mac: bytes


def expand(key_id: bytes, secret: bytes) -> Keys:
    raw = hkdf(secret, b"", b"WhatsApp Mutation Keys", 160)
    return Keys(key_id, raw[:32], raw[32:64], raw[64:96], raw[96:128], raw[128:])


class Mutation(NamedTuple):
    """One setting: what it is about, and the SyncActionValue it is set to (fields without the time)."""

    about: tuple[str, ...]
    value: bytes
    # The version of the setting's own format.
    version: int = 2
    operation: int = SET


class _Sealed(NamedTuple):
    operation: int
    index_mac: bytes
    # The initialisation vector and the ciphertext, and their authenticator.
    blob: bytes
    mac: bytes

    def packed(self, key_id: bytes) -> bytes:
        record = wire.pack(
            (1, wire.pack((1, self.index_mac))), (2, wire.pack((1, self.blob + self.mac))), (3, wire.pack((1, key_id)))
        )
        return wire.pack((1, self.operation), (2, record))


@dataclass(slots=True)
class State:
    """What a device knows of a collection: its version, and a hash of everything set in it."""

    name: str
    version: int = 0
    hash: bytes = bytes(HASH_BYTES)
    _values: dict[bytes, bytes] = field(default_factory=dict)

    def after(self, sealed: Iterable[_Sealed]) -> tuple[bytes, dict[bytes, bytes]]:
        """The hash and the values' authenticators once these are applied."""
        numbers, values = list(_words(self.hash)), dict(self._values)
        for one in sealed:
            before = values.pop(one.index_mac, None)
            if before is not None:
                _mix(numbers, before, -1)
            if one.operation == SET:
                values[one.index_mac] = one.mac
                _mix(numbers, one.mac, 1)
        return b"".join(number.to_bytes(2, "little") for number in numbers), values

    def move_to(self, version: int, new_hash: bytes, values: dict[bytes, bytes]) -> None:
        self.version, self.hash, self._values = version, new_hash, values

    def snapshot_mac(self, keys: Keys, version: int, new_hash: bytes) -> bytes:
        return hmac.digest(keys.snapshot_mac, new_hash + version.to_bytes(8, "big") + self.name.encode(), "sha256")

    def patch_mac(self, keys: Keys, version: int, snapshot_mac: bytes, sealed: Iterable[_Sealed]) -> bytes:
        macs = b"".join(one.mac for one in sealed)
        return hmac.digest(
            keys.patch_mac, snapshot_mac + macs + version.to_bytes(8, "big") + self.name.encode(), "sha256"
        )


def _words(data: bytes) -> Iterable[int]:
    return (int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2))


def _mix(numbers: list[int], mac: bytes, sign: int) -> None:
    """LTHash: sums of 16-bit words, so that the order of changes does not matter."""
    for at, word in enumerate(_words(hkdf(mac, b"", b"WhatsApp Patch Integrity", HASH_BYTES))):
        numbers[at] = (numbers[at] + sign * word) & 0xFFFF


def _value_mac(keys: Keys, operation: int, blob: bytes) -> bytes:
    associated = bytes((operation + 1,)) + keys.id
    return hmac.digest(keys.value_mac, associated + blob + len(associated).to_bytes(8, "big"), "sha512")[:MAC_BYTES]


def _seal(keys: Keys, mutation: Mutation, at_ms: int) -> _Sealed:
    index = json.dumps(mutation.about, separators=(",", ":"), ensure_ascii=False).encode()
    value = wire.pack((ACTION_AT_MS, at_ms)) + mutation.value
    plain = wire.pack((1, index), (2, value), (3, b""), (4, mutation.version))
    iv = os.urandom(_IV_BYTES)
    blob = iv + cbc_encrypt(keys.encryption, iv, plain)
    index_mac = hmac.digest(keys.index_mac, index, "sha256")
    return _Sealed(mutation.operation, index_mac, blob, _value_mac(keys, mutation.operation, blob))


def write(state: State, keys: Keys, mutations: Iterable[Mutation], at_ms: int) -> bytes:
    """The next patch (without its version, which the server puts in); the state moves on."""
    sealed = [_seal(keys, mutation, at_ms) for mutation in mutations]
    version = state.version + 1
    new_hash, values = state.after(sealed)
    snapshot_mac = state.snapshot_mac(keys, version, new_hash)
    patch_mac = state.patch_mac(keys, version, snapshot_mac, sealed)
    state.move_to(version, new_hash, values)
    records = wire.repeated(2, [one.packed(keys.id) for one in sealed])
    return wire.pack(*records, (4, snapshot_mac), (5, patch_mac), (6, wire.pack((1, keys.id))))


def read(state: State, keys: Keys, version: int, patch: bytes) -> list[Mutation]:
    """What a patch changes; raises `ProtocolError` unless every authenticator is right. The state moves on."""
    fields = wire.parse(patch)
    found = [_open(keys, one) for one in fields.messages(2)]
    sealed = [one for one, _ in found]
    new_hash, values = state.after(sealed)
    if not hmac.compare_digest(state.snapshot_mac(keys, version, new_hash), fields.blob(4)):
        raise ProtocolError("bad_patch", "The snapshot authenticator of an app state patch is wrong.")
    if not hmac.compare_digest(state.patch_mac(keys, version, fields.blob(4), sealed), fields.blob(5)):
        raise ProtocolError("bad_patch", "The authenticator of an app state patch is wrong.")
    state.move_to(version, new_hash, values)
    return [mutation for _, mutation in found]


def _open(keys: Keys, fields: wire.Fields) -> tuple[_Sealed, Mutation]:
    record, operation = fields.message(2), fields.number(1)
    whole = record.message(2).blob(1)
    blob, mac = whole[:-MAC_BYTES], whole[-MAC_BYTES:]
    if record.message(3).blob(1) != keys.id:
        raise ProtocolError("bad_patch", "An app state patch was sealed with another key.")
    if not hmac.compare_digest(_value_mac(keys, operation, blob), mac):
        raise ProtocolError("bad_patch", "The authenticator of a setting is wrong.")
    try:
        plain = wire.parse(cbc_decrypt(keys.encryption, blob[:_IV_BYTES], blob[_IV_BYTES:]))
        index = tuple(str(part) for part in json.loads(plain.blob(1)))
    except ValueError as problem:
        raise ProtocolError("bad_patch", f"A setting is malformed: {problem}.") from None
    index_mac = record.message(1).blob(1)
    if not hmac.compare_digest(hmac.digest(keys.index_mac, plain.blob(1), "sha256"), index_mac):
        raise ProtocolError("bad_patch", "The index of a setting is wrong.")
    return _Sealed(operation, index_mac, blob, mac), Mutation(index, plain.blob(2), plain.number(4), operation)
