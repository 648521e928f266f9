"""Linking a device by QR code: what the server offers, what the phone signs, what the device proves.

The structures are WhatsApp's ADV ("account device verification") as whatsmeow's pair.go checks them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from simulator import wire
from simulator.accounts import Companion, Keys
from simulator.errors import ProtocolError, SimulatorError
from simulator.jid import SERVER_JID
from simulator.limits import PAIRING_CONFIRM_SECONDS_MAX, QR_CODES, QR_FIRST_SECONDS, QR_NEXT_SECONDS
from simulator.nodes import Node, Value
from simulator.signal import curve

if TYPE_CHECKING:
    from simulator.phone import Phone
    from simulator.world import World

# Prefixes of the two signatures (whatsmeow pair.go `AdvAccountSignaturePrefix`, `AdvDeviceSignaturePrefix`).
_ACCOUNT_PREFIX, _DEVICE_PREFIX = b"\x06\x00", b"\x06\x01"
# A code may be on the screen a moment longer than the client's own clock says.
_GRACE_SECONDS = 5.0


class PairingLink(Protocol):
    """The connection of a device that wants to be linked."""

    def send(self, node: Node) -> None: ...

    def ask(self, node: Node, answered: Callable[[Node], None]) -> None: ...

    def paired(self) -> None: ...


class ScannedCode(NamedTuple):
    ref: str
    noise_key: bytes
    identity: bytes
    adv_secret: bytes


def parse_qr(text: str) -> ScannedCode:
    """`https://wa.me/settings/linked_devices#ref,noise,identity,adv,type`; the part before `#` may be missing."""
    parts = text.strip().rpartition("#")[2].split(",")
    try:
        ref, keys = parts[0], [base64.b64decode(part, validate=True) for part in parts[1:4]]
    except (binascii.Error, ValueError):
        keys = []
    if len(parts) not in (4, 5) or [len(key) for key in keys] != [32, 32, 32]:
        raise SimulatorError(
            "bad_qr", "That is not the text of a linking code.",
            "Pass the whole text of the QR code, https://wa.me/settings/linked_devices#ref,key,key,key,type.",
        )  # fmt: skip
    return ScannedCode(ref, *keys)


@dataclass(slots=True)
class Offer:
    """A connection that shows QR codes, and the keys it came with."""

    link: PairingLink
    noise_key: bytes
    keys: Keys
    platform: str
    started_at: float
    # Real clients say what kind of device they are; a bare protocol client does not, and gets no history.
    wants_history: bool = False
    refs: list[str] = field(default_factory=list)

    def valid(self, ref: str, now: float) -> bool:
        """Whether a code is still on the screen: the first for a minute, the others 20 s each, one after the other."""
        until = self.started_at + QR_FIRST_SECONDS + QR_NEXT_SECONDS * self.refs.index(ref)
        return now <= until + _GRACE_SECONDS

    def expires_at(self) -> float:
        return self.started_at + QR_FIRST_SECONDS + QR_NEXT_SECONDS * (len(self.refs) - 1) + _GRACE_SECONDS


class Pairings:
    """The offers that are open, by the refs in their codes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._offers: dict[str, Offer] = {}

    def __len__(self) -> int:
        return len(self._offers) // QR_CODES

    def open(self, link: PairingLink, noise_key: bytes, payload: wire.Fields) -> tuple[Offer, Node]:
        """A new offer for a connection that is not logged in, and the stanza with its codes."""
        platform, wants_history = _properties(payload)
        offer = Offer(link, noise_key, registration_keys(payload), platform, self._world.now(), wants_history)
        offer.refs = ["2@" + base64.b64encode(os.urandom(66)).decode() for _ in range(QR_CODES)]
        self._offers.update(dict.fromkeys(offer.refs, offer))
        refs = [Node("ref", {}, ref.encode()) for ref in offer.refs]
        attrs: dict[str, Value] = {"from": SERVER_JID, "type": "set", "id": self._world.message_id(), "xmlns": "md"}
        return offer, Node("iq", attrs, [Node("pair-device", {}, refs)])

    def close(self, offer: Offer) -> None:
        for ref in offer.refs:
            self._offers.pop(ref, None)

    def ended(self, offer: Offer) -> None:
        """The connection that made an offer is gone."""
        self.close(offer)
        self._world.link_codes.closed(offer)

    async def scan(self, phone: Phone, qr: str) -> Companion:
        """A phone scans a code; returns once the new device has confirmed. Every way to fail is a `SimulatorError`."""
        code = parse_qr(qr)
        offer = self._offers.get(code.ref)
        if offer is None or not offer.valid(code.ref, self._world.now()):
            raise SimulatorError(
                "qr_expired", "That code is not (or no longer) offered.", "Scan the code that is shown now.", status=410
            )
        if code.noise_key != offer.noise_key or code.identity != offer.keys.identity:
            raise SimulatorError(
                "qr_mismatch", "The keys in the code are not those of the device that shows it.", status=409
            )
        return await self.link(phone, offer, code.adv_secret)

    async def link(self, phone: Phone, offer: Offer, adv_secret: bytes) -> Companion:
        """The phone vouches for the device of an offer; returns once that has confirmed."""
        number = phone.account.claim_device_number()
        details, signed = sign_device(phone, offer.keys.identity, self._world.now(), number)
        confirmed: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self.close(offer)
        offer.link.ask(
            self._success(phone, number, signed, adv_secret),
            lambda node: None if confirmed.done() else confirmed.set_result(node),
        )
        try:
            answer = await asyncio.wait_for(confirmed, PAIRING_CONFIRM_SECONDS_MAX)
        except TimeoutError:
            raise SimulatorError(
                "pairing_timeout", "The device did not confirm the linking in time.", status=409
            ) from None
        _check_answer(answer, details, offer.keys.identity, phone.store.identity.public)
        companion = self._world.link(phone.account, number, offer.noise_key, offer.keys, offer.platform)
        companion.welcomed = not offer.wants_history
        offer.link.paired()
        return companion

    def _success(self, phone: Phone, number: int, signed: bytes, adv_secret: bytes) -> Node:
        sealed = wire.pack((1, signed), (2, hmac.digest(adv_secret, signed, "sha256")))
        account = phone.account
        content = [
            Node("device-identity", {}, sealed),
            Node("platform", {"name": "android"}),
            Node(
                "device",
                {"jid": account.pn_jid._replace(device=number), "lid": account.lid_jid._replace(device=number)},
            ),
        ]
        attrs: dict[str, Value] = {
            "from": SERVER_JID,
            "type": "set",
            "id": self._world.message_id(),
            "t": self._world.timestamp(),
        }
        return Node("iq", attrs, [Node("pair-success", {}, content)])


