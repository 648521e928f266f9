"""The connector as a whole: it takes devices that nobody holds, runs those it holds, feeds their queues and beats its heart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import IN_VALUES_MAX, Document, DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.keys import KeyUnavailable
from keepline.records import accounts, connectors, outbox, witness
from keepline.records.accounts import FIRST_SLOT, Account, Device, Pairing
from keepline.records.witness import Question
from keepline.usecases.deleting import clear_device
from keepline.usecases.device_running import DeviceRunner
from keepline.usecases.session_keeping import SessionKeeper
from keepline.usecases.session_openings import Openings

HEARTBEAT_INTERVAL_S = 2.0
# A beat names every device, so those that log in together (at a start) share one: the more there are, the longer it waits.
_BEAT_GAP_PER_DEVICE_S = 0.005
# A connector with devices lets emptier ones go first: this much later per device it holds.
_ADOPT_DELAY_PER_DEVICE_S = 0.05
_ADOPT_DELAY_MAX_S = 2.0
# The standby of a device that we hold ourselves is left to the others for this long: one connector must not take both with it.
_SIBLING_DELAY_S = 5.0
_STORE_RETRY_S = 1.0
_ACCOUNTS_READ_AT_ONCE = 16

OpenLink = Callable[[str, str], DeviceLink]
KeepSession = Callable[[Account, str], SessionKeeper]

log = logging.getLogger(__name__)


class _DevicesChanged(Exception):
    """Ends the present feeds, so that they are grouped anew."""


class Connector:
    """One connector. `open_link(account, slot)` gives the way to a device's cell, `keep_session(account, slot)` its session."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        random: Random,
        open_link: OpenLink,
        keep_session: KeepSession,
        connector: str,
        region: str,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._open_link = open_link
        self._keep_session = keep_session
        self.connector = connector
        self.region = region
        self._runners: dict[tuple[str, str], DeviceRunner] = {}  # by account and slot
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._waiting_to_take: set[asyncio.Task[None]] = set()
        self._devices_changed = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._beat = 0
        self._beating = True
        self._stopping = False
        self._started_at = clock.now()
        self._openings = Openings(clock)
        self._reading = asyncio.Semaphore(_ACCOUNTS_READ_AT_ONCE)
        self.last_beat_s: float | None = None  # monotonic; the health page's proof that Firestore answers

    @property
    def devices(self) -> int:
        """How many devices it runs."""
        return len(self._runners)

    @property
    def sessions_opened(self) -> dict[str, int]:
        """How many sessions it has opened, by how that went."""
        return self._openings.total

    async def run(self) -> None:
        """Run until cancelled, then hand everything over cleanly."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._beat_heart())
                tasks.create_task(self._adopt())
                tasks.create_task(self._hold())
                tasks.create_task(self._feed())
        finally:
            self._stopping = True
            await self._stop_runners(list(self._tasks))
            await self._write_beat()

    async def _beat_heart(self) -> None:
        while True:
            await self._write_beat()
            # A device that has just connected is not kept waiting: until the next beat its evidence would be missing.
            # (asyncio.wait_for of Python 3.11 can swallow a cancellation; asyncio.timeout does not.)
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_INTERVAL_S):
                    await asyncio.sleep(_BEAT_GAP_PER_DEVICE_S * self.devices)
                    await self._beat_now.wait()
            self._beat_now.clear()

    async def _write_beat(self) -> None:
        self._beat += 1
        write = connectors.write_beat(
            self.connector,
            region=self.region,
            beat=self._beat,
            stopping=self._stopping,
            started_at=self._started_at,
            devices={f"{account}_{slot}": runner.beat() for (account, slot), runner in self._runners.items()},
        )
        try:
            await self._store.commit([write])
        except StoreUnavailable as error:
            if self._beating:
                log.warning("Firestore does not take the heartbeat of %s: %s", self.connector, error)
            self._beating = False
        else:
            if not self._beating:
                log.info("Firestore takes the heartbeat of %s again", self.connector)
            self._beating = True
            self.last_beat_s = self._clock.monotonic_s()

    async def _adopt(self) -> None:
        """Take devices that nobody holds."""
        async with self._store.watch(accounts.devices_of_connector("")) as watch:
            async for documents in watch:
                if not documents or self.devices >= accounts.DEVICES_PER_CONNECTOR_MAX:
                    continue
                await asyncio.sleep(min(_ADOPT_DELAY_PER_DEVICE_S * self.devices, _ADOPT_DELAY_MAX_S))
                for device in map(Device.read, documents):
                    if any(account == device.account for account, _ in self._runners):
                        task = asyncio.create_task(self._take_later(device))
                        self._waiting_to_take.add(task)
                        task.add_done_callback(self._waiting_to_take.discard)
                    else:
                        await self._try_to_take(device)

    async def _take_later(self, device: Device) -> None:
        await asyncio.sleep(_SIBLING_DELAY_S)
        await self._try_to_take(device)

    async def _try_to_take(self, device: Device) -> None:
        try:
            await self._store.commit([accounts.assign(device, self.connector, self.region)])
        except StoreConflict:
            return  # Another connector was first.
        except StoreUnavailable as error:
            log.warning("a device of %s could not be taken: %s", device.account, error)

    async def _hold(self) -> None:
        """Run exactly the devices that are assigned to us."""
        async with self._store.watch(accounts.devices_of_connector(self.connector)) as watch:
            async for documents in watch:
                await self._follow_assignment(documents)

    async def _follow_assignment(self, documents: Sequence[Document]) -> None:
        devices = {(device.account, device.slot): device for device in map(Device.read, documents)}
        await self._stop_runners([name for name in self._tasks if name not in devices])
        # Together: at a start of many one after the other would be seconds. And before any is unlinked, which can take its time.
        async with asyncio.TaskGroup() as starting:
            for name, device in devices.items():
                if device.wanted and (name not in self._tasks or self._tasks[name].done()):
                    starting.create_task(self._start(device))
        self._devices_changed.set()
        for device in devices.values():
            if not device.wanted:
                await self._remove(device)

    async def _start(self, device: Device) -> None:
        document = await self._read_account(device.account)
        if document is None:
            return
        name = (device.account, device.slot)
        self._runners[name] = self._runner(Account.read(document), device)
        self._tasks[name] = asyncio.create_task(self._runners[name].run(), name=f"device {'_'.join(name)}")
        self._tasks[name].add_done_callback(_report)

    def _runner(self, account: Account, device: Device) -> DeviceRunner:
        return DeviceRunner(
            self._store,
            self._clock,
            self._random,
            self._open_link(account.id, device.slot),
            self._keep_session(account, device.slot),
            self._openings,
            account,
            device,
            self.connector,
            self._beat_now.set,
        )

    async def _remove(self, device: Device) -> None:
        """The session or its standby was deleted: unlink the device and clear what is kept of it."""
        name = (device.account, device.slot)
        runner = self._runners.get(name)
        if runner is not None:
            runner.leave()
            await self._stop_runners([name])
        while True:
            try:
                if runner is None and (document := await self._read_account(device.account)) is not None:
                    await self._runner(Account.read(document), device).unlink()
                await clear_device(self._store, device.account, device.slot)
            except (StoreUnavailable, StoreConflict, KeyUnavailable) as error:
                log.warning("the documents of %s could not be cleared, trying again: %s", device.account, error)
                await asyncio.sleep(_STORE_RETRY_S)
            else:
                return

    async def _stop_runners(self, stopping: Sequence[tuple[str, str]]) -> None:
        tasks = [self._tasks[name] for name in stopping if name in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in stopping:
            self._tasks.pop(name, None)
            self._runners.pop(name, None)
        if tasks:
            self._devices_changed.set()

    async def _read_account(self, account: str) -> Document | None:
        while True:
            try:
                async with self._reading:
                    return await self._store.get(accounts.account_path(account))
            except StoreUnavailable as error:
                log.warning("the account %s could not be read, trying again: %s", account, error)
                await asyncio.sleep(_STORE_RETRY_S)

    async def _feed(self) -> None:
        """Watch waiting rows and QR requests of all accounts, in groups as large as one query takes; regroup on a change."""
        while True:
            self._devices_changed.clear()
            held = sorted(self._runners)
            senders = [account for account, slot in held if slot == FIRST_SLOT]
            try:
                async with asyncio.TaskGroup() as feeds:
                    for group in _batched(senders, IN_VALUES_MAX):
                        feeds.create_task(self._feed_rows(group))
                    for group in _batched(sorted({account for account, _ in held}), IN_VALUES_MAX):
                        feeds.create_task(self._feed_pairings(group))
                        feeds.create_task(self._feed_questions(group))
                    feeds.create_task(self._until_devices_change(held))
            except* _DevicesChanged:
                pass

    async def _until_devices_change(self, held: list[tuple[str, str]]) -> None:
        while sorted(self._runners) == held:
            await self._devices_changed.wait()
            self._devices_changed.clear()
        raise _DevicesChanged

    async def _feed_pairings(self, group: tuple[str, ...]) -> None:
        async with self._store.watch(accounts.pairings_of(group)) as watch:
            async for documents in watch:
                for pairing in map(Pairing.read, documents):
                    if runner := self._runners.get((pairing.account, pairing.slot)):
                        runner.pairing_requested(pairing.requested)

    async def _feed_questions(self, group: tuple[str, ...]) -> None:
        async with self._store.watch(witness.questions_to(group)) as watch:
            async for documents in watch:
                for question in map(Question.read, documents):
                    if runner := self._runners.get((question.account, question.slot)):
                        runner.asked(question)

    async def _feed_rows(self, group: tuple[str, ...]) -> None:
        async with self._store.watch(outbox.waiting_rows(group)) as watch:
            async for documents in watch:
                rows: dict[str, list[Document]] = {account: [] for account in group}
                for document in documents:
                    rows[document.fields["account"]].append(document)
                for account, of_account in rows.items():
                    if runner := self._runners.get((account, FIRST_SLOT)):
                        runner.offer(map(outbox.to_outgoing, of_account))


def _report(task: asyncio.Task[None]) -> None:
    """A runner ends when it is cancelled or loses its authority; anything else is a bug that a person must see."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended with an error", task.get_name(), exc_info=error)


def _batched(names: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(names[start : start + size]) for start in range(0, len(names), size)]
