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
from keepline.usecases.adopting import Adopter
from keepline.usecases.balancing import Balancer
from keepline.usecases.deleting import clear_device
from keepline.usecases.device_running import DeviceRunner
from keepline.usecases.feeding import Feeds
from keepline.usecases.leasing import LeaseKeeper, LeaseLost, NameTaken
from keepline.usecases.neighbours import Neighbours
from keepline.usecases.session_keeping import SessionKeeper
from keepline.usecases.session_openings import Openings

__all__ = ["Connector", "NameTaken"]

_STORE_RETRY_S = 1.0
_ACCOUNTS_READ_AT_ONCE = 16

OpenLink = Callable[[str, str], DeviceLink]
KeepSession = Callable[[Account, str], SessionKeeper]

log = logging.getLogger(__name__)


class Connector:
    """One connector. `open_link(account, slot)` gives the way to a device's cell, `keep_session(account, slot)` its session.

    `capacity` is how many devices it may hold. `renewed` hears the lease's deadline (seconds of the clock's monotonic time) each
    time it moves: nothing may leave after it.
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
        capacity: int,
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
        self.capacity = capacity
        self._runners: dict[tuple[str, str], DeviceRunner] = {}  # by account and slot
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._openings = Openings(clock)
        self._feeds = Feeds(store, self._runners)
        self._reading = asyncio.Semaphore(_ACCOUNTS_READ_AT_ONCE)
        self._neighbours = Neighbours(store, clock, connector, self._neighbours_changed)
        self._adopter = Adopter(store, clock, self._neighbours, connector, region)
        self._balancer = Balancer(store, connector, self._neighbours, self._give_away, self._speaks)
        self._assigned = 0
        self._going: set[tuple[str, str]] = set()  # being given to another connector
        process = random.randbytes(8).hex()
        beater = Beater(connector, region, process, profile.ttl_s, capacity, clock.now())
        self._lease = LeaseKeeper(store, clock, beater, profile, self._beats, renewed)

    @property
    def devices(self) -> int:
        """How many devices it runs."""
        return len(self._runners)

    @property
    def draining(self) -> bool:
        """Whether a person wants it to give its devices away."""
        return self._neighbours.draining()

    @property
    def sessions_opened(self) -> dict[str, int]:
        """How many sessions it has opened, by how that went."""
        return self._openings.total

    @property
    def last_beat_s(self) -> float | None:
        """When Firestore last took a heartbeat, in monotonic time."""
        return self._lease.last_beat_s

    async def run(self) -> None:
        """Run until cancelled, then hand everything over cleanly. Raises NameTaken (in a group)."""
        try:
            while True:
                await self._lease.acquire()
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._lease.keep())
                        tasks.create_task(self._neighbours.run())
                        tasks.create_task(self._adopter.run())
                        tasks.create_task(self._hold())
                        tasks.create_task(self._feeds.run())
                        tasks.create_task(self._balancer.run())
                except* LeaseLost:
                    log.error(
                        "the lease of %s is lost: its devices fall silent until it is acquired anew", self.connector
                    )
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
        self._adopter.look()
        self._balancer.connectors_changed()

    def _speaks(self, account: str, slot: str) -> bool:
        runner = self._runners.get((account, slot))
        return runner is not None and runner.speaks

    async def step_aside(self, account: str, slot: str) -> None:
        """A device's connection is about to be made anew, on purpose: it is not to be in the middle of anything."""
        runner = self._runners.get((account, slot))
        if runner is not None:
            await runner.step_aside()

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
            self._going.discard(name)
            await self._start(device)
            raise
        finally:
            self._going.discard(name)

    async def _hold(self) -> None:
        """Run exactly the devices that are assigned to us."""
        async with self._store.watch(accounts.devices_of_connector(self.connector)) as watch:
            async for documents in watch:
                await self._follow_assignment(documents)

    async def _follow_assignment(self, documents: Sequence[Document]) -> None:
        devices = await self._within_capacity([Device.read(document) for document in documents])
        if len(devices) < self._assigned:
            self._adopter.look()  # There is room for what waits.
        self._assigned = len(devices)
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

    async def _within_capacity(self, devices: Sequence[Device]) -> dict[tuple[str, str], Device]:
        """Our devices by name. What others gave us beyond our capacity goes back, unstarted: the last that came."""
        ours = sorted(devices, key=lambda device: (device.wanted, device.name not in self._tasks, device.slot))
        for device in ours[self.capacity :]:
            log.warning("device %s of %s is one too many for %s", device.slot, device.account, self.connector)
            await self._release(device)
        return {device.name: device for device in ours[: self.capacity]}

    async def _release(self, device: Device) -> None:
        while True:
            try:
                with suppress(StoreConflict):  # The listener brings what it is now.
                    await self._store.commit([accounts.assign(device, "", "")])
            except StoreUnavailable as error:
                log.warning("a device of %s could not be released, trying again: %s", device.account, error)
                await asyncio.sleep(_STORE_RETRY_S)
            else:
                return

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
            self._feeds.devices_changed()

    async def _read_account(self, account: str) -> Document | None:
        while True:
            try:
                async with self._reading:
                    return await self._store.get(accounts.account_path(account))
            except StoreUnavailable as error:
                log.warning("the account %s could not be read, trying again: %s", account, error)
                await asyncio.sleep(_STORE_RETRY_S)


def _report(task: asyncio.Task[None]) -> None:
    """A runner ends when it is cancelled or loses its authority; anything else is a bug that a person must see."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended with an error", task.get_name(), exc_info=error)
