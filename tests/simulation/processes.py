"""A connector's process in the simulation, with a whole `Connector` in it or with the bare runners of its devices."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from keepline.domain.compaction import RestorePolicy
from keepline.domain.ids import DeviceName
from keepline.domain.lease import EXTREME
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, StoreUnavailable
from keepline.records import accounts, outbox, witness
from keepline.records.accounts import Account, Device
from keepline.records.connectors import Beater
from keepline.records.outbox import Authority
from keepline.records.witness import Question
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.left_journals import MemoryLeftJournals
from keepline.testing.session_file import MemorySessionFile
from keepline.testing.severed import Life, SeveredDocuments, SeveredFile
from keepline.testing.whatsapp import FakeDevice, FakeWhatsApp
from keepline.testing.whatsapp_folder import FakeFolder
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases.connecting import Connector
from keepline.usecases.device_running import DeviceRunner
from keepline.usecases.leasing import LeaseKeeper
from keepline.usecases.reconnecting import Pace
from keepline.usecases.session_keeping import SessionKeeper
from keepline.usecases.session_openings import Openings

ACCOUNT = "demo_s1"
# What Cloud Run gives a container between SIGTERM and SIGKILL.
TERMINATION_LIMIT_S = 10.0
# Bare runners live through thousands of idle hours, in which asking every few seconds would only cost time.
QUIET_HOURS_KEEP_ALIVE_S = 600.0


@dataclass
class Machine:
    """What outlives a process: by slot, the folders on its disk."""

    name: str
    region: str = "here"
    capacity: int = 10
    folders: dict[str, FakeFolder] = field(default_factory=dict)

    def folder(self, slot: str) -> FakeFolder:
        return self.folders.setdefault(slot, FakeFolder())


@dataclass
class Outside:
    """What all processes share."""

    random: Random
    clock: Clock
    documents: MemoryDocuments
    keys: MemoryKeys
    whatsapp: FakeWhatsApp
    devices: dict[str, FakeDevice]  # by slot
    silent: set[str] = field(default_factory=set)  # names of bare processes that have been dead for a while
    errors: list[str] = field(default_factory=list)  # of processes that ended otherwise than by being told to


class Process:
    """From its start to its death."""

    def __init__(self, outside: Outside, machine: Machine) -> None:
        self.outside = outside
        self.machine = machine
        self.name = machine.name
        self.region = machine.region
        self.profile = EXTREME
        self.clock = outside.clock
        self.life = Life()
        self.store = SeveredDocuments(outside.documents, outside.random, self.life)
        self.links: list[FakeLink] = []
        self.task: asyncio.Task[None] | None = None

    def start_connector(self) -> None:
        """With its heartbeat, its adoptions and its feeds."""
        outside = self.outside
        capacity = self.machine.capacity
        process = outside.random.randbytes(8).hex()
        beater = Beater(self.name, self.region, process, self.profile.ttl_s, capacity, self.clock.now())
        self.connector = Connector(
            self.store,
            self.clock,
            outside.random,
            self.open_link,
            self.keep_session,
            self.name,
            self.region,
            capacity,
            LeaseKeeper(self.store, self.clock, beater, self.profile, self._renewed),
            self.profile,
            outside.keys,
            MemoryLeftJournals(self.left_folders, self.life),
        )
        self._start(self.connector.run())

    def start_runners(self, slots: Sequence[str]) -> Runners:
        """Only with what the devices in `slots` need: an hour without traffic costs next to nothing."""
        runners = Runners(self, slots)
        self._start(runners.run())
        return runners

    def open_link(self, account: str, slot: str) -> FakeLink:
        outside = self.outside
        self.links.append(FakeLink(outside.whatsapp, outside.devices[slot], self.machine.folder(slot), self.life))
        return self.links[-1]

    def left_folders(self) -> dict[DeviceName, FakeFolder]:
        """By account and slot."""
        return {(ACCOUNT, slot): folder for slot, folder in self.machine.folders.items()}

    def keep_session(self, account: Account, slot: str) -> SessionKeeper:
        return self._session_keeper(account, slot, self.machine.folder(slot))

    def _session_keeper(self, account: Account, slot: str, folder: FakeFolder) -> SessionKeeper:
        outside = self.outside
        return SessionKeeper(
            self.store,
            outside.clock,
            outside.keys,
            SeveredFile(MemorySessionFile(folder.disk), self.life),
            outside.random.randbytes,
            account=account.id,
            tenant=account.tenant,
            slot=slot,
            holder=self.name,
            policy=RestorePolicy.REFUSE,
        )

    def _renewed(self, deadline_s: float) -> None:
        self.life.deadline_s = deadline_s

    def kill(self) -> None:
        """kill -9: nothing that the process meant to do still happens."""
        self.life.kill()
        for link in self.links:
            link.die()
        assert self.task is not None
        self.task.cancel()

    async def terminate(self) -> None:
        """SIGTERM, and SIGKILL after a while."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task], timeout=TERMINATION_LIMIT_S)
        self.kill()

    def stop(self) -> None:
        """SIGSTOP."""
        self.life.stop()

    def go_on(self) -> None:
        """SIGCONT."""
        self.life.go_on()
        for link in self.links:
            link.read_waiting()

    def _start(self, running: Coroutine[Any, Any, None]) -> None:
        self.task = self.life.run(running)
        self.task.add_done_callback(self.ended)

    def ended(self, task: asyncio.Task[None]) -> None:
        if not self.life.dead and not task.cancelled() and (error := task.exception()) is not None:
            self.outside.errors.append(f"{self.name} ended with {error!r}")


