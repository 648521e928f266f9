"""The Signal protocol of the phones: what was encrypted is decrypted once, in any order, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import ProtocolError
from simulator.limits import SIGNAL_SKIP_MAX
from simulator.signal import curve
from simulator.signal.ratchet import DuplicateError, UndecryptableError
from simulator.signal.store import Sealed, SignalStore


def pair() -> tuple[SignalStore, SignalStore]:
    ada, bob = SignalStore(), SignalStore()
    ada.start_session("bob", bob.take_bundle())
    return ada, bob


def talk(sender: SignalStore, to: str, receiver: SignalStore, origin: str, text: bytes) -> Sealed:
    sealed = sender.encrypt(to, text)
    assert receiver.decrypt(origin, *sealed) == text
    return sealed


def test_a_session_starts_with_prekey_messages_until_the_answer() -> None:
    ada, bob = pair()
    assert talk(ada, "bob", bob, "ada", b"one").kind == "pkmsg"
    assert talk(ada, "bob", bob, "ada", b"two").kind == "pkmsg"
    assert talk(bob, "ada", ada, "bob", b"answer").kind == "msg"
    assert talk(ada, "bob", bob, "ada", b"three").kind == "msg"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_messages_decrypt_in_any_order_and_only_once(turns: list[bool], random: object) -> None:
    ada, bob = pair()
    talk(ada, "bob", bob, "ada", b"first")
    waiting: list[tuple[SignalStore, str, Sealed, bytes]] = []
    for number, from_ada in enumerate(turns):
        text = b"%d" % number
        if from_ada:
            waiting.append((bob, "ada", ada.encrypt("bob", text), text))
        else:
            waiting.append((ada, "bob", bob.encrypt("ada", text), text))
    random.shuffle(waiting)  # type: ignore[attr-defined]
    for receiver, origin, sealed, text in waiting:
        assert receiver.decrypt(origin, *sealed) == text
        with pytest.raises(DuplicateError):
            receiver.decrypt(origin, *sealed)


def test_both_sides_may_start_at_once() -> None:
    ada, bob = SignalStore(), SignalStore()
    ada.start_session("bob", bob.take_bundle())
    bob.start_session("ada", ada.take_bundle())
    crossing = ada.encrypt("bob", b"hi bob"), bob.encrypt("ada", b"hi ada")
    assert bob.decrypt("ada", *crossing[0]) == b"hi bob" and ada.decrypt("bob", *crossing[1]) == b"hi ada"
    for _ in range(3):
        talk(ada, "bob", bob, "ada", b"and on")
        talk(bob, "ada", ada, "bob", b"and on")


def test_a_failed_decryption_changes_nothing() -> None:
    ada, bob = pair()
    talk(ada, "bob", bob, "ada", b"one")
    talk(bob, "ada", ada, "bob", b"answer")
    sealed = ada.encrypt("bob", b"two")
    broken = sealed.data[:-1] + bytes((sealed.data[-1] ^ 1,))
    with pytest.raises(UndecryptableError):
        bob.decrypt("ada", "msg", broken)
    assert bob.decrypt("ada", *sealed) == b"two"


def test_a_one_time_key_works_once_and_a_stranger_has_no_session() -> None:
    ada, bob = SignalStore(), SignalStore()
    bundle = bob.take_bundle()
    ada.start_session("bob", bundle)
    talk(ada, "bob", bob, "ada", b"one")
    eve = SignalStore()
    eve.start_session("bob", bundle)
    with pytest.raises(UndecryptableError, match="one-time"):
        bob.decrypt("eve", *eve.encrypt("bob", b"again"))
    with pytest.raises(UndecryptableError, match="no session"):
        bob.decrypt("mallory", "msg", ada.encrypt("bob", b"x").data[:100] + b"\0" * 80)


def test_jumping_too_far_ahead_is_refused() -> None:
    ada, bob = pair()
    talk(ada, "bob", bob, "ada", b"one")
    for _ in range(SIGNAL_SKIP_MAX + 1):
        last = ada.encrypt("bob", b"lost")
    with pytest.raises(UndecryptableError, match="too far"):
        bob.decrypt("ada", *ada.encrypt("bob", b"far"))
    assert bob.decrypt("ada", *last) == b"lost"


def test_a_forged_signed_prekey_is_refused() -> None:
    ada, bob = SignalStore(), SignalStore()
    forged = bob.take_bundle()._replace(signed_prekey=curve.generate().public)
    with pytest.raises(UndecryptableError, match="signature"):
        ada.start_session("bob", forged)


def test_garbage_is_a_protocol_error() -> None:
    store = SignalStore()
    for raw in (b"", b"\x33", b"\x33" + b"\xff" * 50, b"\x22" + b"\0" * 50):
        with pytest.raises((ProtocolError, UndecryptableError)):
            store.decrypt("x", "pkmsg", raw)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=100))
def test_signatures_hold_for_their_message_only(message: bytes) -> None:
    keys = curve.generate()
    signature = curve.sign(keys.private, message)
    assert curve.verify(keys.public, message, signature)
    assert not curve.verify(keys.public, message + b"x", signature)
    assert not curve.verify(curve.generate().public, message, signature)
