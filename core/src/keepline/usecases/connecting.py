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
from keepline.records import accounts, connectors, outbox
from keepline.records.accounts import Account, Device, Pairing
from keepline.usecases.deleting import clear_session
from keepline.usecases.device_running import DeviceRunner

HEARTBEAT_INTERVAL_S = 2.0
# A connector with devices lets emptier ones go first: this much later per device it holds.
_ADOPT_DELAY_PER_DEVICE_S = 0.05
_ADOPT_DELAY_MAX_S = 2.0
_STORE_RETRY_S = 1.0

OpenLink = Callable[[str, str], DeviceLink]

log = logging.getLogger(__name__)


class _AccountsChanged(Exception):
    """Ends the present feeds, so that they are grouped anew."""


class Connector:
    """One connector. `open_link(account, slot)` gives the way to a device's cell."""

    def __init__(
        self, store: DocumentStore, clock: Clock, random: Random, open_link: OpenLink, connector: str, region: str
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._open_link = open_link
        self.connector = connector
        self.region = region
        self._runners: dict[str, DeviceRunner] = {}  # by account
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._accounts_changed = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._beat = 0
        self._beating = True
        self._stopping = False
        self._started_at = clock.now()
        self.last_beat_s: float | None = None  # monotonic; the health page's proof that Firestore answers

    @property
    def devices(self) -> int:
        """How many devices it runs."""
        return len(self._runners)

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
            devices={f"{account}_{accounts.FIRST_SLOT}": runner.beat() for account, runner in self._runners.items()},
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
                for document in documents:
                    await self._try_to_take(Device.read(document))

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
        devices = {device.account: device for device in map(Device.read, documents)}
        await self._stop_runners([account for account in self._tasks if account not in devices])
        for account, device in devices.items():
            if not device.wanted:
                await self._remove(device)
            elif account not in self._tasks or self._tasks[account].done():
                await self._start(device)
        self._accounts_changed.set()

    async def _start(self, device: Device) -> None:
        document = await self._read_account(device.account)
        if document is None:
            return
        runner = DeviceRunner(
            self._store,
            self._clock,
            self._random,
            self._open_link(device.account, device.slot),
            Account.read(document),
            device,
            self.connector,
            self._beat_now.set,
        )
        self._runners[device.account] = runner
        self._tasks[device.account] = asyncio.create_task(runner.run(), name=f"device {device.account}")
        self._tasks[device.account].add_done_callback(_report)

    async def _remove(self, device: Device) -> None:
        """The session was deleted: unlink its device and clear what is kept of it."""
        runner = self._runners.get(device.account)
        if runner is not None:
            runner.leave()
            await self._stop_runners([device.account])
        else:
            await self._open_link(device.account, device.slot).log_out()
        while True:
            try:
                await clear_session(self._store, device.account, device.slot)
            except (StoreUnavailable, StoreConflict) as error:
                log.warning("the documents of %s could not be cleared, trying again: %s", device.account, error)
                await asyncio.sleep(_STORE_RETRY_S)
            else:
                return

    async def _stop_runners(self, stopping: Sequence[str]) -> None:
        tasks = [self._tasks[account] for account in stopping if account in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for account in stopping:
            self._tasks.pop(account, None)
            self._runners.pop(account, None)
        if tasks:
            self._accounts_changed.set()

    async def _read_account(self, account: str) -> Document | None:
        while True:
            try:
                return await self._store.get(accounts.account_path(account))
            except StoreUnavailable as error:
                log.warning("the account %s could not be read, trying again: %s", account, error)
                await asyncio.sleep(_STORE_RETRY_S)

    async def _feed(self) -> None:
        """Watch waiting rows and QR requests of all accounts, in groups as large as one query takes; regroup on a change."""
        while True:
            self._accounts_changed.clear()
            held = sorted(self._runners)
            try:
                async with asyncio.TaskGroup() as feeds:
                    for group in _batched(held, IN_VALUES_MAX):
                        feeds.create_task(self._feed_rows(group))
                        feeds.create_task(self._feed_pairings(group))
                    feeds.create_task(self._until_accounts_change(held))
            except* _AccountsChanged:
                pass

    async def _until_accounts_change(self, held: list[str]) -> None:
        while sorted(self._runners) == held:
            await self._accounts_changed.wait()
            self._accounts_changed.clear()
        raise _AccountsChanged

    async def _feed_pairings(self, group: tuple[str, ...]) -> None:
        async with self._store.watch(accounts.pairings_of(group)) as watch:
            async for documents in watch:
                for pairing in map(Pairing.read, documents):
                    if runner := self._runners.get(pairing.account):
                        runner.pairing_requested(pairing.requested)

    async def _feed_rows(self, group: tuple[str, ...]) -> None:
        async with self._store.watch(outbox.waiting_rows(group)) as watch:
            async for documents in watch:
                rows: dict[str, list[Document]] = {account: [] for account in group}
                for document in documents:
                    rows[document.fields["account"]].append(document)
                for account, of_account in rows.items():
                    if runner := self._runners.get(account):
                        runner.offer(map(outbox.to_outgoing, of_account))


def _report(task: asyncio.Task[None]) -> None:
    """A runner ends when it is cancelled or loses its authority; anything else is a bug that a person must see."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended with an error", task.get_name(), exc_info=error)


def _batched(names: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(names[start : start + size]) for start in range(0, len(names), size)]
