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
from simulator.faults.registry import Faults
from simulator.groups.model import Groups
from simulator.hashes import devices_hash
from simulator.jid import PN_SERVER, SERVER_JID, Jid, normal_number
from simulator.limits import PREKEYS_LOW_COUNT
from simulator.log import TruthLog
from simulator.media.store import MediaStore
from simulator.nodes import Node, Value
from simulator.pairing import Pairings
from simulator.pairing_code import LinkCodes
from simulator.phone import Phone
from simulator.presence import Presences
from simulator.profiles import Profiles
from simulator.rates import Bans, RatePolicy, Rates
from simulator.routing import Router


@dataclass(slots=True)
class Policy:
    """How this WhatsApp behaves where the real one has a choice."""

    # Any number that is asked for or written to is a phone that exists.
    every_number_exists: bool = False
    # A phone asks again for a new message under a key that was used before; otherwise it drops it in silence. Its sender runs
    # on a restored, older store (libsignal calls the message a duplicate).
    ask_when_key_was_used: bool = True
    # A new device gets the key of the app state and recent chats from its phone.
    history_on_link: bool = True
    # A linked device that did not come for this long is removed (WhatsApp's help pages: 30 days).
    absent_seconds_max: float = 30 * 86_400.0


class Clock:
    """Seconds since 1970, plus what was skipped."""

    def __init__(self, source: Callable[[], float]) -> None:
        self._source = source
        self.skipped_seconds = 0.0

    def __call__(self) -> float:
        return self._source() + self.skipped_seconds


class World:
    """The whole service. `seed` decides what is random but should repeat (LIDs; faults to come), never keys."""

    def __init__(
        self, log: TruthLog, seed: int = 0, policy: Policy | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.log = log
        self.policy = policy or Policy()
        self.random = random.Random(seed)
        # A clock that tests can put forward, to see what happens after weeks.
        self.clock = Clock(clock)
        self.now: Callable[[], float] = self.clock
        self.directory = Directory(seed)
        self.router = Router(self)
        self.pairings = Pairings(self)
        self.link_codes = LinkCodes(self)
        self.groups = Groups(seed)
        self.media = MediaStore()
        self.presences = Presences(self)
        self.profiles = Profiles(self)
        self.faults = Faults(log, seed)
        self.bans = Bans(self.now)
        # WhatsApp's patience; None: it has no end.
        self.rates: Rates | None = None
        self._seed = seed

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
        if self.rates:
            self.rates.linked(account.number)
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

    def became_active(self, companion: Companion) -> None:
        """A device is there for the first time or again."""
        if not companion.welcomed and self.policy.history_on_link:
            companion.welcomed = True
            self.later(lambda: companion.account.phone.primary.welcome(companion))

    def remove_absent(self) -> int:
        """Removes the linked devices that have been away for too long; gives how many."""
        oldest = self.now() - self.policy.absent_seconds_max
        gone = [
            companion
            for account in self.directory.accounts()
            for companion in list(account.companions.values())
            if companion.link is None and companion.last_seen < oldest
        ]
        for companion in gone:
            self.unlink(companion)
        return len(gone)

    def set_rates(self, policy: RatePolicy | None) -> None:
        """Begins to judge accounts by a policy, or ends it."""
        self.rates = Rates(policy, self._seed, self.now, self._ban_later, self.log.add) if policy else None
        for account in self.directory.accounts() if self.rates else ():
            if account.companions and self.rates:
                self.rates.linked(account.number)

    def _ban_later(self, number: str, code: int, expire_s: float) -> None:
        """After the ack of the message that was one too many."""
        account = self.directory.by_number(number)
        if account:
            self.later(lambda: self.ban(account, code, expire_s))

    def ban(self, account: Account, code: int, expire_s: float) -> None:
        """Bans an account for a time: its linked devices lose their connections and are told why when they come back."""
        self.bans.add(account.number, code, expire_s)
        self.log.add("banned", number=account.number, code=code, expire_s=expire_s)
        for companion in account.companions.values():
            if companion.link:
                companion.link.end()

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
