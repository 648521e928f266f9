"""A ring of whole connectors in virtual time: three in two regions hold the devices of several accounts, some with a standby.
Processes have clocks of their own, networks that can be cut on either side, and cells that stop with them.

Who may speak is judged by what arrives at WhatsApp: for each account nothing of an earlier holder after a later one has begun.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from keepline.domain.content.bodies import text_content
from keepline.domain.ids import DeviceName, new_message_id
from keepline.domain.lease import CLOCK_DRIFT_MAX, LeaseProfile
from keepline.domain.link_events import LinkFailed, ReceiptHeard
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.ports.documents import Create, Put, Query, Update, Write
from keepline.records import accounts, outbox, session_docs
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT, Account, Device
from keepline.records.link_settings import StoredSettings
from keepline.records.outbox import NewMessage
from keepline.testing.clock import DriftingClock, LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.severed import SeveredDocuments
from keepline.testing.whatsapp import FakeDevice, FakeWhatsApp, Shown
from keepline.testing.whatsapp_folder import FakeFolder
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases.connecting import NameTaken
from keepline.usecases.session_keeping import SessionKeeper
from tests.simulation.processes import Machine, Outside, Process
from tests.simulation.verdict import Verdict

# By connector, its region.
CONNECTORS = {"east-1": "east", "east-2": "east", "west-1": "west"}
# By account, who holds its devices at first.
ACCOUNTS = {
    "demo_both1": {FIRST_SLOT: "east-1", SECOND_SLOT: "west-1"},
    "demo_both2": {FIRST_SLOT: "west-1", SECOND_SLOT: "east-2"},
    "demo_one1": {FIRST_SLOT: "east-1"},
    "demo_one2": {FIRST_SLOT: "east-2"},
}
# The kernel ends a cell that is stopped so long after its lease (connector: cell/last_resort.py).
GRACE_S = 0.1
# From the last look at the fence to the last byte at WhatsApp (keepline.domain.lease).
TRANSIT_S_MAX = 0.2
# Longer than a lease lasts after its last renewal.
LATE_ANSWER_S_MAX = 5.0
# Firestore in a region answers in some 10 to 50 ms. Where it is quicker a lease leaves less room for what is late.
SLOWNESS = (0.2, 1.5)
# A path that goes dead is noticed within this time (connector: cell/stalls.py), and a new connection is refused or fails so soon.
NOTICED_S = (1.0, 2.2)
REFUSED_S = (0.5, 3.0)
# By region, of which a clock has one: how wrong it runs, as parts of what is assumed at most.
DRIFTS = {"east": (-1, 0, 1), "west": (-1, 0, 1)}
# The library makes a connection that has ended anew by itself.
COMES_BACK_IN_S = 1.0
# From their start until all connectors have heard of each other.
ALL_KNOWN_IN_S = 10.0


class Member(Process):
    """A connector's process on its machine, with that machine's clock."""

    def __init__(self, ring: Ring, machine: Machine, clock: DriftingClock) -> None:
        super().__init__(ring.outside, machine)
        self._ring = ring
        self.clock: DriftingClock = clock
        self.region, self.profile = CONNECTORS[self.name], ring.profile
        self._guarded = False
        self.life.deadline_s = 0.0
        self.store = SeveredDocuments(ring.documents, ring.random, self.life, has_network=True)
        self.store.slowness = ring.slowness
        self.store.on_applied = lambda writes: ring.applied(self, writes)

    def open_link(self, account: str, slot: str) -> FakeLink:
        number = self._ring.numbers[account]
        link = FakeLink(number.whatsapp, number.devices[slot], self.folder(account, slot), self.life)
        self.links = [other for other in self.links if not other.closed]
        self.links.append(link)
        number.speakers[link] = (self, slot)
        return link

    def keep_session(self, account: Account, slot: str) -> SessionKeeper:
        return self._session_keeper(account, slot, self.folder(account.id, slot))

    def left_folders(self) -> dict[DeviceName, FakeFolder]:
        names = {name: name.rpartition("_") for name in self.machine.folders}
        return {(account, slot): self.machine.folders[name] for name, (account, _, slot) in names.items()}

    def folder(self, account: str, slot: str) -> FakeFolder:
        return self.machine.folder(f"{account}_{slot}")

    def go_on(self) -> None:
        super().go_on()
        self._look_at_deadline()
        self._notice()

    def lose_path(self) -> None:
        """What leaves for WhatsApp goes nowhere from now on. That is noticed after a while."""
        self.life.reaches_whatsapp = False
        asyncio.get_running_loop().call_later(self._ring.random.uniform(*NOTICED_S), self._notice)

    def _notice(self) -> None:
        """By the silence of a connection that stands, or by the kernel, which ends it."""
        if not self.life.reaches_whatsapp and not self.life.stopped:
            if self._ring.random.random() < 0.5:
                self._end_sockets()
                return
            for link in self.links:
                link.stall()
            asyncio.get_running_loop().call_later(self._ring.random.uniform(*NOTICED_S), self._end_sockets)

    def _end_sockets(self) -> None:
        if not self.life.reaches_whatsapp:
            for link in self.links:
                link.drop(COMES_BACK_IN_S)

    def find_path(self) -> None:
        if not self.life.reaches_whatsapp:
            self.life.reaches_whatsapp = True
            for link in self.links:
                link.path_is_back()

    def _renewed(self, deadline_s: float) -> None:
        self.life.deadline_s = self.clock.to_world_s(deadline_s)
        if not self._guarded:
            self._guarded = True
            self._look_at_deadline()

    def ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        taken = isinstance(error, NameTaken) or (
            isinstance(error, BaseExceptionGroup) and error.split(NameTaken)[1] is None
        )
        if not taken or self._ring.processes[self.name] is self:
            super().ended(task)

    def _look_at_deadline(self) -> None:
        """Cells cut what they hold when the lease is over. The kernel ends one that cannot."""
        loop, life = asyncio.get_running_loop(), self.life
        if life.dead or not self._guarded:
            return
        over_s = life.deadline_s + (GRACE_S if life.stopped else 0.0)
        if loop.time() < over_s:
            loop.call_at(over_s, self._look_at_deadline)
            return
        self._guarded = False
        for link in self.links:
            if life.stopped:
                link.lose_cell()
            else:
                link.drop(COMES_BACK_IN_S)


@dataclass
class Number:
    """An account, and all that WhatsApp knows of it."""

    account: str
    whatsapp: FakeWhatsApp
    devices: dict[str, FakeDevice]  # by slot
    accepted: dict[str, str] = field(default_factory=dict)  # message id -> text
    accepted_at_s: dict[str, float] = field(default_factory=dict)  # by text
    arrived_at_s: dict[str, float] = field(default_factory=dict)  # by text, the first time
    said: dict[str, str] = field(default_factory=dict)  # WhatsApp id -> text
    speakers: dict[FakeLink, tuple[Member, str]] = field(default_factory=dict)
    # Who has taken the right to send last, since when, and whether anything was claimed or said by it.
    generation: int = 0
    holder: tuple[Member, str] | None = None
    taken_at_s: float = 0.0
    has_begun: bool = False
    given_up_at_s: dict[tuple[Member, str], float] = field(default_factory=dict)  # the last time
    inherited: set[str] = field(default_factory=set)  # the claims that it found

    @property
    def standby(self) -> bool:
        return len(self.devices) > 1


class Ring:
    """Start it inside a virtual loop. `random` decides everything that is left to chance."""

    def __init__(self, random: Random, profile: LeaseProfile) -> None:
        self.random = random
        self.profile = profile
        self.slowness = random.choice(SLOWNESS)
        self.faults: Counter[str] = Counter()
        self.voices: list[str] = []  # who spoke when another one already did
        self.stale_settles: list[str] = []
        self.late = 0  # messages that arrived after their voice had given up
        self.handed_over = 0  # how often the right to send has changed hands
        self.processes: dict[str, Member] = {}
        self.numbers: dict[str, Number] = {}
        self.whatsapp_is_away = False
        self.login_s_max = 0.0
        self._all: list[Member] = []
        self._open: dict[str, str] = {}  # by message id, the texts of those that were not settled at the last look
        self._owners: dict[str, Number] = {}  # by message id
        self._epochs: dict[str, tuple[int, Member]] = {}  # by session: who took it last
        self._forgotten: dict[str, set[str]] = {}  # by account, once all have been stopped

    async def start(self) -> None:
        self.clock = LoopClock()
        self.documents = MemoryDocuments(self.clock)
        self.machines = {name: Machine(name) for name in CONNECTORS}
        self.outside = Outside(
            self.random, self.clock, self.documents, MemoryKeys(), FakeWhatsApp(self.clock, self.random), {}
        )
        for name in CONNECTORS:
            self.boot(name)
        # Else a connector could take a device whose own one is only starting; nobody has a session of it yet.
        await asyncio.sleep(ALL_KNOWN_IN_S)
        for account, holders in ACCOUNTS.items():
            whatsapp = FakeWhatsApp(
                self.clock, self.random, transit_s_max=TRANSIT_S_MAX, late_answer_s_max=LATE_ANSWER_S_MAX
            )
            number = Number(account, whatsapp, {slot: whatsapp.add_device() for slot in holders})
            self.numbers[account] = number
            whatsapp.on_connect = self._connects
            whatsapp.on_arrival = partial(self._arrived, number)
            await self.documents.commit(
                accounts.new_account(
                    account=account,
                    tenant="demo",
                    session_id=account.removeprefix("demo_"),
                    tag_key=bytes(32),
                    status=WAITING_FOR_CONNECTOR,
                    settings=StoredSettings(pacing="off"),
                )
            )
            if number.standby:
                document = await self.documents.get(accounts.account_path(account))
                assert document is not None
                await self.documents.commit(accounts.new_standby(Account.read(document), WAITING_FOR_CONNECTOR))
            for slot, name in holders.items():
                self.machines[name].folders[f"{account}_{slot}"] = number.devices[slot].folder
                assigned = {"connector": name, "region": CONNECTORS[name], "linked": True}
                await self.documents.commit([Update(accounts.device_path(account, slot), assigned)])

    def boot(self, name: str) -> Member:
        rate = 1 + self.random.choice(DRIFTS[CONNECTORS[name]]) * CLOCK_DRIFT_MAX
        clock = DriftingClock(rate, self.random.uniform(0, 1e6))
        process = Member(self, self.machines[name], clock)
        self.processes[name] = process
        self._all.append(process)
        process.start_connector()
        return process

    @property
    def living(self) -> list[Member]:
        return [process for process in self.processes.values() if not process.life.dead]

    def holders(self) -> dict[tuple[str, str], str]:
        """By account and slot, the connector that holds the device."""
        devices = map(Device.read, self.documents.run_query(accounts.all_devices()))
        return {(device.account, device.slot): device.connector for device in devices}

    async def accept(self, account: str, text: str, chat: str, **choices: Any) -> str:
        """What the API does for a message."""
        number = self.numbers[account]
        message_id = new_message_id(self.random.randbytes(16))
        self._owners[message_id] = number
        number.accepted[message_id] = self._open[message_id] = text
        number.accepted_at_s[text] = self.clock.monotonic_s()
        row = NewMessage(
            message_id, "demo", account, account.removeprefix("demo_"), chat, text_content(text), "", **choices
        )
        await self.documents.commit([outbox.new_row(row)])
        return message_id

    def say(self, account: str, text: str, chat: str) -> None:
        number = self.numbers[account]
        number.said[number.whatsapp.write(text, chat)] = text

    def reset(self, account: str, slot: str, back_in_s: float | None) -> None:
        """A device's connection ends, for a reason of its own."""
        link = self.numbers[account].devices[slot].link
        if link is not None:
            link.drop(back_in_s)

    def lose_whatsapp(self) -> None:
        """WhatsApp closes all connections, and lets nobody in."""
        self.whatsapp_is_away = True
        for number in self.numbers.values():
            for slot in number.devices:
                self.reset(number.account, slot, COMES_BACK_IN_S)

    async def stop(self) -> None:
        """SIGTERM to all at once. What was to come has come: whom they hand their devices to decides nothing any more."""
        self._forgotten = {account: self._left_in_journals(number) for account, number in self.numbers.items()}
        for process in self._all:
            if process.task is not None:
                process.go_on()
                process.task.cancel()
        await asyncio.gather(*(process.task for process in self._all if process.task), return_exceptions=True)

    # What became of it

    def unrest(self, *, receipts: bool = True, messages: bool = True) -> str:
        """What still waits, or "" when all is as it should be. `receipts`: those that a standby keeps for a minute as well."""
        for message_id in list(self._open) if messages else ():
            state = self.documents.peek(outbox.row_path(message_id)).fields["state"]
            if state in ("queued", "in_doubt"):
                return f"a message waits: {self._open[message_id]} is {state}"
            del self._open[message_id]
        for (account, slot), name in self.holders().items():
            number = self.numbers[account]
            if not name or self.processes[name].life.dead:
                return f"nobody has {account}_{slot}"
            journal = self.machines[name].folder(f"{account}_{slot}").journal.values()
            heard = [event for event in journal if receipts or not isinstance(event, ReceiptHeard)]
            if messages and (heard or number.devices[slot].waiting):
                return f"something is heard and not recorded by {account}_{slot}"
        for document in self.documents.run_query(accounts.all_devices()):
            if document.fields["state"] != "connected":
                return f"{document.path} is shown as {document.fields['state']}"
        return ""

    def verdict(self) -> Verdict:
        """What must hold and does not, of all accounts. Call it after `stop`."""
        total = Verdict()
        rows = {document.id: document.fields for document in self.documents.run_query(Query("outbox", limit=1_000_000))}
        history = self.documents.run_query(Query("messages", limit=1_000_000, group=True))
        for number in self.numbers.values():
            recorded = {
                document.fields["wa_message_id"]: document.fields["text"]
                for document in history
                if document.path.startswith(f"accounts/{number.account}/")
            }
            of_account = Verdict.of(
                *(number.accepted, number.said, rows, recorded, number.whatsapp),
                standby=number.standby,
                forgotten=self._forgotten[number.account],
                stale_settles=(),
                errors=(),
            )
            total.complaints += [f"{number.account}: {complaint}" for complaint in of_account.complaints]
            for name in Verdict.COUNTERS:
                setattr(total, name, getattr(total, name) + getattr(of_account, name))
        total.stale_settles = len(self.stale_settles)
        total.complaints += [f"two voices: {voice}" for voice in self.voices]
        total.complaints += [f"settled by somebody who may not: {stale}" for stale in self.stale_settles]
        total.complaints += self.outside.errors
        return total

    def _left_in_journals(self, number: Number) -> set[str]:
        """What only journals have that nobody will read: a device has moved on from that machine."""
        forgotten: set[str] = set()
        holders = self.holders()
        for slot in number.devices:
            for machine in self.machines.values():
                if machine.name != holders[number.account, slot]:
                    for event in machine.folder(f"{number.account}_{slot}").journal.values():
                        forgotten.update(getattr(event, "wa_message_ids", None) or (event.wa_message_id,))  # type: ignore[union-attr]
        return forgotten

    def _connects(self, link: FakeLink) -> None:
        """A device wants to be let in."""
        if self.whatsapp_is_away or not link.life.reaches_whatsapp:
            failed = LinkFailed("unreachable")
            asyncio.get_running_loop().call_later(self.random.uniform(*REFUSED_S), link.tell, failed)
        elif self.login_s_max:
            asyncio.get_running_loop().call_later(self.random.uniform(0, self.login_s_max), self._let_in, link)
        else:
            self._let_in(link)

    def _let_in(self, link: FakeLink) -> None:
        in_time = asyncio.get_running_loop().time() < link.life.deadline_s
        if in_time and not (link.closed or link.barred or link.life.stopped):
            link.log_in()

    # Who may speak

    def _arrived(self, number: Number, link: FakeLink, shown: Shown, left_s: float) -> None:
        """A message arrives at WhatsApp: of the account's present voice, or of one that may still be heard.

        - Of an earlier device nothing arrives once another has taken the right. But what one had sent before it gave the right
          up, by its own will and with its socket cut, is on its way for as long as the network takes.
        - Two processes of one device take turns at its login, before which the later one neither claims nor speaks.
        """
        now_s = self.clock.monotonic_s()
        number.arrived_at_s.setdefault(shown.text, now_s)
        speaker = number.speakers[link]
        assert number.holder is not None
        if speaker == number.holder:
            number.has_begun = True
        elif left_s <= number.given_up_at_s.get(speaker, -1.0) and now_s - left_s <= TRANSIT_S_MAX:
            self.late += 1
        elif speaker[1] != number.holder[1] or number.has_begun:
            self.voices.append(
                f"{number.account}_{speaker[1]} of {speaker[0].name} spoke at {now_s:.3f} s, "
                f"{number.holder[1]} of {number.holder[0].name} had the right since {number.taken_at_s:.3f} s"
            )

    def applied(self, process: Member, writes: Sequence[Write]) -> None:
        """A commit of a process has taken effect. Whoever is not the account's voice has nothing to settle any more, and whoever
        does not hold a session has nothing to add to it."""
        for write in writes:
            collection, name, *rest = write.path.split("/")
            fields: dict[str, Any] = getattr(write, "fields", {})
            if collection == outbox.AUTHORITY and isinstance(write, Create | Update):
                self._follow_authority(process, self.numbers[name], fields)
            elif collection == session_docs.SESSIONS and not rest and fields.get("epoch", 0) > self._epoch_of(name):
                self._epochs[name] = (fields["epoch"], process)
        for write in writes:
            collection, name, *rest = write.path.split("/")
            fields = getattr(write, "fields", {})
            told = f"{process.name} wrote {write.path} at {self.clock.monotonic_s():.1f} s"
            if collection == outbox.OUTBOX and fields.get("state") not in ("delivered", "read", "played"):
                holder = self._owners[name].holder
                if holder is None or process is not holder[0]:
                    self.stale_settles.append(told)
            appends = isinstance(write, Create | Put) and rest[:1] == [session_docs.SEGMENTS]
            if appends and process is not self._epochs[name][1]:
                self.stale_settles.append(told)

    def _epoch_of(self, session: str) -> int:
        return self._epochs[session][0] if session in self._epochs else 0

    def _follow_authority(self, process: Member, number: Number, fields: dict[str, Any]) -> None:
        speaker = (process, fields["slot"])
        if fields["generation"] > number.generation:
            self.handed_over += number.holder is not None and speaker != number.holder
            number.generation, number.holder, number.has_begun = fields["generation"], speaker, False
            number.taken_at_s = self.clock.monotonic_s()
            number.inherited = set(fields["claims"])
        elif speaker == number.holder and fields["yielded"]:
            number.given_up_at_s[speaker] = self.clock.monotonic_s()
        elif speaker != number.holder:
            self.stale_settles.append(f"{process.name} wrote the authority of {number.account}")
        elif set(fields["claims"]) - number.inherited:
            number.has_begun = True
