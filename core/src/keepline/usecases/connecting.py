"""The connector as a whole: it holds a lease, takes devices that nobody holds, runs its own, and feeds their queues."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from keepline.domain.lease import LeaseProfile
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore
from keepline.ports.keys import KeyWrapper
from keepline.ports.left_journals import LeftJournals
from keepline.records.accounts import Account, Device
from keepline.usecases.adopting import Adopter
from keepline.usecases.balancing import Balancer
from keepline.usecases.device_running import DeviceRunner
from keepline.usecases.feeding import Feeds
from keepline.usecases.handing_over import hand_over
from keepline.usecases.holding import Holder
from keepline.usecases.leasing import Lease, LeaseLost, NameTaken
from keepline.usecases.left_behind import LeftBehind
from keepline.usecases.neighbours import Neighbours
from keepline.usecases.reconnecting import Pace
from keepline.usecases.session_keeping import SessionKeeper
from keepline.usecases.session_openings import Openings

__all__ = ["Connector", "NameTaken"]


OpenLink = Callable[[str, str], DeviceLink]
KeepSession = Callable[[Account, str], SessionKeeper]

log = logging.getLogger(__name__)


class Connector:
    """One connector. `open_link(account, slot)` gives the way to a device's cell, `keep_session(account, slot)` its session.

    `capacity` is how many devices it may hold. It tells its `lease` that it works, at the pace of the `profile`. `keys` open
    what is sealed of a session's settings. In `left_journals` is what devices heard here before they moved on.
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
        left_journals: LeftJournals,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._open_link = open_link
        self._keep_session = keep_session
        self._keys = keys
        self.connector = connector
        self._openings = Openings(clock)
        self._pace = Pace(clock, random)
        self._keep_alive_s = profile.keep_alive_s
        self._neighbours = Neighbours(store, clock, connector, self._neighbours_changed)
        self._adopter = Adopter(store, clock, self._neighbours, connector, region)
        self._holder = Holder(
            store, clock, random, connector, capacity, self._make_runner, self._runners_changed, self._adopter.look
        )
        self._feeds = Feeds(store, self._holder.runners)
        self._balancer = Balancer(store, connector, self._neighbours, self._holder.give_away, self._holder.speaks)
        self._left_behind = LeftBehind(store, clock, connector, left_journals, lambda: self._holder.names)
        self._lease = lease
        self._sign_of_life_s = profile.sign_of_life_s
        self._worth_telling = asyncio.Event()
        self._stopping = False

    @property
    def devices(self) -> int:
        """How many devices it runs."""
        return len(self._holder.runners)

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
        self._lease.alive(self._holder.beats())
        showing = asyncio.create_task(self._show_life(), name="sign of life")
        showing.add_done_callback(_report)
        living = asyncio.create_task(self._live())
        try:
            await asyncio.shield(living)
        except asyncio.CancelledError:
            await self._hand_over()
            raise
        finally:
            self._stop_beginning()
            self._lease.stop()
            await _cancelled(living)
            await self._holder.fall_silent()
            await _cancelled(showing)

    async def _show_life(self) -> None:
        """The lease is renewed elsewhere, and only while this loop gets round."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._sign_of_life_s):
                    await self._worth_telling.wait()
            self._lease.alive(self._holder.beats())
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
                    tasks.create_task(self._holder.run()),
                    tasks.create_task(self._feeds.run()),
                    tasks.create_task(self._balancer.run()),
                    tasks.create_task(self._left_behind.run()),
                ]
                await self._until_lost()
                for task in work:
                    task.cancel()
            await self._holder.fall_silent()

    async def _until_lost(self) -> None:
        try:
            await self._lease.until_lost()
        except* LeaseLost:
            log.error("the lease of %s is lost: its devices fall silent until it is acquired anew", self.connector)

    async def _hand_over(self) -> None:
        """The lease is held until the last device is silent. Nothing new begins meanwhile."""
        self._stop_beginning()
        await hand_over(self._store, self._holder, self._neighbours, self.connector)
        await self._lease.give_back()

    def _stop_beginning(self) -> None:
        self._stopping = True
        self._adopter.stop()
        self._holder.close()

    def _neighbours_changed(self) -> None:
        for runner in self._holder.runners.values():
            runner.look_again()
        self._adopter.look()
        self._balancer.connectors_changed()

    def _runners_changed(self) -> None:
        if not self._stopping:
            self._feeds.devices_changed()

    async def step_aside(self, account: str, slot: str) -> None:
        """A device's connection is about to be made anew, on purpose: it is not to be in the middle of anything."""
        runner = self._holder.runners.get((account, slot))
        if runner is not None:
            await runner.step_aside()

    def _make_runner(self, account: Account, device: Device) -> DeviceRunner:
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
            for runner in self._holder.runners.values():
                runner.others_reached()


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _report(task: asyncio.Task[None]) -> None:
    """The signs of life end when the connector does. Anything else is a bug that a person must see."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended with an error", task.get_name(), exc_info=error)
