"""One double-ratchet session between two devices (Signal's specification, libsignal's constants)."""

from __future__ import annotations

import hmac

from simulator.limits import SIGNAL_RECEIVER_CHAINS_MAX, SIGNAL_SKIP_MAX
from simulator.signal import curve
from simulator.signal.curve import KeyPair
from simulator.signal.kdf import cbc_decrypt, cbc_encrypt, hkdf
from simulator.signal.messages import SignalMessage, mac, pack_message


class UndecryptableError(Exception):
    """No session fits a message, or its authenticator is wrong; the phone shows "Waiting for this message"."""


class DuplicateError(UndecryptableError):
    """The message's key was used before: the message, or another one under the same key, was decrypted already."""

    def __init__(self) -> None:
        super().__init__("the key of this message was used before")


def message_keys(chain_key: bytes) -> bytes:
    """80 bytes: cipher key 32, authenticator key 32, initialisation vector 16."""
    return hkdf(hmac.digest(chain_key, b"\x01", "sha256"), b"", b"WhisperMessageKeys", 80)


def next_chain_key(chain_key: bytes) -> bytes:
    return hmac.digest(chain_key, b"\x02", "sha256")


def root_step(root: bytes, private: bytes, public: bytes) -> tuple[bytes, bytes]:
    """The next root key and a fresh chain key."""
    derived = hkdf(curve.agree(private, public), root, b"WhisperRatchet", 64)
    return derived[:32], derived[32:]


class _ReceiverChain:
    __slots__ = ("chain_key", "counter", "skipped")

    def __init__(self, chain_key: bytes) -> None:
        self.chain_key = chain_key
        self.counter = 0
        # Keys of messages that were jumped over and may still arrive.
        self.skipped: dict[int, bytes] = {}


class _Unacknowledged:
    """What a prekey message repeats until the other side answers."""

    __slots__ = ("prekey_id", "signed_prekey_id")

    def __init__(self, prekey_id: int | None, signed_prekey_id: int) -> None:
        self.prekey_id = prekey_id
        self.signed_prekey_id = signed_prekey_id


class Session:
    """The state of a session; `encrypt` and `decrypt` move it on, a failed `decrypt` leaves it untouched."""

    __slots__ = (
        "base_key",
        "chain_key",
        "counter",
        "local",
        "previous_counter",
        "ratchet",
        "receivers",
        "remote",
        "root",
        "unacknowledged",
    )

    def __init__(
        self, local: bytes, remote: bytes, base_key: bytes, root: bytes, ratchet: KeyPair, chain_key: bytes
    ) -> None:
        # Identity keys, without type byte.
        self.local = local
        self.remote = remote
        # The initiator's ephemeral key names the session, so a repeated prekey message finds it again.
        self.base_key = base_key
        self.root = root
        self.ratchet = ratchet
        self.chain_key = chain_key
        self.counter = 0
        self.previous_counter = 0
        self.receivers: dict[bytes, _ReceiverChain] = {}
        self.unacknowledged: _Unacknowledged | None = None

    def add_receiver(self, key: bytes, chain_key: bytes) -> _ReceiverChain:
        chain = _ReceiverChain(chain_key)
        self.receivers[key] = chain
        while len(self.receivers) > SIGNAL_RECEIVER_CHAINS_MAX:
            del self.receivers[next(iter(self.receivers))]
        return chain

    def await_answer(self, prekey_id: int | None, signed_prekey_id: int) -> None:
        self.unacknowledged = _Unacknowledged(prekey_id, signed_prekey_id)

    def encrypt(self, plain: bytes) -> bytes:
        keys = message_keys(self.chain_key)
        sealed = cbc_encrypt(keys[:32], keys[64:], plain)
        packed = pack_message(
            keys[32:64], self.local, self.remote, self.ratchet.public, self.counter, self.previous_counter, sealed
        )
        self.chain_key = next_chain_key(self.chain_key)
        self.counter += 1
        return packed

    def decrypt(self, message: SignalMessage) -> bytes:
        chain = self.receivers.get(message.ratchet_key)
        if chain is not None:
            return self._decrypt_in(chain, message)
        return self._decrypt_in_new_chain(message)

    def _decrypt_in(self, chain: _ReceiverChain, message: SignalMessage) -> bytes:
        if message.counter < chain.counter:
            keys = chain.skipped.get(message.counter)
            if keys is None:
                raise DuplicateError
            plain = self._open(keys, message)
            del chain.skipped[message.counter]
        else:
            plain, chain_key, skipped = self._run_forward(chain.chain_key, chain.counter, message)
            chain.chain_key, chain.counter = chain_key, message.counter + 1
            chain.skipped.update(skipped)
            while len(chain.skipped) > SIGNAL_SKIP_MAX:
                del chain.skipped[next(iter(chain.skipped))]
        self.unacknowledged = None
        return plain

    def _decrypt_in_new_chain(self, message: SignalMessage) -> bytes:
        """The other side turned its ratchet: derive its new chain, and turn ours."""
        try:
            root, chain_key = root_step(self.root, self.ratchet.private, message.ratchet_key)
        except ValueError:
            raise UndecryptableError("a ratchet key is not usable") from None
        plain, after, skipped = self._run_forward(chain_key, 0, message)
        # The authenticator was right, so the step is real; only now may the state change.
        chain = self.add_receiver(message.ratchet_key, after)
        chain.counter = message.counter + 1
        chain.skipped = skipped
        self.previous_counter = max(self.counter - 1, 0)
        self.ratchet = curve.generate()
        self.root, self.chain_key = root_step(root, self.ratchet.private, message.ratchet_key)
        self.counter = 0
        self.unacknowledged = None
        return plain

    def _run_forward(
        self, chain_key: bytes, counter: int, message: SignalMessage
    ) -> tuple[bytes, bytes, dict[int, bytes]]:
        if message.counter - counter > SIGNAL_SKIP_MAX:
            raise UndecryptableError("a message is too far ahead")
        skipped: dict[int, bytes] = {}
        while counter < message.counter:
            skipped[counter] = message_keys(chain_key)
            chain_key = next_chain_key(chain_key)
            counter += 1
        plain = self._open(message_keys(chain_key), message)
        return plain, next_chain_key(chain_key), skipped

    def _open(self, keys: bytes, message: SignalMessage) -> bytes:
        expected = mac(keys[32:64], self.remote, self.local, message.signed)
        if not hmac.compare_digest(expected, message.mac):
            raise UndecryptableError("an authenticator is wrong")
        try:
            return cbc_decrypt(keys[:32], keys[64:], message.ciphertext)
        except ValueError as problem:
            raise UndecryptableError(str(problem)) from problem
