"""The installation as a whole: its connectors by their heartbeats, its sessions by their written states. Asked seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from keepline.domain.events import EventKind
from keepline.domain.link_quality import POOR_BELOW
from keepline.domain.session import SessionState
from keepline.domain.views import outlook
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore
from keepline.records import accounts, connectors, monitoring
from keepline.records.connectors import ConnectorBeat

# However many ask, Firestore is asked once in this time: a read for each connector, one for each state and kind of event.
LOOK_EVERY_S = 15.0
# Events that are worth a curve: how many of them there were in the last hour. A read for each kind.
KINDS_COUNTED = (
    *(EventKind.SESSION_DISCONNECTED, EventKind.SEND_RIGHT_MOVED, EventKind.DEVICE_MOVED, EventKind.RESTORE_FAILED),
    *(EventKind.RATE_SIGNAL, EventKind.DOUBT, EventKind.DEAD_LETTER, EventKind.LIMIT_REACHED),
    *(EventKind.CONNECTOR_SILENT, EventKind.OUTAGE_BEGAN, EventKind.RECOVERED),
)
EVENTS_OF = timedelta(hours=1)
EVENTS_COUNTED_MAX = 10_000


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
    """All connectors, how many sessions are in which state, and what happened lately, as it was `at`."""

    at: datetime
    connectors: tuple[ConnectorView, ...]
    sessions: Mapping[SessionState, int]
    events: Mapping[EventKind, int]  # of the last hour, by kind


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
        now = self._clock.now()
        counting = (self._store.count(accounts.accounts_in_state(state.value)) for state in SessionState)
        happening = (
            self._store.count(monitoring.events_of_kind(kind.value, now - EVENTS_OF, EVENTS_COUNTED_MAX))
            for kind in KINDS_COUNTED
        )
        documents, counts, events = await asyncio.gather(
            self._store.query(connectors.all_connectors()), asyncio.gather(*counting), asyncio.gather(*happening)
        )
        views = [view_of(ConnectorBeat.read(document), now) for document in documents]
        of_state = dict(zip(SessionState, counts, strict=True))
        return FleetView(now, tuple(views), of_state, dict(zip(KINDS_COUNTED, events, strict=True)))


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
