"""WhatsApp's state without its sockets: who exists, what waits, what happened. Everything else works on a `World`."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from simulator.accounts import Account, Companion, Directory, Keys
from simulator.errors import SimulatorError
from simulator.hashes import devices_hash
from simulator.jid import PN_SERVER, SERVER_JID, Jid, normal_number
from simulator.limits import PREKEYS_LOW_COUNT
from simulator.log import TruthLog
from simulator.nodes import Node, Value
from simulator.pairing import Pairings
from simulator.phone import Phone
from simulator.routing import Router


@dataclass(slots=True)
class Policy:
    """How this WhatsApp behaves where the real one has a choice."""

    # Any number that is asked for or written to is a phone that exists.
    every_number_exists: bool = False
    # A phone asks again for a new message under a key that was used before; otherwise it drops it in silence. Its sender runs
    # on a restored, older store (libsignal calls the message a duplicate).
    ask_when_key_was_used: bool = True


class World:
    """The whole service. `seed` decides what is random but should repeat (LIDs; faults to come), never keys."""

    def __init__(
        self, log: TruthLog, seed: int = 0, policy: Policy | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.log = log
        self.policy = policy or Policy()
        self.random = random.Random(seed)
        self.now = clock
        self.directory = Directory(seed)
        self.router = Router(self)
        self.pairings = Pairings(self)

    def timestamp(self) -> str:
        return str(int(self.now()))

    def message_id(self) -> str:
        """An id in the form phones use: upper-case hexadecimal."""
        return "AC" + os.urandom(15).hex().upper()

    # Phones

    def add_phone(self, number: str, name: str = "") -> Phone:
        account = self.directory.add(normal_number(number), name, self.now(), lambda account: Phone(self, account))
        return account.phone

    def phone(self, number: str) -> Phone:
        """The phone with a number; made on the spot where every number exists, otherwise a 404."""
        digits = normal_number(number)
        account = self.account_at(Jid(digits, PN_SERVER))
        if account is None:
            raise SimulatorError(
                "no_such_phone", f"There is no phone with the number {digits}.",
                'Make one: POST /phones {"number": ..., "name": ...}, or start with --every-number-exists.', status=404,
            )  # fmt: skip
        return account.phone

    def account_at(self, jid: Jid) -> Account | None:
        """Whom an address belongs to; a phone number may come into being here."""
        account = self.directory.by_jid(jid)
        if account is None and self.policy.every_number_exists and jid.server == PN_SERVER:
            try:
                return self.add_phone(jid.user).account
            except SimulatorError:
                return None
        return account

    # Linked devices

    def link(self, account: Account, number: int, noise_key: bytes, keys: Keys, platform: str) -> Companion:
        companion = Companion(account, number, noise_key, keys, self.now(), self.log)
        companion.platform = platform
        account.companions[number] = companion
        self.log.add("paired", number=account.number, device=number)
        self.announce_devices(account)
        return companion

    def unlink(self, companion: Companion) -> None:
        """Removes a linked device; if it is connected it learns why its stream ends, else at its next login."""
        account = companion.account
        if account.companions.get(companion.number) is not companion:
            return
        del account.companions[companion.number]
        self.log.add("unlinked", number=account.number, device=companion.number)
        if companion.link:
            companion.link.unlink()
        self.announce_devices(account)

    def keys_used(self, companion: Companion) -> None:
        """Asks a device for more one-time keys when few are left (whatsmeow notification.go, `encrypt`)."""
        left = len(companion.keys.one_time)
        if left == PREKEYS_LOW_COUNT - 1 or left == 0:
            attrs: dict[str, Value] = {
                "from": SERVER_JID,
                "type": "encrypt",
                "id": self.message_id(),
                "t": self.timestamp(),
            }
            companion.deliver(Node("notification", attrs, [Node("count", {"value": str(left)})]), None)

    def later(self, action: Callable[[], None]) -> None:
        """Runs something after what is being answered now."""
        asyncio.get_running_loop().call_soon(action)

    def announce_devices(self, account: Account) -> None:
        """Tells an account's linked devices its new list, so that they encrypt for each other (whatsmeow `account_sync`)."""
        devices = [Jid(account.number, PN_SERVER, device.number) for device in account.devices()]
        listing = [Node("device", {"jid": jid}) for jid in devices]
        for companion in account.companions.values():
            attrs: dict[str, Value] = {"from": account.pn_jid, "type": "account_sync", "t": self.timestamp()}
            attrs["id"] = self.message_id()
            changed = Node("devices", {"dhash": devices_hash(devices)}, listing)
            companion.deliver(Node("notification", attrs, [changed]), None)
