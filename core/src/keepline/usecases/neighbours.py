"""The other connectors, by their heartbeats: who has fallen silent, so that others may act in their place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from keepline.domain.lease import LeaseWatch
from keepline.domain.placement import Place
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import connectors, uptime
from keepline.records.connectors import ConnectorBeat

# How much later than its lease runs out a silent connector is noticed, at most.
_LOOK_S = 0.25

log = logging.getLogger(__name__)


class Neighbours:
    """What one connector knows of the others. `changed` is called when one falls silent or comes back, or takes more or fewer."""

    def __init__(self, store: DocumentStore, clock: Clock, connector: str, changed: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._connector = connector
        self._changed = changed
        self._beats: dict[str, ConnectorBeat] = {}
        self._watches: dict[str, LeaseWatch] = {}
        self._known = False

    def is_silent(self, connector: str) -> bool:
        """Whether nobody holds this connector's lease. What is not known yet, or is our own, is not silent."""
        if not self._known or connector in ("", self._connector):
            return False
        beat = self._beats.get(connector)
        return beat is None or beat.is_over

    def silent(self) -> list[str]:
        """The names of the others whose leases nobody holds."""
        return sorted(name for name in self._beats if self.is_silent(name))

    def places(self) -> list[Place]:
        """All connectors that hold their leases, ours as well, as far as they are known."""
        return [
            Place(beat.connector, beat.region, beat.capacity, draining=beat.drain)
            for beat in self._beats.values()
            if not beat.is_over
        ]

    def draining(self) -> bool:
        """Whether a person wants our own connector to give its devices away."""
        beat = self._beats.get(self._connector)
        return beat is not None and beat.drain

    def has_proof(self, connector: str, account: str, slot: str) -> bool:
        """Whether the newest heartbeat of a connector has proof of life of this device."""
        beat = self._beats.get(connector)
        device = beat.devices.get(f"{account}_{slot}") if beat is not None else None
        return device is not None and device.evidence_kind is not None

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._look())

    async def _listen(self) -> None:
        async with self._store.watch(connectors.all_connectors()) as watch:
            async for documents in watch:
                silent, places = self.silent(), self.places()
                self._beats = {beat.connector: beat for beat in map(self._read, documents)}
                now_s = self._clock.monotonic_s()
                for name, beat in self._beats.items():
                    self._watch(name, beat).seen(beat.beat, now_s)
                self._watches = {name: self._watches[name] for name in self._beats}
                first, self._known = not self._known, True
                if first or silent != self.silent() or places != self.places():
                    self._changed()

    def _read(self, document: Document) -> ConnectorBeat:
        """Each names all devices of its connector, and one heartbeat brings the documents of all connectors."""
        known = self._beats.get(document.id)
        return known if known is not None and known.version == document.version else ConnectorBeat.read(document)

    async def _look(self) -> None:
        """A lease that has run out is said to have, on the condition that it was not renewed unheard: only then anybody acts."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now_s = self._clock.monotonic_s()
            for name, beat in list(self._beats.items()):
                if name != self._connector and self._watch(name, beat).expired(now_s) and not beat.is_over:
                    await self._say_expired(beat)

    async def _say_expired(self, beat: ConnectorBeat) -> None:
        try:
            await self._store.commit([connectors.expire(beat, self._connector)])
        except StoreConflict:
            return  # It was renewed, or somebody else was first. The listener brings it.
        except StoreUnavailable as error:
            log.warning("that %s has fallen silent could not be written: %s", beat.connector, error)
            return
        log.warning("the connector %s has fallen silent: its lease of %.0f s ran out", beat.connector, beat.ttl_s)
        await self._put_outage_on_record(beat)

    async def _put_outage_on_record(self, beat: ConnectorBeat) -> None:
        """That it began with the last heartbeat is known here even if the uptime monitor does not watch at the moment. Others act
        on the lease alone, so this comes after it, and its failure harms nobody."""
        with suppress(StoreConflict):  # The monitor was first.
            try:
                await self._store.commit([uptime.lease_ran_out(beat, self._connector)])
            except StoreUnavailable as error:
                log.warning("the outage of %s could not be put on record: %s", beat.connector, error)

    def _watch(self, name: str, beat: ConnectorBeat) -> LeaseWatch:
        watch = self._watches.get(name)
        if watch is None or watch.ttl_s != beat.ttl_s:
            watch = self._watches[name] = LeaseWatch(beat.ttl_s)
        return watch
