"""Who exists: numbers, their hidden identities (LIDs), their phones and their linked devices."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from simulator.appstate.collections import Collections
from simulator.errors import SimulatorError
from simulator.jid import GROUP_SERVER, LID_SERVER, PN_SERVER, Jid
from simulator.limits import COMPANIONS_PER_NUMBER_MAX, DEVICE_NUMBER_MAX, PHONES_MAX
from simulator.log import TruthLog
from simulator.nodes import Node
from simulator.queues import DeviceQueue
from simulator.signal.x3dh import Bundle

if TYPE_CHECKING:
    from simulator.phone import Phone


class DeviceLink(Protocol):
    """The connection a linked device is logged in on."""

    def send(self, node: Node) -> None: ...

    def unlink(self) -> None: ...

    def replace(self) -> None: ...

    def end(self) -> None: ...

    def abort(self) -> None: ...


class Device:
    """One of a number's devices: the phone (number 0) or a linked one."""

    def __init__(self, account: Account, number: int) -> None:
        self.account = account
        self.number = number
        self.pn = Jid(account.number, PN_SERVER, number)
        self.lid = Jid(account.lid, LID_SERVER, number)

    def jid(self, server: str) -> Jid:
        """The device's address in the namespace of a conversation: hidden identity or phone number."""
        return self.pn if server == PN_SERVER else self.lid

    def take_bundle(self) -> Bundle:
        """Public keys for a new session with this device; a one-time key in it is used up."""
        raise NotImplementedError

    def deliver(self, node: Node, sender: Device | None) -> None:
        """Hands a stanza over, or keeps it until the device is there."""
        raise NotImplementedError


@dataclass(slots=True)
class Keys:
    """The public keys a linked device gave the server."""

    registration_id: int
    identity: bytes
    signed_id: int
    signed_key: bytes
    signature: bytes
    one_time: deque[tuple[int, bytes]] = field(default_factory=deque)


class Companion(Device):
    """A linked device. It outlives its connections; its queue keeps what it has not acknowledged."""

    def __init__(
        self, account: Account, number: int, noise_key: bytes, keys: Keys, linked_at: float, log: TruthLog
    ) -> None:
        super().__init__(account, number)
        self.noise_key = noise_key
        self.keys = keys
        self.linked_at = linked_at
        self.platform = ""
        self.last_seen = linked_at
        # It got what a new device gets from its phone (history, the key of the app state).
        self.welcomed = False
        self.queue = DeviceQueue(lambda item: self.record("dropped", item.node))
        self.link: DeviceLink | None = None
        self._log = log

    def take_bundle(self) -> Bundle:
        keys = self.keys
        key_id, key = keys.one_time.popleft() if keys.one_time else (None, None)
        return Bundle(keys.registration_id, keys.identity, keys.signed_id, keys.signed_key, keys.signature, key_id, key)

    def deliver(self, node: Node, sender: Device | None) -> None:
        self.record("queued", node)
        self.queue.push(node)

    def record(self, kind: str, node: Node) -> None:
        """Puts a step of a message for this device into the log; receipts and notifications would only fill it."""
        if node.tag == "message":
            self._log.add(kind, id=node.text("id"), to=self.account.number, device=self.number)


class Account:
    """A number with its phone and up to four linked devices."""

    def __init__(self, number: str, lid: str, name: str, created_at: float) -> None:
        self.number = number
        self.lid = lid
        self.name = name
        self.created_at = created_at
        self.pn_jid = Jid(number, PN_SERVER)
        self.lid_jid = Jid(lid, LID_SERVER)
        self.phone: Phone
        self.companions: dict[int, Companion] = {}
        self.app_state = Collections()
        self._last_device = 0

    def devices(self) -> list[Device]:
        return [self.phone, *self.companions.values()]

    def device(self, number: int) -> Device | None:
        return self.phone if number == 0 else self.companions.get(number)

    def claim_device_number(self) -> int:
        """The next device number; numbers count upwards and come round again only after 99."""
        if len(self.companions) >= COMPANIONS_PER_NUMBER_MAX:
            raise SimulatorError(
                "device_limit",
                f"{self.number} has {COMPANIONS_PER_NUMBER_MAX} linked devices already.",
                f"Unlink one: DELETE /phones/{self.number}/devices/{{n}}.",
                status=409,
            )
        number = self._last_device
        while True:
            number = number % DEVICE_NUMBER_MAX + 1
            if number not in self.companions:
                self._last_device = number
                return number


class Directory:
    """Finds accounts and devices by number or LID."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._by_number: dict[str, Account] = {}
        self._by_lid: dict[str, Account] = {}

    def __len__(self) -> int:
        return len(self._by_number)

    def accounts(self) -> list[Account]:
        return list(self._by_number.values())

    def add(self, number: str, name: str, now: float, make_phone: Callable[[Account], Phone]) -> Account:
        if number in self._by_number:
            raise SimulatorError("phone_exists", f"There is a phone with the number {number} already.", status=409)
        if len(self._by_number) >= PHONES_MAX:
            raise SimulatorError("phone_limit", f"There are {PHONES_MAX} phones already.", status=409)
        account = Account(number, self._lid_for(number), name, now)
        account.phone = make_phone(account)
        self._by_number[number] = account
        self._by_lid[account.lid] = account
        return account

    def _lid_for(self, number: str) -> str:
        """15 digits that depend on the seed and the number only, so that a run can be repeated."""
        attempt = 0
        while True:
            digest = hashlib.sha256(f"{self._seed}:{number}:{attempt}".encode()).digest()
            lid = str(10**14 + int.from_bytes(digest[:8], "big") % (9 * 10**14))
            if lid not in self._by_lid:
                return lid
            attempt += 1

    def by_number(self, number: str) -> Account | None:
        return self._by_number.get(number)

    def by_jid(self, jid: Jid) -> Account | None:
        if jid.server == LID_SERVER:
            return self._by_lid.get(jid.user)
        return None if jid.server == GROUP_SERVER else self._by_number.get(jid.user)

    def device(self, jid: Jid) -> Device | None:
        account = self.by_jid(jid)
        return account.device(jid.device) if account else None
