"""Linking by code: the device shows eight characters, a person types them into the phone (whatsmeow pair-code.go).

Both sides hide an ephemeral key behind the code; who knows it can agree on the secret that a QR code carries openly.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from simulator.accounts import Companion
from simulator.errors import ProtocolError, SimulatorError
from simulator.jid import SERVER_JID
from simulator.limits import LINK_CODE_SECONDS_MAX, LINK_CODE_TRIES_MAX, PAIRING_CONFIRM_SECONDS_MAX
from simulator.nodes import Node, Value
from simulator.pairing import Offer
from simulator.signal import curve
from simulator.signal.kdf import hkdf
from simulator.stanzas import query_error

if TYPE_CHECKING:
    from simulator.phone import Phone
    from simulator.world import World

# 5 random bytes in whatsmeow's `linkingBase32`.
_CODE = re.compile(r"[1-9A-HJ-NP-TV-Z]{8}")
# `Browser (OS)`; WhatsApp refuses other names of a device (whatsmeow `PairPhone`).
_DISPLAY = re.compile(r"[\w .+-]{1,32} \([\w .+-]{1,32}\)")
# 2 << 16 in whatsmeow: about a twentieth of a second.
_PBKDF2_ROUNDS = 131_072
_SALT_BYTES, _IV_BYTES, _KEY_BYTES = 32, 16, 32
_WRAPPED_BYTES = _SALT_BYTES + _IV_BYTES + _KEY_BYTES
_NONCE_BYTES = 12


@dataclass(slots=True)
class Hello:
    """A device that waits for its code to be typed in."""

    number: str
    ref: bytes
    wrapped: bytes
    offer: Offer
    send: Callable[[Node], None]
    at: float
    tries: int = 0
    finished: asyncio.Future[Node] | None = field(default=None)


class Bundle(NamedTuple):
    """What a device sends once both have each other's ephemeral key."""

    identity: bytes
    primary_identity: bytes
    random: bytes


def _mask(code: str, salt: bytes, iv: bytes, key: bytes) -> bytes:
    """Hides or shows an ephemeral key (AES-CTR undoes itself)."""
    secret = hashlib.pbkdf2_hmac("sha256", code.encode(), salt, _PBKDF2_ROUNDS)
    encryptor = Cipher(algorithms.AES(secret), modes.CTR(iv)).encryptor()
    return encryptor.update(key) + encryptor.finalize()


def unwrap(code: str, wrapped: bytes) -> bytes:
    """The ephemeral key in 80 bytes of salt, initialisation vector and hidden key; with a wrong code it is a wrong key."""
    return _mask(code, wrapped[:_SALT_BYTES], wrapped[_SALT_BYTES : _SALT_BYTES + _IV_BYTES], wrapped[-_KEY_BYTES:])


def wrap(code: str, key: bytes) -> bytes:
    salt, iv = os.urandom(_SALT_BYTES), os.urandom(_IV_BYTES)
    return salt + iv + _mask(code, salt, iv, key)