def registration_keys(payload: wire.Fields) -> Keys:
    """The keys in a ClientPayload's registration data (waWa6 `DevicePairingRegistrationData`: fields 1, 3, 4, 5, 6)."""
    data = payload.message(19)
    keys = Keys(
        int.from_bytes(data.blob(1), "big"),
        data.blob(3),
        int.from_bytes(data.blob(4), "big"),
        data.blob(5),
        data.blob(6),
    )
    if len(keys.identity) != 32 or not curve.verify(keys.identity, curve.DJB_TYPE + keys.signed_key, keys.signature):
        raise ProtocolError("bad_registration", "The keys of a device that wants to be linked do not fit together.")
    return keys


def _properties(payload: wire.Fields) -> tuple[str, bool]:
    """The name a device gives itself, and whether it says what it is (waCompanionReg `DeviceProps.os`, `platformType`)."""
    try:
        properties = payload.message(19).message(8)
    except ProtocolError:
        return "", False
    return properties.text(1)[:64], 3 in properties


def sign_device(phone: Phone, identity: bytes, now: float, number: int) -> tuple[bytes, bytes]:
    """The details of a device and the phone's signed statement about it (waAdv `ADVSignedDeviceIdentity`)."""
    details = wire.pack((1, int.from_bytes(os.urandom(4), "big")), (2, int(now)), (3, number), (4, 0), (5, 0))
    account_key = phone.store.identity
    signature = curve.sign(account_key.private, _ACCOUNT_PREFIX + details + identity)
    return details, wire.pack((1, details), (2, account_key.public), (3, signature))


def _check_answer(answer: Node, details: bytes, identity: bytes, account_key: bytes) -> None:
    signed = answer.child("pair-device-sign", "device-identity")
    if answer.text("type") != "result" or signed is None:
        error = answer.child("error")
        why = error.text("text") if error else "no reason given"
        raise SimulatorError("pairing_refused", f"The device refused to be linked ({why}).", status=409)
    signature = wire.parse(signed.data()).blob(4)
    if not curve.verify(identity, _DEVICE_PREFIX + details + identity + account_key, signature):
        raise SimulatorError("pairing_forged", "The device's signature on its linking is wrong.", status=409)
