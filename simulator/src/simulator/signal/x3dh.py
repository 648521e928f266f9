"""Starting a session: Signal's X3DH key agreement, from both ends."""

from __future__ import annotations

from typing import NamedTuple

from simulator.signal import curve
from simulator.signal.curve import DJB_TYPE, KeyPair
from simulator.signal.kdf import hkdf
from simulator.signal.ratchet import Session, UndecryptableError, root_step

# X3DH puts 32 bytes of 0xFF before the agreements, for Curve25519.
_DISCONTINUITY = b"\xff" * 32


class Bundle(NamedTuple):
    """A device's public keys as the server hands them out."""

    registration_id: int
    identity: bytes
    signed_prekey_id: int
    signed_prekey: bytes
    signature: bytes
    prekey_id: int | None
    prekey: bytes | None


def _derive(*agreements: bytes) -> tuple[bytes, bytes]:
    secret = hkdf(_DISCONTINUITY + b"".join(agreements), b"", b"WhisperText", 64)
    return secret[:32], secret[32:]


def initiate(identity: KeyPair, bundle: Bundle) -> Session:
    """A session towards the device that a bundle belongs to; its first messages are prekey messages."""
    if not curve.verify(bundle.identity, DJB_TYPE + bundle.signed_prekey, bundle.signature):
        raise UndecryptableError("a signed prekey has a wrong signature")
    base = curve.generate()
    agreements = [
        curve.agree(identity.private, bundle.signed_prekey),
        curve.agree(base.private, bundle.identity),
        curve.agree(base.private, bundle.signed_prekey),
    ]
    if bundle.prekey is not None:
        agreements.append(curve.agree(base.private, bundle.prekey))
    root, receiving = _derive(*agreements)
    ratchet = curve.generate()
    new_root, sending = root_step(root, ratchet.private, bundle.signed_prekey)
    session = Session(identity.public, bundle.identity, base.public, new_root, ratchet, sending)
    session.add_receiver(bundle.signed_prekey, receiving)
    session.await_answer(bundle.prekey_id, bundle.signed_prekey_id)
    return session


def respond(
    identity: KeyPair, signed_prekey: KeyPair, prekey: KeyPair | None, remote: bytes, base_key: bytes
) -> Session:
    """The session that a received prekey message starts."""
    try:
        agreements = [
            curve.agree(signed_prekey.private, remote),
            curve.agree(identity.private, base_key),
            curve.agree(signed_prekey.private, base_key),
        ]
        if prekey is not None:
            agreements.append(curve.agree(prekey.private, base_key))
    except ValueError:
        raise UndecryptableError("a key in a prekey message is not usable") from None
    root, sending = _derive(*agreements)
    return Session(identity.public, remote, base_key, root, signed_prekey, sending)
