"""The devices that one connector runs: exactly those that are assigned to it. A runner that dies is started again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

from keepline.domain.ids import DeviceName
from keepline.domain.placement import Place
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.keys import KeyUnavailable
from keepline.records import accounts, monitoring
from keepline.records.accounts import Account, Device, KeyedAccount
from keepline.records.connectors import DeviceBeat
from keepline.usecases.deleting import clear_device
from keepline.usecases.device_running import DeviceRunner
from keepline.usecases.running_again import run_again

_STORE_RETRY_S = 1.0
_ACCOUNTS_READ_AT_ONCE = 16

log = logging.getLogger(__name__)


class Holder:
    """One connector's. `make_runner` gives a device its runner; `changed` is called when the runners are others than before.

    `capacity` is how many devices it may hold; `has_room` is called when it holds fewer than before.
    """

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        random: Random,
        connector: str,
        capacity: int,
        make_runner: Callable[[KeyedAccount, Device], DeviceRunner],
        changed: Callable[[], None],
        has_room: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._connector = connector
        self._capacity = capacity
        self._make_runner = make_runner
        self._changed = changed
        self._has_room = has_room
        self.runners: dict[DeviceName, DeviceRunner] = {}
        self._tasks: dict[DeviceName, asyncio.Task[None]] = {}
        self._reading = asyncio.Semaphore(_ACCOUNTS_READ_AT_ONCE)
        self._assigned = 0
        self._going: set[DeviceName] = set()  # being given to another connector
        self._closed = False

    @property
    def names(self) -> list[DeviceName]:
        """The devices that have been started and not stopped."""
        return list(self._tasks)

    def beats(self) -> dict[str, DeviceBeat]:
        """What the heartbeat says of the devices."""
        return {f"{account}_{slot}": runner.beat() for (account, slot), runner in self.runners.items()}

    def speaks(self, account: str, slot: str) -> bool:
        """Whether this device sends for its account, here."""
        runner = self.runners.get((account, slot))
        return runner is not None and runner.speaks

    def close(self) -> None:
        """Start nothing more: the connector is going."""
        self._closed = True

    async def fall_silent(self) -> None:
        """Without a word to Firestore: others may be acting in our place already."""
        for runner in self.runners.values():
            runner.fence()
        await self.stop(self.names)

    async def give_away(self, device: Device, to: Place) -> None:
        """Hand a device of ours to another connector. Raises StoreConflict and StoreUnavailable: then it stays."""
        name = device.name
        self._going.add(name)
        try:
            await self.stop([name])
            document = await self._store.get(accounts.device_path(*name))
            if document is not None and (found := Device.read(document)).connector == self._connector:
                moved = monitoring.device_moved(found, to.id, self._clock.now())
                await self._store.commit([accounts.assign(found, to.id, to.region), *moved])
        except (StoreConflict, StoreUnavailable):
            # An answer can be lost although the device has been given away: then it is not ours to start.
            document = await self._read(accounts.device_path(*name))
            self._going.discard(name)
            if document is not None and Device.read(document).connector == self._connector:
                await self._start(device)
            raise
        finally:
            self._going.discard(name)

    async def run(self) -> None:
        """Run exactly the devices that are assigned to us, until cancelled; they go on running then."""
        async with self._store.watch(accounts.devices_of_connector(self._connector)) as watch:
            async for documents in watch:
                await self._follow_assignment(documents)

    async def _follow_assignment(self, documents: Sequence[Document]) -> None:
        devices = await self._within_capacity([Device.read(document) for document in documents])
        if len(devices) < self._assigned:
            self._has_room()  # There is room for what waits.
        self._assigned = len(devices)
        await self.stop([name for name in self._tasks if name not in devices])
        # Together: at a start of many one after the other would be seconds. And before any is unlinked, which can take its time.
        async with asyncio.TaskGroup() as starting:
            for name, device in devices.items():
                if name in self.runners:
                    self.runners[name].seen(device)
                idle = name not in self._tasks or self._tasks[name].done()
                if device.wanted and idle and name not in self._going:
                    starting.create_task(self._start(device))
        self._changed()
        for device in devices.values():
            if not device.wanted:
                await self._remove(device)

    async def _within_capacity(self, devices: Sequence[Device]) -> dict[DeviceName, Device]:
        """Our devices by name. What others gave us beyond our capacity goes back, unstarted: the last that came."""
        ours = sorted(devices, key=lambda device: (device.wanted, device.name not in self._tasks, device.slot))
        for device in ours[self._capacity :]:
            log.warning("device %s of %s is one too many for %s", device.slot, device.account, self._connector)
            await self._give_back(device)
        return {device.name: device for device in ours[: self._capacity]}

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
        account = await self._account(device.account)
        if account is None or self._closed:
            return
        name = device.name
        runner = self.runners[name] = self._make_runner(account, device)
        running = run_again(f"device {'_'.join(name)}", self._clock, self._random, runner, lambda: self._another(name))
        self._tasks[name] = asyncio.create_task(running)

    async def _another(self, name: DeviceName) -> DeviceRunner | None:
        """In the place of a runner that has died, if the device is still ours. Raises StoreUnavailable."""
        account = await self._account(name[0])
        document = await self._store.get(accounts.device_path(*name))
        if account is None or document is None or (device := Device.read(document)).connector != self._connector:
            return None
        runner = self.runners[name] = self._make_runner(account, device)
        self._changed()
        return runner

    async def _remove(self, device: Device) -> None:
        """The session or its standby was deleted: unlink the device and clear what is kept of it."""
        name = device.name
        runner = self.runners.get(name)
        if runner is not None:
            runner.leave()
            await self.stop([name])
        while True:
            try:
                if runner is None and (account := await self._account(device.account)) is not None:
                    await self._make_runner(account, device).unlink()
                await clear_device(self._store, device.account, device.slot)
            except (StoreUnavailable, StoreConflict, KeyUnavailable) as error:
                log.warning("the documents of %s could not be cleared, trying again: %s", device.account, error)
                await asyncio.sleep(_STORE_RETRY_S)
            else:
                return

    async def stop(self, stopping: Sequence[DeviceName]) -> None:
        """Stop these devices, all at once; each settles what it has on its way, unless it is fenced."""
        tasks = [self._tasks[name] for name in stopping if name in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in stopping:
            self._tasks.pop(name, None)
            self.runners.pop(name, None)
        if tasks and not self._closed:
            self._changed()

    async def _account(self, name: str) -> KeyedAccount | None:
        """None when it is gone."""
        document, secret = await asyncio.gather(
            self._read(accounts.account_path(name)), self._read(accounts.secret_path(name))
        )
        if document is None:
            return None
        if secret is None:
            log.error("%s has no document %s: it cannot be run", name, accounts.secret_path(name))
            return None
        return accounts.with_key(Account.read(document), secret)

    async def _read(self, path: str) -> Document | None:
        while True:
            try:
                async with self._reading:
                    return await self._store.get(path)
            except StoreUnavailable as error:
                log.warning("%s could not be read, trying again: %s", path, error)
                await asyncio.sleep(_STORE_RETRY_S)
