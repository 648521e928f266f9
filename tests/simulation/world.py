"""A world in virtual time: one account, its connectors (which may die), WhatsApp, and a checker of what must hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from keepline.domain.content.bodies import text_content
from keepline.domain.ids import new_message_id
from keepline.domain.lease import EXTREME
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.ports.documents import Create, Document, Put, Query, Update, Where, Write
from keepline.records import accounts, outbox, session_docs
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT, Account, Device
from keepline.records.link_settings import StoredSettings
from keepline.records.outbox import Authority, NewMessage
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.severed import SeveredDocuments
from keepline.testing.whatsapp import FakeWhatsApp
from keepline.testing.whatsapp_folder import FakeFolder
from tests.simulation.processes import ACCOUNT, Machine, Outside, Process, Runners
from tests.simulation.verdict import Verdict

FACTS = ("delivered", "read", "played")  # what a recipient's phone says is true whoever writes it down
QUIET_LIMIT_S = 3_600.0
FIRST, SECOND = "connector-1", "connector-2"
# By slot, the two machines between which a device goes to and fro.
MACHINES = {FIRST_SLOT: (FIRST, "connector-3"), SECOND_SLOT: (SECOND, "connector-4")}


@dataclass
class World:
    """Start it inside a virtual loop. `random` decides everything that is left to chance.

    With `bare`, processes run their devices without a Connector around them.
    """

    random: Random
    standby: bool = False
    bare: bool = False
    accepted: dict[str, str] = field(default_factory=dict)  # message id -> text
    said: dict[str, str] = field(default_factory=dict)  # WhatsApp id -> text
    faults: Counter[str] = field(default_factory=Counter)
    stale_settles: list[str] = field(default_factory=list)
    forgotten: set[str] = field(default_factory=set)  # WhatsApp ids that were in a journal which was lost

    async def start(self) -> None:
        self.clock = LoopClock()
        self.documents = MemoryDocuments(self.clock)
        self.keys = MemoryKeys()
        self.whatsapp = FakeWhatsApp(self.clock, self.random)
        self.machines = {name: Machine(name) for names in MACHINES.values() for name in names}
        self.devices = {FIRST_SLOT: self.whatsapp.add_device()}
        self.holders = {FIRST_SLOT: FIRST}  # slot -> machine
        self.outside = Outside(self.random, self.clock, self.documents, self.keys, self.whatsapp, self.devices)
        self.processes: dict[str, Process] = {}
        self.runners: dict[str, Runners] = {}
        self._generation = 0
        self._voice: Process | None = None  # who took the authority last
        self._epochs: dict[str, tuple[int, Process]] = {}  # by session: who took it last
        self._ended: list[asyncio.Task[None]] = []
        self.machines[FIRST].folders[FIRST_SLOT] = self.devices[FIRST_SLOT].folder
        await self.documents.commit(
            accounts.new_account(
                account=ACCOUNT,
                tenant="demo",
                session_id="s1",
                tag_key=bytes(32),
                status=WAITING_FOR_CONNECTOR,
                settings=StoredSettings(pacing="off"),
            )
        )
        if self.standby or self.bare:
            await self._assign(FIRST_SLOT, FIRST)
        if self.standby:
            document = await self.documents.get(accounts.account_path(ACCOUNT))
            assert document is not None
            await self.documents.commit(accounts.new_standby(Account.read(document), WAITING_FOR_CONNECTOR))
            self.devices[SECOND_SLOT] = self.whatsapp.add_device()
            self.machines[SECOND].folders[SECOND_SLOT] = self.devices[SECOND_SLOT].folder
            self.holders[SECOND_SLOT] = SECOND
            await self._assign(SECOND_SLOT, SECOND)

    def boot(self, name: str = FIRST) -> Process:
        """Start a connector's process on its machine."""
        process = Process(self.outside, self.machines[name])
        process.store.on_applied = lambda writes: self._applied(process, writes)
        self.processes[name] = process
        if self.bare:
            slots = [slot for slot, holder in self.holders.items() if holder == name]
            self.runners[name] = process.start_runners(slots)
        else:
            process.start_connector()
        self.outside.silent.discard(name)
        assert process.task is not None
        self._ended.append(process.task)
        return process

    def boot_all(self) -> None:
        for name in self.holders.values():
            self.boot(name)

    @property
    def sending(self) -> str:
        """The name of the machine whose process sends, or is to."""
        return self.holders[self.voice]

    @property
    def voice(self) -> str:
        """The slot of the device that sends, or is to."""
        found = self.documents.run_query(outbox.authorities_of((ACCOUNT,)))
        return Authority.read(found[0]).slot if found else FIRST_SLOT

    @property
    def witness(self) -> str:
        """The slot of the other one."""
        return SECOND_SLOT if self.voice == FIRST_SLOT else FIRST_SLOT

    @property
    def store(self) -> SeveredDocuments:
        """What the sending connector sees of the store."""
        return self.processes[self.sending].store

    # Faults

    def kill(self, name: str = FIRST) -> None:
        self.faults["kill"] += 1
        self._end(name)

    def lose_disk(self, name: str = FIRST) -> None:
        """The container is gone, with what was on its disk."""
        self.faults["disk_lost"] += 1
        self._end(name)
        for folder in self.machines[name].folders.values():
            self._leave_behind(folder)
            folder.lose()

    def _end(self, name: str) -> None:
        """Its neighbours notice after a lease's time (bare processes have no leases of their own)."""
        process = self.processes[name]
        process.kill()
        if self.bare:
            asyncio.get_running_loop().call_later(EXTREME.ttl_s, self._fell_silent, process)

    def _fell_silent(self, process: Process) -> None:
        if self.processes[process.name] is process:
            self.outside.silent.add(process.name)
            for runners in self.runners.values():
                runners.look_again()

    async def terminate(self, name: str = FIRST) -> None:
        self.faults["sigterm"] += 1
        await self.processes[name].terminate()

    def drop_socket(self, name: str = FIRST, back_in_s: float | None = None) -> None:
        self.faults["socket"] += 1
        for link in self.processes[name].links:
            link.drop(back_in_s)

    def lose_cell(self, name: str = FIRST) -> None:
        self.faults["cell"] += 1
        for link in self.processes[name].links:
            link.lose_cell()

    async def take_over(self, slot: str = FIRST_SLOT) -> str:
        """Another machine is given the device while the earlier one lives and does not know. Returns the earlier one's name."""
        self.faults["takeover"] += 1
        earlier = self.holders[slot]
        [self.holders[slot]] = [name for name in MACHINES[slot] if name != earlier]
        await self._assign(slot, self.holders[slot])
        self.boot(self.holders[slot])
        return earlier

    async def retire(self, name: str) -> None:
        """A process that was taken over hears of it, and ends."""
        process = self.processes[name]
        process.go_on()
        await process.terminate()
        for folder in self.machines[name].folders.values():
            self._leave_behind(folder)

    # What happens otherwise

    async def accept(self, text: str, chat: str, **choices: Any) -> str:
        """What the API does for a message."""
        message_id = new_message_id(self.random.randbytes(16))
        row = NewMessage(message_id, "demo", ACCOUNT, "s1", chat, text_content(text), "", **choices)
        await self.documents.commit([outbox.new_row(row)])
        self.accepted[message_id] = text
        return message_id

    def say(self, text: str, chat: str) -> None:
        self.said[self.whatsapp.write(text, chat)] = text

    async def until_settled(self, limit_s: float = QUIET_LIMIT_S) -> None:
        """Until every accepted message has its outcome and everything said is recorded."""
        async with asyncio.timeout(limit_s):
            while not self.is_settled():  # noqa: ASYNC110 - virtual seconds, and nobody to tell us
                await asyncio.sleep(1)

    async def stop(self) -> None:
        for task in self._ended:
            task.cancel()
        await asyncio.gather(*self._ended, return_exceptions=True)

    # What became of it

    def is_settled(self) -> bool:
        unsettled = Query("outbox", (Where("state", "in", ["queued", "in_doubt"]),), limit=1)
        if self.documents.run_query(unsettled):
            return False
        devices = [Device.read(one) for one in self.documents.run_query(accounts.devices_of_account(ACCOUNT))]
        folders = [self.machines[one.connector].folder(one.slot) for one in devices if one.connector]
        return not any(folder.journal for folder in folders) and not any(
            device.waiting for device in self.devices.values()
        )

    async def row(self, message_id: str) -> Document:
        document = await self.documents.get(outbox.row_path(message_id))
        assert document is not None
        return document

    def rows(self) -> list[Document]:
        return self.documents.run_query(Query("outbox", limit=1_000_000))

    def states(self) -> list[str]:
        """What the documents say of the account and of its devices."""
        documents = self.documents.run_query(Query("accounts", limit=1))
        documents += self.documents.run_query(accounts.devices_of_account(ACCOUNT))
        return [document.fields["state"] for document in documents]

    def verdict(self) -> Verdict:
        """What must hold and does not, and what may happen and did."""
        history = self.documents.run_query(Query("messages", limit=1_000_000, group=True))
        return Verdict.of(
            self.accepted,
            self.said,
            {document.id: document.fields for document in self.rows()},
            {document.fields["wa_message_id"]: document.fields["text"] for document in history},
            self.whatsapp,
            standby=self.standby,
            forgotten=self.forgotten,
            stale_settles=self.stale_settles,
            errors=self.outside.errors,
        )

    async def complaints(self) -> list[str]:
        return self.verdict().complaints

    async def _assign(self, slot: str, connector: str) -> None:
        assigned = {"connector": connector, "region": "here", "linked": True}
        await self.documents.commit([Update(accounts.device_path(ACCOUNT, slot), assigned)])

    def _applied(self, process: Process, writes: Sequence[Write]) -> None:
        """A commit of a process has taken effect. Whoever is not the account's voice has nothing to settle any more, and whoever
        does not hold a session has nothing to add to it."""
        for write in writes:
            collection, session, *rest = write.path.split("/")
            fields = getattr(write, "fields", {})
            if collection == outbox.AUTHORITY and fields.get("generation", 0) > self._generation:
                self._generation, self._voice = fields["generation"], process
            elif collection == session_docs.SESSIONS and not rest and fields.get("epoch", 0) > self._epoch_of(session):
                self._epochs[session] = (fields["epoch"], process)
        for write in writes:
            collection, session, *rest = write.path.split("/")
            fields = getattr(write, "fields", {})
            settles = collection == outbox.AUTHORITY or (
                collection == outbox.OUTBOX and fields.get("state") not in FACTS
            )
            # Snapshots are nothing before the head names them, and deleting what nobody needs is anybody's.
            appends = isinstance(write, Create | Put) and rest[:1] == [session_docs.SEGMENTS]
            if settles and process is not self._voice:
                self.stale_settles.append(f"{process.name} wrote {write.path} at {self.clock.monotonic_s():.1f} s")
            elif appends and process is not self._epochs[session][1]:
                self.stale_settles.append(f"{process.name} appended {write.path} at {self.clock.monotonic_s():.1f} s")

    def _epoch_of(self, session: str) -> int:
        return self._epochs[session][0] if session in self._epochs else 0

    def _leave_behind(self, folder: FakeFolder) -> None:
        """What only this folder's journal has may be heard by nobody."""
        for event in folder.journal.values():
            ids = getattr(event, "wa_message_ids", None) or (event.wa_message_id,)  # type: ignore[union-attr]
            self.forgotten.update(ids)
