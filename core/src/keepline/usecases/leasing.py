"""Keeping a connector's lease: acquiring it, renewing it with each heartbeat, and noticing at once that it is lost.

What the connector has to do must not delay its heartbeats, so a keeper may run on an event loop of its own: it asks the connector
for nothing, and is told by it, in passing, that it works and what its devices are like (`alive`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from keepline.domain.lease import HeldLease, LeaseProfile, SignsOfLife
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable, Version
from keepline.records import connectors
from keepline.records.connectors import Beater, ConnectorBeat, DeviceBeat

_RETRY_S = 0.2
# A beat names every device, so those that log in together (at a start) share one: the more there are, the longer it waits.
_GAP_PER_DEVICE_S = 0.005
# A lease that was lost soon after it was acquired: Firestore or this machine is too slow for its pace at the moment, and starting
# everything anew makes that worse. So the next try waits, twice as long each time; others can act meanwhile.
_SHORT_LIFE_S = 15.0
_PAUSE_BASE_S = 1.0
_PAUSE_MAX_S = 16.0
# A last heartbeat can meet one that was on its way, or a neighbour that has lost patience.
_GIVE_BACK_TRIES_MAX = 3

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """It ran out before it could be renewed, or another connector said so: fall silent now."""


class NameTaken(Exception):
    """Another process has begun to run under this connector's name. There is nothing to come back to."""


class Lease(Protocol):
    """A lease on a connector's name, as the connector sees it: it is renewed while it is held, whatever the connector does."""

    @property
    def last_beat_s(self) -> float | None:
        """When Firestore last took a heartbeat (monotonic)."""
        ...

    def alive(self, devices: Mapping[str, DeviceBeat]) -> None:
        """The connector works, and this is what it knows of its devices. To be called every `LeaseProfile.sign_of_life_s`: the
        lease is renewed only while it is."""
        ...

    def beat_soon(self) -> None:
        """What it knows is worth a heartbeat before the next is due."""
        ...

    async def acquire(self) -> None:
        """Take the name, however it was left, and renew it from now on. Whoever ran under it before is put out by it."""
        ...

    async def until_lost(self) -> None:
        """Raises LeaseLost or NameTaken (in a group) when what was acquired is lost."""
        ...

    async def give_back(self) -> None:
        """Renew no more; a last heartbeat says that this connector stops, so others need not wait for its lease to run out."""
        ...

    def stop(self) -> None:
        """Renew no more; what is held runs out."""
        ...


