"""The installation as a whole: its connectors by their heartbeats, its sessions by their written states. Asked seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from keepline.domain.link_quality import POOR_BELOW
from keepline.domain.session import SessionState
from keepline.domain.views import outlook
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore
from keepline.records import accounts, connectors
from keepline.records.connectors import ConnectorBeat

# However many ask, Firestore is asked once in this time: a read for each connector, and one for each state.
LOOK_EVERY_S = 15.0


@dataclass(frozen=True)
class ConnectorView:
    """A connector as its newest heartbeat has it. `beat_age_s` is how long ago that was.

    `silent`: its lease is over without its having said so. `queued` waits with it, the first for `oldest_queued_s`.
    """

    id: str
    region: str
    beat_age_s: float
    silent: bool
    stopped: bool
    draining: bool
    capacity: int
    devices: int
    poor_devices: int
    held_devices: int
    queued: int
    oldest_queued_s: float


@dataclass(frozen=True)
class FleetView:
    """All connectors, and how many sessions are in which state, as it was `at`."""

    at: datetime
    connectors: tuple[ConnectorView, ...]
    sessions: Mapping[SessionState, int]


class Fleet:
    """The newest look at the installation. Lives in one event loop."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()
        self._looked: tuple[float, FleetView] | None = None

    async def look(self, age_s_max: float = LOOK_EVERY_S) -> FleetView:
        """At most so old. Raises StoreUnavailable."""
        async with self._lock:
            now_s = self._clock.monotonic_s()
            if self._looked is None or now_s - self._looked[0] > age_s_max:
                self._looked = (now_s, await self._look())
            return self._looked[1]

    async def _look(self) -> FleetView:
        counting = (self._store.count(accounts.accounts_in_state(state.value)) for state in SessionState)
        documents, counts = await asyncio.gather(
            self._store.query(connectors.all_connectors()), asyncio.gather(*counting)
        )
        now = self._clock.now()
        views = [view_of(ConnectorBeat.read(document), now) for document in documents]
        return FleetView(now, tuple(views), dict(zip(SessionState, counts, strict=True)))


def view_of(beat: ConnectorBeat, now: datetime) -> ConnectorView:
    """A connector at this moment."""
    devices = beat.devices.values()
    silent = outlook(
        now,
        beat_at=beat.at,
        ttl_s=beat.ttl_s,
        over=beat.is_over,
        evidence_kind=None,
        evidence_age_ms=None,
        quality=None,
    ).silent
    oldest_at = min((device.oldest_queued_at for device in devices if device.oldest_queued_at), default=now)
    return ConnectorView(
        id=beat.connector,
        region=beat.region,
        beat_age_s=max(0.0, (now - beat.at).total_seconds()),
        silent=silent and not beat.stopping,
        stopped=beat.stopping,
        draining=beat.drain,
        capacity=beat.capacity,
        devices=len(beat.devices),
        poor_devices=sum(device.quality is not None and device.quality < POOR_BELOW for device in devices),
        held_devices=sum(device.held_because is not None for device in devices),
        queued=sum(device.queued for device in devices),
        oldest_queued_s=max(0.0, (now - oldest_at).total_seconds()),
    )