class Runners:
    """What a Connector does for its devices, without heartbeat and assignments."""

    def __init__(self, process: Process, slots: Sequence[str]) -> None:
        self._process = process
        self._slots = slots
        self._openings = Openings(process.outside.clock)
        self._pace = Pace(process.outside.clock, process.outside.random)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runners: list[DeviceRunner] = []

    async def run(self) -> None:
        """Until cancelled; then every device ends as it should."""
        for slot in self._slots:
            self._tasks[slot] = asyncio.create_task(self._run(slot))
            self._tasks[slot].add_done_callback(self._process.ended)
        try:
            await asyncio.Event().wait()
        finally:
            await self.let_go(*self._tasks)

    async def let_go(self, *slots: str) -> None:
        """The process has heard that these devices are another's now."""
        tasks = [self._tasks[slot] for slot in slots]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, slot: str) -> None:
        process, outside = self._process, self._process.outside
        secret = await self._read(accounts.secret_path(ACCOUNT))
        account = accounts.with_key(Account.read(await self._read(accounts.account_path(ACCOUNT))), secret)
        device = Device.read(await self._read(accounts.device_path(ACCOUNT, slot)))
        runner = DeviceRunner(
            process.store,
            outside.clock,
            outside.random,
            process.open_link(ACCOUNT, slot),
            process.keep_session(account, slot),
            self._openings,
            account,
            device,
            process.name,
            lambda _: None,
            outside.silent.__contains__,
            self._pace,
            QUIET_HOURS_KEEP_ALIVE_S,
            outside.keys,
        )
        self._runners.append(runner)
        feeds = (self._feed_rows(runner), self._feed_authority(runner), self._feed_questions(runner, slot))
        feeding = [asyncio.create_task(feed) for feed in feeds]
        try:
            await runner.run()
        finally:
            self._runners.remove(runner)
            for feed in feeding:
                feed.cancel()

    def look_again(self) -> None:
        """Another process has fallen silent."""
        for runner in self._runners:
            runner.look_again()

    async def _read(self, path: str) -> Document:
        while True:
            try:
                document = await self._process.store.get(path)
            except StoreUnavailable:
                await asyncio.sleep(1)
            else:
                assert document is not None
                return document

    async def _feed_rows(self, runner: DeviceRunner) -> None:
        async with self._process.store.watch(outbox.waiting_rows((ACCOUNT,))) as watch:
            async for documents in watch:
                runner.offer(map(outbox.to_outgoing, documents))

    async def _feed_authority(self, runner: DeviceRunner) -> None:
        async with self._process.store.watch(outbox.authorities_of((ACCOUNT,))) as watch:
            async for documents in watch:
                for authority in map(Authority.read, documents):
                    runner.authority_seen(authority)

    async def _feed_questions(self, runner: DeviceRunner, slot: str) -> None:
        async with self._process.store.watch(witness.questions_to((ACCOUNT,))) as watch:
            async for documents in watch:
                for question in map(Question.read, documents):
                    if question.slot == slot:
                        runner.asked(question)