class LeaseKeeper:
    """One process's lease on its connector's name. `renewed` hears the new deadline, in seconds of the monotonic clock."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        beater: Beater,
        profile: LeaseProfile,
        renewed: Callable[[float], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._beater = beater
        self._profile = profile
        self._renewed = renewed
        self._held = HeldLease(profile)
        self._signs = SignsOfLife(profile)
        self._known: tuple[Mapping[str, DeviceBeat], float] = ({}, 0.0)  # of the devices, and since when
        self._version: Version | None = None
        self._beat = 0
        self._soon = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._sent_at_s = 0.0  # when the newest beat was sent that Firestore took
        self._acquired_at_s: float | None = None
        self._short_lives = 0  # in a row
        self._silenced = False  # Firestore has not taken the last beat
        self.hangs = False  # the connector shows no sign of life, as of the last look
        self.last_beat_s: float | None = None

    def alive(self, devices: Mapping[str, DeviceBeat]) -> None:
        """See `Lease`. From any thread."""
        now_s = self._clock.monotonic_s()
        self._known = (devices, now_s)
        self._signs.seen(now_s)

    def beat_soon(self) -> None:
        self._soon.set()

    async def acquire(self) -> None:
        await self._pause_after_short_life()
        while True:
            sent_at_s = self._clock.monotonic_s()
            try:
                if self._may_beat():
                    found = await self._read()
                    self._refuse_if_taken(found)
                    self._version = found.version if found is not None else None
                    await self._write(stopping=False)
                    if self._held.acquired(sent_at_s, self._clock.monotonic_s()):
                        break
            except (StoreConflict, StoreUnavailable) as error:
                self._note_failure(error)
            await asyncio.sleep(_RETRY_S)
        self._sent_at_s, self._acquired_at_s = sent_at_s, self._clock.monotonic_s()
        self._note_success()
        self._keeping = asyncio.create_task(self._keep())

    async def until_lost(self) -> None:
        assert self._keeping is not None, "it was acquired before"
        await asyncio.shield(self._keeping)

    async def give_back(self) -> None:
        self.stop()
        if self._keeping is not None:
            await asyncio.wait([self._keeping])
        with suppress(StoreUnavailable, LeaseLost, NameTaken):
            for _ in range(_GIVE_BACK_TRIES_MAX):
                try:
                    await self._write(stopping=True)
                    break
                except StoreConflict:
                    await self._look_at_conflict()
        self._held.lost()

    def stop(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()

    def _refuse_if_taken(self, found: ConnectorBeat | None) -> None:
        if self._acquired_at_s is not None and found is not None and found.process != self._beater.process:
            raise NameTaken(self._beater.connector)

    async def _pause_after_short_life(self) -> None:
        if self._acquired_at_s is None:
            return
        was_short = self._clock.monotonic_s() - self._acquired_at_s < _SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if was_short else 0
        if was_short:
            await asyncio.sleep(min(_PAUSE_BASE_S * 2.0 ** min(self._short_lives - 1, 16), _PAUSE_MAX_S))

    async def _keep(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew_in_time())
            tasks.create_task(self._watch_deadline())

    async def _renew_in_time(self) -> None:
        while True:
            # From when the last one was sent: what Firestore takes its time for is not added to what is waited anyway.
            due_in_s = self._sent_at_s + self._profile.heartbeat_s - self._clock.monotonic_s()
            with suppress(TimeoutError):
                # (asyncio.wait_for of Python 3.11 can swallow a cancellation; asyncio.timeout does not.)
                async with asyncio.timeout(max(0.0, due_in_s)):
                    await asyncio.sleep(_GAP_PER_DEVICE_S * len(self._known[0]))
                    await self._soon.wait()
            self._soon.clear()
            while not (self._may_beat() and await self._renew()):  # noqa: ASYNC110 - nobody tells when Firestore is back
                await asyncio.sleep(_RETRY_S)

    async def _renew(self) -> bool:
        sent_at_s = self._clock.monotonic_s()
        try:
            await self._write(stopping=False)
        except StoreConflict:
            await self._look_at_conflict()
            return False
        except StoreUnavailable as error:
            self._note_failure(error)
            return False
        if not self._held.renewed(sent_at_s, self._clock.monotonic_s()):
            raise LeaseLost
        self._sent_at_s = sent_at_s
        self._note_success()
        return True

    async def _look_at_conflict(self) -> None:
        """Return if an earlier beat of ours was applied although its answer was lost."""
        try:
            found = await self._read()
        except StoreUnavailable as error:
            self._note_failure(error)
            return
        if found is not None and found.process != self._beater.process:
            self._held.lost()
            raise NameTaken(self._beater.connector)
        if found is not None and found.is_over:
            self._held.lost()
            raise LeaseLost
        self._version = found.version if found is not None else None

    async def _watch_deadline(self) -> None:
        while (deadline_s := self._held.deadline_s) is not None and self._held.holds(self._clock.monotonic_s()):  # noqa: ASYNC110
            await asyncio.sleep(max(0.0, deadline_s - self._clock.monotonic_s()))
        raise LeaseLost

    def _may_beat(self) -> bool:
        """Whether the connector works. If not, that is logged once."""
        hung, self.hangs = self.hangs, not self._signs.allow_renewal(self._clock.monotonic_s())
        if self.hangs and not hung:
            log.error("%s shows no sign of life: its lease is not renewed until it does", self._beater.connector)
        elif hung and not self.hangs:
            log.info("%s works again", self._beater.connector)
        return not self.hangs

    async def _write(self, *, stopping: bool) -> None:
        self._beat += 1
        known, since_s = self._known
        age_ms = max(0, round((self._clock.monotonic_s() - since_s) * 1000))
        devices = {name: device.aged(age_ms) for name, device in known.items()}
        write = self._beater.write_beat(self._beat, devices, stopping=stopping, version=self._version)
        [self._version] = await self._store.commit([write])

    async def _read(self) -> ConnectorBeat | None:
        document = await self._store.get(connectors.connector_path(self._beater.connector))
        return ConnectorBeat.read(document) if document is not None else None

    def _note_success(self) -> None:
        self.last_beat_s = self._clock.monotonic_s()
        if self._silenced:
            log.info("Firestore takes the heartbeat of %s again", self._beater.connector)
        self._silenced = False
        deadline_s = self._held.deadline_s
        assert deadline_s is not None, "it was renewed a moment ago"
        self._renewed(deadline_s)

    def _note_failure(self, error: Exception) -> None:
        if not self._silenced:
            log.warning("Firestore does not take the heartbeat of %s: %s", self._beater.connector, error)
        self._silenced = True
