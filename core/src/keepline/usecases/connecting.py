"""The connector as a whole: it holds a lease, takes devices that nobody holds, runs its own, and feeds their queues."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

from keepline.domain.lease import LeaseProfile
from keepline.domain.placement import Place
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import Document, DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.keys import KeyUnavailable
from keepline.records import accounts
from keepline.records.accounts import Account, Device
from keepline.records.connectors import Beater, DeviceBeat
from keepline.usecases.balancing import Balancer
from keepline.usecases.deleting import clear_device
from keepline.usecases.device_running import DeviceRunner
from keepline.usecases.feeding import Feeds
from keepline.usecases.leasing import LeaseKeeper, LeaseLost, NameTaken
from keepline.usecases.neighbours import Neighbours
from keepline.usecases.session_keeping import SessionKeeper
from keepline.usecases.session_openings import Openings

__all__ = ["Connector", "NameTaken"]

# A connector with devices lets emptier ones go first: this much later per device it holds.
_ADOPT_DELAY_PER_DEVICE_S = 0.05
_ADOPT_DELAY_MAX_S = 2.0
# The sibling of a device that we hold ourselves is left to others for this long: one connector must not take both with it, and
# one that is being redeployed is back sooner.
_SIBLING_DELAY_S = 20.0
_STORE_RETRY_S = 1.0
_ACCOUNTS_READ_AT_ONCE = 16

OpenLink = Callable[[str, str], DeviceLink]
KeepSession = Callable[[Account, str], SessionKeeper]

log = logging.getLogger(__name__)


class Connector:
    """One connector. `open_link(account, slot)` gives the way to a device's cell, `keep_session(account, slot)` its session.

    `renewed` hears the lease's deadline (seconds of the clock's monotonic time) each time it moves: nothing may leave after it.
    """

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        random: Random,
        open_link: OpenLink,
        keep_session: KeepSession,
        connector: str,
        region: str,
        profile: LeaseProfile,
        renewed: Callable[[float], None],
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
        self._openings = Openings(clock)
        self._feeds = Feeds(store, self._runners)
        self._reading = asyncio.Semaphore(_ACCOUNTS_READ_AT_ONCE)
        self._orphans = asyncio.Event()
        self._neighbours = Neighbours(store, clock, connector, self._neighbours_changed)
        self._balancer = Balancer(store, connector, self._neighbours.places, self._give_away, self._speaks)
        self._going: set[tuple[str, str]] = set()  # being given to another connector
        process = random.randbytes(8).hex()
        beater = Beater(connector, region, process, profile.ttl_s, clock.now())
        self._lease = LeaseKeeper(store, clock, beater, profile, self._beats, renewed)

    @property
    def devices(self) -> int:
        """How many devices it runs."""
        return len(self._runners)

    @property
    def sessions_opened(self) -> dict[str, int]:
        """How many sessions it has opened, by how that went."""
        return self._openings.total

    @property
    def last_beat_s(self) -> float | None:
        """When Firestore last took a heartbeat, in monotonic time."""
        return self._lease.last_beat_s

    async def run(self) -> None:
        """Run until cancelled, then hand everything over cleanly. Raises NameTaken (alone or in a group)."""
        try:
            while True:
                await self._lease.acquire()
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._lease.keep())
                        tasks.create_task(self._neighbours.run())
                        tasks.create_task(self._adopt())
                        tasks.create_task(self._adopt_orphans())
                        tasks.create_task(self._hold())
                        tasks.create_task(self._feeds.run())
                        tasks.create_task(self._balancer.run())
                except* LeaseLost:
                    log.error(
                        "the lease of %s is lost: its devices fall silent until it is acquired anew", self.connector
                    )
                finally:
                    for task in self._waiting_to_take:
                        task.cancel()
                await self._fall_silent()
        except asyncio.CancelledError:
            await self._stop_runners(list(self._tasks))
            await self._release_devices()
            await self._lease.give_back()
            raise
        finally:
            await self._fall_silent()

    async def _fall_silent(self) -> None:
        """Without a word to Firestore: others may be acting in our place already."""
        for runner in self._runners.values():
            runner.fence()
        await self._stop_runners(list(self._tasks))

    async def _release_devices(self) -> None:
        """Others, or our next process, need not wait until they find out that we are gone."""
        try:
            documents = await self._store.query(accounts.devices_of_connector(self.connector))
            for device in map(Device.read, documents):
                with suppress(StoreConflict):
                    await self._store.commit([accounts.assign(device, "", "")])
        except StoreUnavailable as error:
            log.warning("the devices of %s could not be released: %s", self.connector, error)

    def _beats(self) -> dict[str, DeviceBeat]:
        return {f"{account}_{slot}": runner.beat() for (account, slot), runner in self._runners.items()}

    def _neighbours_changed(self) -> None:
        for runner in self._runners.values():
            runner.look_again()
        self._orphans.set()
        self._balancer.connectors_changed()

    def _speaks(self, account: str, slot: str) -> bool:
        runner = self._runners.get((account, slot))
        return runner is not None and runner.speaks

    async def _give_away(self, device: Device, to: Place) -> None:
        """Hand a device of ours to another connector. Raises StoreConflict and StoreUnavailable: then it stays."""
        name = (device.account, device.slot)
        self._going.add(name)
        try:
            await self._stop_runners([name])
            document = await self._store.get(accounts.device_path(*name))
            if document is not None and (found := Device.read(document)).connector == self.connector:
                await self._store.commit([accounts.assign(found, to.id, to.region)])
        except (StoreConflict, StoreUnavailable):
            # An answer can be lost although the device has been given away: then it is not ours to start.
            document = await self._read(accounts.device_path(*name))
            self._going.discard(name)
            if document is not None and Device.read(document).connector == self.connector:
                await self._start(device)
            raise
        finally:
            self._going.discard(name)

    async def _adopt(self) -> None:
        """Take devices that nobody holds."""
        async with self._store.watch(accounts.devices_of_connector("")) as watch:
            async for documents in watch:
                await self._take(documents)

    async def _adopt_orphans(self) -> None:
        """Take the devices of connectors that have fallen silent."""
        while True:
            await self._orphans.wait()
            self._orphans.clear()
            for name in self._neighbours.silent():
                try:
                    await self._take(await self._store.query(accounts.devices_of_connector(name)))
                except StoreUnavailable as error:
                    log.warning("the devices of %s could not be read, trying again: %s", name, error)
                    self._orphans.set()
                    await asyncio.sleep(_STORE_RETRY_S)

    async def _take(self, documents: Sequence[Document]) -> None:
        if not documents or self.devices >= accounts.DEVICES_PER_CONNECTOR_MAX:
            return
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
        if device.connector and not self._neighbours.is_silent(device.connector):
            return  # It is back.
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
                idle = name not in self._tasks or self._tasks[name].done()
                if device.wanted and idle and name not in self._going:
                    starting.create_task(self._start(device))
        self._feeds.devices_changed()
        for device in devices.values():
            if not device.wanted:
                await self._remove(device)

    async def _start(self, device: Device) -> None:
        document = await self._read(accounts.account_path(device.account))
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
            self._lease.beat_soon,
            self._neighbours.is_silent,
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
                if runner is None and (document := await self._read(accounts.account_path(device.account))) is not None:
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
            self._feeds.devices_changed()

    async def _read(self, path: str) -> Document | None:
        while True:
            try:
                async with self._reading:
                    return await self._store.get(path)
            except StoreUnavailable as error:
                log.warning("%s could not be read, trying again: %s", path, error)
                await asyncio.sleep(_STORE_RETRY_S)


def _report(task: asyncio.Task[None]) -> None:
    """A runner ends when it is cancelled or loses its authority; anything else is a bug that a person must see."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended with an error", task.get_name(), exc_info=error)
