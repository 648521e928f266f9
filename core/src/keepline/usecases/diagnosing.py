"""All that is known of one session, for whoever looks after it. Only Firestore is read: WhatsApp hears nothing of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from keepline.domain.advice import DeviceFacts, Facts, advice
from keepline.domain.events import EventKind
from keepline.domain.pool_limits import DEFAULT_LIMITS, PoolLimits
from keepline.domain.session import Reason
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore
from keepline.records import monitoring, pool
from keepline.records.connectors import ConnectorBeat
from keepline.records.monitoring import SessionEvent
from keepline.records.pool import Places
from keepline.usecases.fleet import ConnectorView, view_of
from keepline.usecases.limiting import LIMITS, Charged, Limiter
from keepline.usecases.sessions import Sessions, SessionView, beats_of

EVENTS_SHOWN = 20


@dataclass(frozen=True)
class Diagnosis:
    """`limits` are the user's, not the session's alone. `sessions_used` of `sessions_max` places of the pool are the user's."""

    session: SessionView
    connectors: tuple[ConnectorView, ...]
    events: tuple[SessionEvent, ...]
    limits: tuple[Charged, ...]
    sessions_used: int
    sessions_max: int
    advice: tuple[Reason, ...]


class Diagnosing:
    """The sessions of all tenants."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        sessions: Sessions,
        limiter: Limiter,
        limits: PoolLimits = DEFAULT_LIMITS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._limiter = limiter
        self._pool_limits = limits

    async def look(self, tenant: str, session_id: str) -> Diagnosis:
        """Raises NotFound (`session_not_found`)."""
        session = await self._sessions.look(tenant, session_id)
        events, places, beats, limits = await asyncio.gather(
            self._store.query(
                monitoring.newest_events(None, session.account.id, EventKind.SESSION_STATE, None, None, EVENTS_SHOWN)
            ),
            self._store.get(pool.PATH),
            beats_of(self._store, {device.connector or "" for device in session.devices}),
            asyncio.gather(*(self._limiter.look(tenant, limit) for limit in LIMITS)),
        )
        owners = Places.read(places).tenants.values() if places is not None else ()
        return Diagnosis(
            session=session,
            connectors=tuple(self._view(beat) for _, beat in sorted(beats.items())),
            events=tuple(map(SessionEvent.read, events)),
            limits=tuple(limits),
            sessions_used=sum(owner == tenant for owner in owners),
            sessions_max=self._pool_limits.of_user,
            advice=tuple(advice(_facts(session, limits))),
        )

    def _view(self, beat: ConnectorBeat) -> ConnectorView:
        return view_of(beat, self._clock.now())


def _facts(session: SessionView, limits: list[Charged]) -> Facts:
    return Facts(
        status=session.status,
        devices=[
            DeviceFacts(
                device.slot,
                device.life.breaker,
                device.life.reconnect_attempts,
                device.proof.quality if device.proof is not None else None,
            )
            for device in session.devices
        ],
        standby=session.standby.state,
        queued=session.queued,
        oldest_queued_s=session.oldest_queued_s,
        held=session.held.reason if session.held is not None else None,
        used_up=[one.limit.name for one in limits if not one.verdict.allowed],
    )
