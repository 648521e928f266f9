"""A fleet in virtual time: several accounts, connectors with regions and capacities, networks that can be cut."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from random import Random

from keepline.domain.compaction import RestorePolicy
from keepline.domain.content.bodies import text_content
from keepline.domain.ids import DeviceName, new_message_id
from keepline.domain.link_events import LinkFailed
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.ports.documents import Document, Query, Update, Watch, Where
from keepline.records import accounts, connectors, history, outbox
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT, Account, Device
from keepline.records.link_settings import StoredSettings
from keepline.records.outbox import Authority, NewMessage
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.session_file import MemorySessionFile
from keepline.testing.severed import SeveredDocuments, SeveredFile
from keepline.testing.whatsapp import FakeDevice, FakeWhatsApp
from keepline.testing.whatsapp_folder import FakeFolder
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases.session_keeping import SessionKeeper
from tests.simulation.processes import Machine, Outside, Process

CHAT = "14155550123@s.whatsapp.net"
LIMIT_S = 600.0
LOOK_S = 0.05
_UNSETTLED = Query("outbox", (Where("state", "in", ["queued", "in_doubt"]),), limit=1)


class CutDocuments(SeveredDocuments):
    """While it is `away`, listeners hear nothing either. While it is `deaf`, they alone hear nothing."""

    deaf = False

    @asynccontextmanager
    async def watch(self, query: Query) -> AsyncIterator[Watch]:
        async with super().watch(query) as watch:
            yield self._while_there(watch)

    async def _while_there(self, watch: Watch) -> AsyncIterator[Sequence[Document]]:
        async for documents in watch:
            while self.away or self.deaf:  # noqa: ASYNC110 - virtual time, and nobody to tell us
                await asyncio.sleep(LOOK_S)
            yield documents


class FleetProcess(Process):
    """Holds devices of any of the fleet's accounts."""

    def __init__(self, fleet: Fleet, machine: Machine) -> None:
        super().__init__(fleet.outside, machine)
        self.fleet = fleet
        self.store = CutDocuments(fleet.documents, fleet.random, self.life)
        self._links_by_name: dict[tuple[str, str], FakeLink] = {}

    def open_link(self, account: str, slot: str) -> FakeLink:
        device = self.fleet.devices[account, slot]
        link = FakeLink(self.fleet.whatsapp[account], device, self._folder(account, slot), self.life)
        self.links.append(link)
        self._links_by_name[account, slot] = link
        return link

    def keep_session(self, account: Account, slot: str) -> SessionKeeper:
        outside = self.outside
        return SessionKeeper(
            self.store,
            outside.clock,
            outside.keys,
            SeveredFile(MemorySessionFile(self._folder(account.id, slot).disk), self.life),
            outside.random.randbytes,
            account=account.id,
            tenant=account.tenant,
            slot=slot,
            holder=self.name,
            policy=RestorePolicy.REFUSE,
        )

    def link_of(self, account: str, slot: str) -> FakeLink:
        """The newest link of a device."""
        return self._links_by_name[account, slot]

    def left_folders(self) -> dict[DeviceName, FakeFolder]:
        return {
            name: self.machine.folders["_".join(name)]
            for name in self.fleet.devices
            if "_".join(name) in self.machine.folders
        }

    def _folder(self, account: str, slot: str) -> FakeFolder:
        """A device is linked on the machine that has it first."""
        name = f"{account}_{slot}"
        if all(name not in machine.folders for machine in self.fleet.machines.values()):
            self.machine.folders[name] = self.fleet.devices[account, slot].folder
        return self.machine.folder(name)


