"""A device's own keys and its sessions with other devices: what libsignal calls the protocol store, with its cipher."""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import NamedTuple

from simulator.limits import PREKEYS_PER_DEVICE_MAX, SIGNAL_PREVIOUS_SESSIONS_MAX
from simulator.signal import curve, x3dh
from simulator.signal.curve import DJB_TYPE, KeyPair
from simulator.signal.messages import PreKeyMessage, pack_prekey_message, parse_message, parse_prekey_message
from simulator.signal.ratchet import DuplicateError, Session, UndecryptableError
from simulator.signal.x3dh import Bundle


class Sealed(NamedTuple):
    """An encrypted message and its kind in the `enc` node: `pkmsg` starts a session, `msg` goes on with one."""

    kind: str
    data: bytes


class SignalStore:
    """Keys and sessions of one device. Addresses are whatever the caller uses to name the other devices."""

    def __init__(self) -> None:
        self.identity = curve.generate()
        self.signed_prekey = curve.generate()
        self.signed_prekey_id = 1
        self.signature = curve.sign(self.identity.private, DJB_TYPE + self.signed_prekey.public)
        # 14 bits, as libsignal's key helper makes them.
        self.registration_id = int.from_bytes(os.urandom(2), "big") & 0x3FFF or 1
        self._prekeys: dict[int, KeyPair] = {}
        self._next_prekey_id = 1
        # Newest first; libsignal calls the others archived.
        self._sessions: dict[Hashable, list[Session]] = {}

    def has_session(self, address: Hashable) -> bool:
        return bool(self._sessions.get(address))

    def forget(self, address: Hashable) -> None:
        self._sessions.pop(address, None)

    def take_bundle(self) -> Bundle:
        """Public keys for one new session; the one-time key in it is made now and used once."""
        key_id, self._next_prekey_id = self._next_prekey_id, self._next_prekey_id % 0xFFFFFE + 1
        pair = self._prekeys[key_id] = curve.generate()
        while len(self._prekeys) > PREKEYS_PER_DEVICE_MAX:
            del self._prekeys[next(iter(self._prekeys))]
        return Bundle(
            self.registration_id, self.identity.public, self.signed_prekey_id, self.signed_prekey.public, self.signature,
            key_id, pair.public,
        )  # fmt: skip

    def start_session(self, address: Hashable, bundle: Bundle) -> None:
        self._add(address, x3dh.initiate(self.identity, bundle))

    def _add(self, address: Hashable, session: Session) -> None:
        sessions = self._sessions.setdefault(address, [])
        sessions.insert(0, session)
        del sessions[SIGNAL_PREVIOUS_SESSIONS_MAX + 1 :]

    def encrypt(self, address: Hashable, plain: bytes) -> Sealed:
        """Raises KeyError without a session."""
        session = self._sessions[address][0]
        waiting = session.unacknowledged
        message = session.encrypt(plain)
        if waiting is None:
            return Sealed("msg", message)
        return Sealed(
            "pkmsg",
            pack_prekey_message(
                self.registration_id,
                waiting.prekey_id,
                waiting.signed_prekey_id,
                session.base_key,
                self.identity.public,
                message,
            ),
        )

    def decrypt(self, address: Hashable, kind: str, data: bytes) -> bytes:
        """The plaintext; raises `UndecryptableError`, `DuplicateError` or `ProtocolError`."""
        if kind == "pkmsg":
            return self._decrypt_prekey(address, parse_prekey_message(data))
        sessions = self._sessions.get(address)
        if not sessions:
            raise UndecryptableError("there is no session with this device")
        message = parse_message(data)
        duplicate = False
        for position, session in enumerate(sessions):
            try:
                plain = session.decrypt(message)
            except DuplicateError:
                duplicate = True
                continue
            except UndecryptableError:
                continue
            if position:
                sessions.insert(0, sessions.pop(position))
            return plain
        if duplicate:
            raise DuplicateError
        raise UndecryptableError("no session with this device fits the message")

    def _decrypt_prekey(self, address: Hashable, message: PreKeyMessage) -> bytes:
        sessions = self._sessions.get(address, [])
        for position, session in enumerate(sessions):
            if session.base_key == message.base_key and session.remote == message.identity:
                plain = session.decrypt(message.message)
                if position:
                    sessions.insert(0, sessions.pop(position))
                return plain
        if message.signed_prekey_id != self.signed_prekey_id:
            raise UndecryptableError("the signed prekey is not known")
        prekey = None
        if message.prekey_id is not None:
            prekey = self._prekeys.get(message.prekey_id)
            if prekey is None:
                raise UndecryptableError("the one-time prekey was used before or never existed")
        session = x3dh.respond(self.identity, self.signed_prekey, prekey, message.identity, message.base_key)
        plain = session.decrypt(message.message)
        # Only a message that authenticated may replace a session or use up a key.
        self._add(address, session)
        if message.prekey_id is not None:
            self._prekeys.pop(message.prekey_id, None)
        return plain