def open_bundle(shared: bytes, wrapped: bytes) -> Bundle:
    """Raises `SimulatorError` when the code that was typed in is not the one that the device shows."""
    salt, nonce = wrapped[:_SALT_BYTES], wrapped[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
    key = hkdf(shared, salt, b"link_code_pairing_key_bundle_encryption_key", 32)
    try:
        plain = AESGCM(key).decrypt(nonce, wrapped[_SALT_BYTES + _NONCE_BYTES :], None)
    except (InvalidTag, ValueError):
        raise SimulatorError(
            "wrong_code", "That is not the code that the device shows.", "Look again.", status=409
        ) from None
    return Bundle(plain[:32], plain[32:64], plain[64:96])


class LinkCodes:
    """The devices that wait for a code, by the number that they want to be linked to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[str, Hello] = {}

    # For the device

    def answer(self, offer: Offer, query: Node) -> Node:
        """`<link_code_companion_reg>` from a connection that is not logged in."""
        asked = query.child("link_code_companion_reg")
        stage = asked.text("stage") if asked else ""
        attrs: dict[str, Value] = {"id": query.text("id"), "from": SERVER_JID}
        if asked is not None and stage == "companion_hello":
            error, content = self._hello(offer, asked)
        elif asked is not None and stage == "companion_finish":
            error, content = self._finish(asked), []
        else:
            error, content = 400, []
        if error:
            return Node("iq", {**attrs, "type": "error"}, [query_error(error)])
        return Node("iq", {**attrs, "type": "result"}, content or None)

    def _hello(self, offer: Offer, asked: Node) -> tuple[int, list[Node]]:
        jid, wrapped = asked.jid("jid"), asked.child("link_code_pairing_wrapped_companion_ephemeral_pub")
        display = asked.child("companion_platform_display")
        if jid is None or wrapped is None or len(wrapped.data()) != _WRAPPED_BYTES:
            return 400, []
        if display is None or not _DISPLAY.fullmatch(display.data().decode("utf-8", "replace")):
            return 400, []
        account = self._world.account_at(jid)
        if account is None:
            return 404, []
        ref = os.urandom(16).hex().encode()
        hello = Hello(account.number, ref, wrapped.data(), offer, offer.link.send, self._world.now())
        self._waiting[account.number] = hello
        offer.platform = offer.platform or display.data().decode()
        self._world.log.add("link_code", number=account.number, display=display.data().decode())
        told = [Node("link_code_pairing_ref", {}, ref)]
        return 0, [Node("link_code_companion_reg", {"stage": "companion_hello"}, told)]

    def _finish(self, asked: Node) -> int:
        ref = asked.child("link_code_pairing_ref")
        for hello in self._waiting.values():
            if ref is not None and hello.ref == ref.data() and hello.finished and not hello.finished.done():
                hello.finished.set_result(asked)
                return 0
        return 404

    def closed(self, offer: Offer) -> None:
        """The device's connection ended."""
        for number, hello in list(self._waiting.items()):
            if hello.offer is offer:
                del self._waiting[number]
                if hello.finished and not hello.finished.done():
                    hello.finished.cancel()

    # For the phone

    async def enter(self, phone: Phone, typed: str) -> Companion:
        """A person types the code in; returns once the new device has confirmed. Every way to fail is a `SimulatorError`."""
        code = typed.upper().replace("-", "").replace(" ", "")
        if not _CODE.fullmatch(code):
            raise SimulatorError("bad_code", f"{typed[:20]!r} is not a linking code.", "It looks like 1A2B-3C4D.")
        hello = self._waiting.get(phone.account.number)
        if hello is None or self._world.now() > hello.at + LINK_CODE_SECONDS_MAX:
            raise SimulatorError(
                "no_link_code", f"No device shows a code for {phone.account.number} (or no longer).",
                "Let the client ask for one first.", status=410,
            )  # fmt: skip
        hello.tries += 1
        if hello.tries > LINK_CODE_TRIES_MAX:
            raise SimulatorError(
                "too_many_tries", "Too many wrong codes were typed in.", "Ask for a new code.", status=429
            )
        secret = await self._agree(phone, hello, code)
        return await self._world.pairings.link(phone, hello.offer, secret)

    async def _agree(self, phone: Phone, hello: Hello, code: str) -> bytes:
        """The secret that pairing is confirmed with (whatsmeow `AdvSecretKey`)."""
        ephemeral = curve.generate()
        theirs = await asyncio.to_thread(unwrap, code, hello.wrapped)
        wrapped = await asyncio.to_thread(wrap, code, ephemeral.public)
        hello.finished = asyncio.get_running_loop().create_future()
        hello.send(self._primary_hello(phone, hello, wrapped))
        try:
            finish = await asyncio.wait_for(hello.finished, PAIRING_CONFIRM_SECONDS_MAX)
        except (TimeoutError, asyncio.CancelledError):
            raise SimulatorError("pairing_timeout", "The device did not answer in time.", status=409) from None
        sealed, identity = (
            finish.child("link_code_pairing_wrapped_key_bundle"),
            finish.child("companion_identity_public"),
        )
        if sealed is None or identity is None:
            raise ProtocolError("bad_link_code", "A device's last step of linking by code is incomplete.")
        try:
            shared = curve.agree(ephemeral.private, theirs)
            bundle = open_bundle(shared, sealed.data())
            own = curve.agree(phone.store.identity.private, bundle.identity)
        except ValueError:
            raise SimulatorError("wrong_code", "That is not the code that the device shows.", status=409) from None
        if bundle.identity != identity.data() or bundle.primary_identity != phone.store.identity.public:
            raise SimulatorError("pairing_forged", "The keys of the linking do not fit together.", status=409)
        return hkdf(shared + own + bundle.random, b"", b"adv_secret", 32)

    def _primary_hello(self, phone: Phone, hello: Hello, wrapped: bytes) -> Node:
        parts = [
            Node("link_code_pairing_ref", {}, hello.ref),
            Node("link_code_pairing_wrapped_primary_ephemeral_pub", {}, wrapped),
            Node("primary_identity_pub", {}, phone.store.identity.public),
        ]
        attrs: dict[str, Value] = {
            "from": SERVER_JID,
            "type": "link_code_companion_reg",
            "id": self._world.message_id(),
            "t": self._world.timestamp(),
        }
        return Node("notification", attrs, [Node("link_code_companion_reg", {"stage": "primary_hello"}, parts)])
