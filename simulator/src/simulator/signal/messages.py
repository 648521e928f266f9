"""Signal's two message formats on the wire, version 3 (libsignal `SignalMessage`, `PreKeySignalMessage`)."""

from __future__ import annotations

import hmac
from typing import NamedTuple

from simulator import wire
from simulator.errors import ProtocolError
from simulator.signal.curve import DJB_TYPE

# High nibble: the version used; low nibble: the highest one known.
VERSION_BYTE = b"\x33"
MAC_BYTES = 8


class SignalMessage(NamedTuple):
    ratchet_key: bytes
    counter: int
    previous_counter: int
    ciphertext: bytes
    # What the authenticator covers besides the identities, and the authenticator.
    signed: bytes
    mac: bytes


class PreKeyMessage(NamedTuple):
    registration_id: int
    prekey_id: int | None
    signed_prekey_id: int
    base_key: bytes
    identity: bytes
    message: SignalMessage


def mac(key: bytes, sender: bytes, receiver: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, DJB_TYPE + sender + DJB_TYPE + receiver + signed, "sha256")[:MAC_BYTES]


def public_key(raw: bytes) -> bytes:
    if len(raw) != 33 or raw[:1] != DJB_TYPE:
        raise ProtocolError("bad_signal_message", "A Signal message holds a malformed public key.")
    return raw[1:]


def _body(raw: bytes) -> bytes:
    if not raw or raw[0] >> 4 != 3:
        raise ProtocolError("bad_signal_message", "A Signal message is not of version 3.")
    return raw[1:]


def pack_message(
    mac_key: bytes, sender: bytes, receiver: bytes, key: bytes, counter: int, previous: int, sealed: bytes
) -> bytes:
    signed = VERSION_BYTE + wire.pack((1, DJB_TYPE + key), (2, counter), (3, previous), (4, sealed))
    return signed + mac(mac_key, sender, receiver, signed)


def parse_message(raw: bytes) -> SignalMessage:
    if len(raw) <= MAC_BYTES + 1:
        raise ProtocolError("bad_signal_message", "A Signal message is too short.")
    signed = raw[:-MAC_BYTES]
    fields = wire.parse(_body(signed))
    return SignalMessage(
        public_key(fields.blob(1)), fields.number(2), fields.number(3), fields.blob(4), signed, raw[-MAC_BYTES:]
    )


def pack_prekey_message(
    registration_id: int, prekey_id: int | None, signed_prekey_id: int, base_key: bytes, identity: bytes, message: bytes
) -> bytes:
    return VERSION_BYTE + wire.pack(
        (5, registration_id),
        (1, prekey_id),
        (6, signed_prekey_id),
        (2, DJB_TYPE + base_key),
        (3, DJB_TYPE + identity),
        (4, message),
    )


def parse_prekey_message(raw: bytes) -> PreKeyMessage:
    fields = wire.parse(_body(raw))
    return PreKeyMessage(
        fields.number(5),
        fields.number(1) if 1 in fields else None,
        fields.number(6),
        public_key(fields.blob(2)),
        public_key(fields.blob(3)),
        parse_message(fields.blob(4)),
    )
