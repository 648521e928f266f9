"""The connector as a whole: it holds a lease, takes devices that nobody holds, runs its own, and feeds their queues."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

from keepline.domain.lease import LeaseProfile
from keepline.domain.placement import Place, Placed, plan_moves
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import Document, DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.keys import KeyUnavailable, KeyWrapper
from keepline.records import accounts
from keepline.records.accounts import Account, Device
from keepline.records.connectors import DeviceBeat
from keepline.usecases.adopting import Adopter
from keepline.usecases.balancing import Balancer
from keepline.usecases.deleting import clear_device
from keepline.usecases.device_running import DeviceRunner
from keepline.usecases.feeding import Feeds
from keepline.usecases.leasing import Lease, LeaseLost, NameTaken
from keepline.usecases.neighbours import Neighbours
from keepline.usecases.reconnecting import Pace
from keepline.usecases.running_again import run_again
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

    `capacity` is how many devices it may hold. It tells its `lease` that it works, at the pace of the `profile`. `keys` open
    what is sealed of a session's settings.
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
        lease: Lease,
        profile: LeaseProfile,
        keys: KeyWrapper,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._open_link = open_link
        self._keep_session = keep_session
        self._keys = keys
        self.connector = connector
        self.region = region
        self.capacity = capacity
        self._runners: dict[tuple[str, str], DeviceRunner] = {}  # by account and slot
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._openings = Openings(clock)
        self._pace = Pace(clock, random)
        self._keep_alive_s = profile.keep_alive_s
        self._feeds = Feeds(store, self._runners)
        self._reading = asyncio.Semaphore(_ACCOUNTS_READ_AT_ONCE)
        self._neighbours = Neighbours(store, clock, connector, self._neighbours_changed)
        self._adopter = Adopter(store, clock, self._neighbours, connector, region)
        self._balancer = Balancer(store, connector, self._neighbours, self._give_away, self._speaks)
        self._assigned = 0
        self._going: set[tuple[str, str]] = set()  # being given to another connector
        self._lease = lease
        self._sign_of_life_s = profile.sign_of_life_s
        self._worth_telling = asyncio.Event()
        self._stopping = False

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
        """Run until cancelled, then hand everything over cleanly. Raises NameTaken (alone or in a group)."""
        self._lease.alive(self._beats())
        showing = asyncio.create_task(self._show_life(), name="sign of life")
        showing.add_done_callback(_report)
        living = asyncio.create_task(self._live())
        try:
            await asyncio.shield(living)
        except asyncio.CancelledError:
            await self._hand_over()
            raise
        finally:
            self._stopping = True
            self._lease.stop()
            await _cancelled(living)
            await self._fall_silent()
            await _cancelled(showing)

    async def _show_life(self) -> None:
        """The lease is renewed elsewhere, and only while this loop gets round."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._sign_of_life_s):
                    await self._worth_telling.wait()
            self._lease.alive(self._beats())
            if self._worth_telling.is_set():
                self._worth_telling.clear()
                self._lease.beat_soon()

    async def _live(self) -> None:
        """One life of the lease after the other."""
        while True:
            await self._lease.acquire()
            async with asyncio.TaskGroup() as tasks:
                work = [
                    tasks.create_task(self._neighbours.run()),
                    tasks.create_task(self._adopter.run()),
                    tasks.create_task(self._hold()),
                    tasks.create_task(self._feeds.run()),
                    tasks.create_task(self._balancer.run()),
                ]
                await self._until_lost()
                for task in work:
                    task.cancel()
            await self._fall_silent()

    async def _until_lost(self) -> None:
        try:
            await self._lease.until_lost()
        except* LeaseLost:
            log.error("the lease of %s is lost: its devices fall silent until it is acquired anew", self.connector)

    async def _fall_silent(self) -> None:
        """Without a word to Firestore: others may be acting in our place already."""
        for runner in self._runners.values():
            runner.fence()
        await self._stop_runners(list(self._tasks))

    async def _hand_over(self) -> None:
        """Everything at once, each device on its own: none waits for another one, nor for what does not concern it.

        The lease is held until the last one is silent. Nothing new begins meanwhile.
        """
        self._stopping = True
        self._adopter.stop()
        heirs = asyncio.create_task(self._heirs())
        await asyncio.gather(
            *(self._hand_over_device(name, heirs) for name in list(self._tasks)), return_exceptions=True
        )
        await _cancelled(heirs)
        await self._release_devices()
        await self._lease.give_back()

    async def _hand_over_device(self, name: tuple[str, str], heirs: asyncio.Task[dict[tuple[str, str], Place]]) -> None:
        await self._stop_runners([name])
        heir = (await asyncio.shield(heirs)).get(name)
        with suppress(StoreUnavailable):  # What is left is released in the end.
            document = await self._store.get(accounts.device_path(*name))
            if document is not None:
                await self._release(Device.read(document), heir)

    async def _heirs(self) -> dict[tuple[str, str], Place]:
        """To whom our devices go that have no sibling to send in their place: at once, without first being anybody's.

        Those that have one wait for whoever comes first; that is this connector's next process, if it is being redeployed.
        """
        places = self._neighbours.places()
        if not any(place.id != self.connector for place in places):
            return {}
        try:
            found = [Device.read(document) for document in await self._store.query(accounts.all_devices())]
        except StoreUnavailable:
            return {}
        wanted = [device for device in found if device.wanted]
        devices = Counter(device.account for device in wanted)
        stopping = [replace(place, draining=place.id == self.connector) for place in places]
        placed = [Placed(device.account, device.slot, device.connector or None) for device in wanted]
        by_id = {place.id: place for place in places}
        return {
            (move.device.account, move.device.slot): by_id[move.to]
            for move in plan_moves(stopping, placed, better_moves_max=0)
            if move.device.holder == self.connector and devices[move.device.account] == 1
        }

    async def _release(self, device: Device, heir: Place | None) -> None:
        """Raises StoreUnavailable."""
        if device.connector == self.connector:
            with suppress(StoreConflict):
                await self._store.commit([accounts.assign(device, *((heir.id, heir.region) if heir else ("", "")))])

    async def _release_devices(self) -> None:
        """Others, or our next process, need not wait until they find out that we are gone."""
        try:
            documents = await self._store.query(accounts.devices_of_connector(self.connector))
            await asyncio.gather(*(self._release(Device.read(document), None) for document in documents))
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
            # An answer can be lost although the device has been given away: then it is not ours to start.
            document = await self._read(accounts.device_path(*name))
            self._going.discard(name)
            if document is not None and Device.read(document).connector == self.connector:
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
                if name in self._runners:
                    self._runners[name].settings_seen(device)
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
            await self._give_back(device)
        return {device.name: device for device in ours[: self.capacity]}

    async def _give_back(self, device: Device) -> None:
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
        document = await self._read(accounts.account_path(device.account))
        if document is None or self._stopping:
            return
        name = (device.account, device.slot)
        runner = self._runners[name] = self._runner(Account.read(document), device)
        running = run_again(f"device {'_'.join(name)}", self._clock, self._random, runner, lambda: self._another(name))
        self._tasks[name] = asyncio.create_task(running)

    async def _another(self, name: tuple[str, str]) -> DeviceRunner | None:
        """In the place of a runner that has died, if the device is still ours. Raises StoreUnavailable."""
        account = await self._read(accounts.account_path(name[0]))
        document = await self._store.get(accounts.device_path(*name))
        if account is None or document is None or (device := Device.read(document)).connector != self.connector:
            return None
        runner = self._runners[name] = self._runner(Account.read(account), device)
        self._feeds.devices_changed()
        return runner

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
            self._device_connected,
            self._neighbours.is_silent,
            self._pace,
            self._keep_alive_s,
            self._keys,
        )

    def _device_connected(self, after_failures: bool) -> None:
        self._worth_telling.set()
        if after_failures:
            # What kept it away is over, perhaps for the others as well.
            for runner in self._runners.values():
                runner.others_reached()

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
        if tasks and not self._stopping:
            self._feeds.devices_changed()

    async def _read(self, path: str) -> Document | None:
        while True:
            try:
                async with self._reading:
                    return await self._store.get(path)
            except StoreUnavailable as error:
                log.warning("%s could not be read, trying again: %s", path, error)
                await asyncio.sleep(_STORE_RETRY_S)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _report(task: asyncio.Task[None]) -> None:
    """The signs of life end when the connector does. Anything else is a bug that a person must see."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended with an error", task.get_name(), exc_info=error)
