"""Signal's sender keys: one key per sender and group, handed to each member once, instead of one ciphertext per device.

Formats and constants are libsignal's (`SenderKeyMessage`, `SenderKeyDistributionMessage`, `SenderMessageKey`).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Hashable

from simulator import wire
from simulator.errors import ProtocolError
from simulator.limits import SENDER_KEY_STATES_MAX, SENDER_KEYS_MAX, SIGNAL_SKIP_MAX
from simulator.signal import curve
from simulator.signal.curve import DJB_TYPE, KeyPair
from simulator.signal.kdf import cbc_decrypt, cbc_encrypt, hkdf
from simulator.signal.messages import VERSION_BYTE, public_key
from simulator.signal.ratchet import DuplicateError, UndecryptableError

SIGNATURE_BYTES = 64


def _message_key(chain_key: bytes) -> bytes:
    """48 bytes: initialisation vector 16, cipher key 32."""
    return hkdf(hmac.digest(chain_key, b"\x01", "sha256"), b"", b"WhisperGroup", 48)


def _next(chain_key: bytes) -> bytes:
    return hmac.digest(chain_key, b"\x02", "sha256")


class OwnKey:
    """The key that a device encrypts with in one group, and who has it already."""

    def __init__(self, epoch: int) -> None:
        self.id = int.from_bytes(os.urandom(4), "big") & 0x7FFFFFFF
        self.signing: KeyPair = curve.generate()
        self.chain_key = os.urandom(32)
        self.iteration = 0
        # The group's count of removals when the key was made: whoever was removed must not read on.
        self.epoch = epoch
        self.holders: set[Hashable] = set()

    def distribution(self) -> bytes:
        """What a member needs to read from the next message on."""
        return VERSION_BYTE + wire.pack(
            (1, self.id), (2, self.iteration), (3, self.chain_key), (4, DJB_TYPE + self.signing.public)
        )

    def encrypt(self, plain: bytes) -> bytes:
        keys = _message_key(self.chain_key)
        sealed = cbc_encrypt(keys[16:], keys[:16], plain)
        signed = VERSION_BYTE + wire.pack((1, self.id), (2, self.iteration), (3, sealed))
        self.chain_key = _next(self.chain_key)
        self.iteration += 1
        return signed + curve.sign(self.signing.private, signed)


class _TheirKey:
    """Another device's key: its chain, and the keys of messages that were jumped over."""

    __slots__ = ("chain_key", "id", "iteration", "signing", "skipped")

    def __init__(self, fields: wire.Fields) -> None:
        self.id = fields.number(1)
        self.iteration = fields.number(2)
        self.chain_key = fields.blob(3)
        self.signing = public_key(fields.blob(4))
        self.skipped: dict[int, bytes] = {}

    def open(self, iteration: int, sealed: bytes) -> bytes:
        keys = self._keys(iteration)
        try:
            return cbc_decrypt(keys[16:], keys[:16], sealed)
        except ValueError as problem:
            raise UndecryptableError(str(problem)) from None

    def _keys(self, iteration: int) -> bytes:
        if iteration < self.iteration:
            keys = self.skipped.pop(iteration, None)
            if keys is None:
                raise DuplicateError
            return keys
        if iteration - self.iteration > SIGNAL_SKIP_MAX:
            raise UndecryptableError("a group message is too far ahead")
        while self.iteration < iteration:
            self.skipped[self.iteration] = _message_key(self.chain_key)
            self.chain_key = _next(self.chain_key)
            self.iteration += 1
        while len(self.skipped) > SIGNAL_SKIP_MAX:
            del self.skipped[next(iter(self.skipped))]
        keys = _message_key(self.chain_key)
        self.chain_key = _next(self.chain_key)
        self.iteration += 1
        return keys


class SenderKeys:
    """One device's sender keys. Groups and addresses are whatever the caller names them by."""

    def __init__(self) -> None:
        self._own: dict[str, OwnKey] = {}
        self._theirs: dict[tuple[str, Hashable], list[_TheirKey]] = {}

    def own(self, group: str, epoch: int = 0) -> OwnKey:
        """The key for sending; a new one when someone was removed since it was made."""
        key = self._own.get(group)
        if key is None or key.epoch != epoch:
            key = self._own[group] = OwnKey(epoch)
        return key

    def forget_own(self, group: str) -> None:
        self._own.pop(group, None)

    def forget(self, group: str, address: Hashable) -> None:
        """Loses another device's key, as a phone that was restored from an old backup has."""
        self._theirs.pop((group, address), None)

    def process(self, group: str, address: Hashable, distribution: bytes) -> None:
        """Takes a key that a member handed out; raises `ProtocolError` if it is malformed."""
        if distribution[:1] != VERSION_BYTE:
            raise ProtocolError("bad_sender_key", "A sender key is not of version 3.")
        key = _TheirKey(wire.parse(distribution[1:]))
        states = self._theirs.setdefault((group, address), [])
        if len(self._theirs) > SENDER_KEYS_MAX:
            del self._theirs[next(iter(self._theirs))]
        if any(one.id == key.id and one.signing == key.signing for one in states):
            # libsignal keeps the chain it has: the same key is handed out again with every message of whatsmeow.
            return
        states.insert(0, key)
        del states[SENDER_KEY_STATES_MAX:]

    def decrypt(self, group: str, address: Hashable, data: bytes) -> bytes:
        """The plaintext; raises `UndecryptableError`, `DuplicateError` or `ProtocolError`."""
        signed, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
        if signed[:1] != VERSION_BYTE:
            raise ProtocolError("bad_signal_message", "A group message is not of version 3.")
        states = self._theirs.get((group, address))
        if not states:
            raise UndecryptableError("there is no sender key of this device for the group")
        fields = wire.parse(signed[1:])
        key = next((one for one in states if one.id == fields.number(1)), None)
        if key is None:
            raise UndecryptableError("the sender key is not one that this device handed out")
        if not curve.verify(key.signing, signed, signature):
            raise UndecryptableError("the signature of a group message is wrong")
        return key.open(fields.number(2), fields.blob(3))