class Fleet:
    """Create it inside a virtual loop."""

    def __init__(self, random: Random, machines: Sequence[Machine]) -> None:
        self.random = random
        self.clock = LoopClock()
        self.documents = MemoryDocuments(self.clock)
        self.machines = {machine.name: machine for machine in machines}
        self.whatsapp: dict[str, FakeWhatsApp] = {}  # by account; each has its own recipients
        self.devices: dict[tuple[str, str], FakeDevice] = {}
        self.processes: dict[str, FleetProcess] = {}
        self.cut_off: set[str] = set()  # machines without a network
        self.accepted: dict[str, str] = {}  # message id -> text
        self.most_held: Counter[str] = Counter()  # by machine: the most devices that it ever ran at once
        nobody = FakeWhatsApp(self.clock, random)
        self.outside = Outside(random, self.clock, self.documents, MemoryKeys(), nobody, {})
        self._tasks = [asyncio.create_task(self._count())]

    def boot(self, name: str) -> None:
        process = self.processes[name] = FleetProcess(self, self.machines[name])
        process.start_connector()
        assert process.task is not None
        self._tasks.append(process.task)

    async def add(self, account: str, *holders: str) -> None:
        """An account with a linked device on each of these machines, or with a new one on none ("")."""
        whatsapp = self.whatsapp[account] = FakeWhatsApp(self.clock, self.random)
        whatsapp.on_connect = self._let_in
        await self.documents.commit(
            accounts.new_account(
                account=account,
                tenant="demo",
                session_id=account,
                tag_key=bytes(32),
                status=WAITING_FOR_CONNECTOR,
                settings=StoredSettings(pacing="off"),
            )
        )
        if len(holders) > 1:
            document = await self.documents.get(accounts.account_path(account))
            assert document is not None
            await self.documents.commit(accounts.new_standby(Account.read(document), WAITING_FOR_CONNECTOR))
        for slot, holder in zip((FIRST_SLOT, SECOND_SLOT), holders, strict=False):
            self.devices[account, slot] = whatsapp.add_device()
            if holder:
                assigned = {"connector": holder, "region": self.machines[holder].region, "linked": True}
                await self.documents.commit([Update(accounts.device_path(account, slot), assigned)])

    def _let_in(self, link: FakeLink) -> None:
        process = next(process for process in self.processes.values() if link in process.links)
        if process.name in self.cut_off:
            link.tell(LinkFailed("unreachable"))
        else:
            link.log_in()

    def cut(self, name: str) -> None:
        """Between a machine and both Firestore and WhatsApp."""
        self.cut_off.add(name)
        process = self.processes[name]
        process.store.away = True
        for link in process.links:
            link.drop()

    def mend(self, name: str) -> None:
        self.cut_off.discard(name)
        self.processes[name].store.away = False

    async def drain(self, name: str, wanted: bool = True) -> None:
        await self.documents.commit([connectors.drain(name, wanted)])

    async def delete(self, account: str) -> None:
        """What the API does when a session is deleted."""
        document = await self.documents.get(accounts.account_path(account))
        assert document is not None
        devices = [device for device in self.all_devices() if device.account == account]
        await self.documents.commit(accounts.unwanted(Account.read(document), devices))

    async def accept(self, account: str, text: str) -> None:
        message_id = new_message_id(self.random.randbytes(16))
        row = NewMessage(message_id, "demo", account, account, CHAT, text_content(text), "")
        await self.documents.commit([outbox.new_row(row)])
        self.accepted[message_id] = text

    def all_devices(self) -> list[Device]:
        return [Device.read(document) for document in self.documents.run_query(accounts.all_devices())]

    def held(self) -> Counter[str]:
        """How many devices each machine has been given, by the documents; "" for nobody's."""
        return Counter(device.connector for device in self.all_devices())

    def holder(self, account: str, slot: str = FIRST_SLOT) -> str:
        return next(device.connector for device in self.all_devices() if device.name == (account, slot))

    def sends(self, account: str) -> str:
        """The slot of the device that sends for an account, or is to."""
        [authority] = map(Authority.read, self.documents.run_query(outbox.authorities_of((account,))))
        return authority.slot

    def connected(self) -> int:
        """How many devices are logged in."""
        return sum(device.link is not None for device in self.devices.values())

    async def until(self, there: Callable[[], bool], limit_s: float = LIMIT_S) -> float:
        """Wait for it. Returns how many seconds that took."""
        began_s = self.clock.monotonic_s()
        async with asyncio.timeout(limit_s):
            while not there():  # noqa: ASYNC110 - virtual time, and nobody to tell us
                await asyncio.sleep(LOOK_S)
        return self.clock.monotonic_s() - began_s

    async def until_sent(self) -> None:
        await self.until(lambda: not self.documents.run_query(_UNSETTLED))

    def gaps_s(self) -> list[float]:
        """Of each message, from its acceptance to WhatsApp's answer."""
        rows = self.documents.run_query(Query("outbox", limit=1_000_000))
        times: list[dict[str, datetime]] = [row.fields["times"] for row in rows]
        return [(at["sent"] - at["accepted"]).total_seconds() for at in times]

    def ever_in_doubt(self) -> list[str]:
        """The texts of messages of which it was not known for a time whether WhatsApp has them."""
        rows = self.documents.run_query(Query("outbox", limit=1_000_000))
        return [row.fields["text"] for row in rows if "in_doubt" in row.fields["times"]]

    def outbox_states(self) -> set[str]:
        """Those that messages have at present."""
        return {row.fields["state"] for row in self.documents.run_query(Query("outbox", limit=1_000_000))}

    def history(self, account: str) -> list[str]:
        """The recorded texts of the chat that everybody talks in."""
        query = history.newest_in_chat(account, CHAT, 1_000_000, None)
        return [document.fields["text"] for document in self.documents.run_query(query)]

    def shown(self) -> list[str]:
        return sorted(shown.text for whatsapp in self.whatsapp.values() for shown in whatsapp.shown)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _count(self) -> None:
        while True:
            for name, process in self.processes.items():
                self.most_held[name] = max(self.most_held[name], process.connector.devices)
            await asyncio.sleep(LOOK_S)
