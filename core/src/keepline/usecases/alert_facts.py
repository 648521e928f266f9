"""What the rules of alerts look at, read from the documents: few reads where all is well, more where something is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keepline.domain import alert_rules
from keepline.domain.alert_rules import (
    BURN_SHORT_MAX,
    BURN_WINDOW_MAX,
    COUNTED_FOR,
    COUNTED_KINDS,
    DOWN_STATES,
    LATCHING_KINDS,
    USUAL,
    Condition,
    DeviceSeen,
    Latched,
    Rule,
    SessionSeen,
    Thresholds,
)
from keepline.domain.events import EventKind, Seen
from keepline.domain.session import TERMINAL_STATES, SessionState
from keepline.ports.documents import Document, DocumentStore
from keepline.records import accounts, connectors, monitoring, outbox
from keepline.records.alerts import AlertSettings, Channel
from keepline.records.connectors import ConnectorBeat
from keepline.records.monitoring import Event, SessionEvent, Silence

# A latch's event is seen for so long; what it opened stays open without it.
LATCHES_SEEN_FOR = timedelta(hours=6)
EVENTS_MAX = 2_000
CHANGES_MAX = 300
# More sessions in trouble than these are told of by the ones that are looked at.
LOOKED_AT_MAX = 300
WAITING_ROWS_MAX = 300

_TROUBLED = tuple(sorted({*DOWN_STATES, *(state.value for state in TERMINAL_STATES)}))
_AWAY = tuple(sorted({*_TROUBLED, SessionState.PAIRING.value}))


@dataclass(frozen=True)
class Facts:
    """What holds now, by all rules."""

    conditions: Sequence[Condition]
    latched: Latched


class FactFinder:
    """Lives in one event loop."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    async def find(
        self, settings: Mapping[str | None, AlertSettings], channels: Iterable[Channel], now: datetime
    ) -> Facts:
        """Raises StoreUnavailable: a look that failed says nothing of what holds."""
        own = {tenant: found.thresholds for tenant, found in settings.items()}
        of_tenants = {tenant: thresholds for tenant, thresholds in own.items() if tenant is not None}
        of_installation = own.get(None, USUAL)
        counted, latches, of_sessions, of_fleet = await asyncio.gather(
            self._events(COUNTED_KINDS, now - COUNTED_FOR),
            self._events(LATCHING_KINDS, now - LATCHES_SEEN_FOR),
            self._of_sessions(of_tenants, now),
            self._of_fleet(of_installation, now),
        )
        latched = alert_rules.of_latches(latches)
        return Facts(
            [
                *of_sessions,
                *of_fleet,
                *alert_rules.of_counts(counted, now - COUNTED_FOR, of_tenants),
                *latched.open,
                *_of_channels(channels, own),
            ],
            latched,
        )

    async def _events(self, kinds: frozenset[EventKind], since: datetime) -> list[Seen]:
        names = tuple(sorted(kind.value for kind in kinds))
        documents = await self._store.query(monitoring.events_since(names, since, EVENTS_MAX))
        return [Event.read(document).seen for document in documents]

    async def _of_sessions(self, own: Mapping[str, Thresholds], now: datetime) -> list[Condition]:
        soonest_s = min([USUAL["queue_age_s"], *(one["queue_age_s"] for one in own.values())])
        soonest_days = min([USUAL["phone_days"], *(one["phone_days"] for one in own.values())])
        troubled, away, waiting, unseen, changed = await asyncio.gather(
            self._store.query(accounts.accounts_in_states(_TROUBLED)),
            self._store.query(accounts.devices_in_states(_AWAY)),
            self._store.query(outbox.longest_waiting_rows(now - timedelta(seconds=soonest_s), WAITING_ROWS_MAX)),
            self._store.query(accounts.phones_unseen_since(now - timedelta(days=soonest_days))),
            self._events(frozenset({EventKind.SESSION_STATE}), now - BURN_SHORT_MAX),
        )
        sessions: dict[str, SessionSeen] = {}
        for document in (*troubled, *unseen):
            if document.fields["wanted"]:
                sessions[document.id] = _session(document)
        for row in reversed(waiting):
            account = row.fields["account"]
            known = sessions.get(account) or _connected(account)
            sessions[account] = replace(known, oldest_queued_at=row.fields["due_at"])
        partly_away = {document.fields["account"] for document in away if _is_linked(document)}
        for account in sorted(partly_away)[:LOOKED_AT_MAX]:
            devices = await self._store.query(accounts.devices_of_account(account))
            known = sessions.get(account) or _connected(account)
            sessions[account] = replace(known, devices=[_device(one) for one in devices if _is_linked(one)])
        found: list[Condition] = []
        for session in sessions.values():
            found += alert_rules.of_session(session, now, own.get(session.tenant, USUAL))
        burning = {
            *(account for account, session in sessions.items() if session.state in DOWN_STATES),
            *(event.subject for event in changed),
        }
        for account in sorted(burning)[:LOOKED_AT_MAX]:
            session = sessions.get(account) or _connected(account)
            found += await self._burning(session, now, own.get(session.tenant, USUAL))
        return found

    async def _burning(self, session: SessionSeen, now: datetime, thresholds: Thresholds) -> list[Condition]:
        kind = EventKind.SESSION_STATE
        query = monitoring.newest_events(None, session.account, kind, now - BURN_WINDOW_MAX, None, CHANGES_MAX)
        changes = [SessionEvent.read(document) for document in reversed(await self._store.query(query))]
        before = changes[0].state_before if changes else session.state
        return alert_rules.of_downtime(session, [(one.at, one.state) for one in changes], before, now, thresholds)

    async def _of_fleet(self, thresholds: Thresholds, now: datetime) -> list[Condition]:
        silences, documents = await asyncio.gather(
            self._store.query(monitoring.open_silences()), self._store.query(connectors.all_connectors())
        )
        beats = {beat.connector: beat for beat in map(ConnectorBeat.read, documents)}
        found = [
            Condition(Rule.CONNECTOR_SILENT, silence.connector, None)
            for silence in map(Silence.read, silences)
            if silence.connector in beats  # One that a person has taken away is not missed.
        ]
        for beat in beats.values():
            if not beat.is_over:
                found += alert_rules.of_client(beat.connector, beat.client_built_at, now, thresholds)
        return found


def _of_channels(channels: Iterable[Channel], own: Mapping[str | None, Thresholds]) -> list[Condition]:
    return [
        Condition(Rule.NOTIFIER_FAILED, one.id, one.tenant, None, {"name": one.name, "code": one.error or "?"})
        for one in channels
        if one.failures >= own.get(one.tenant, USUAL)["notifier_failures"]
    ]


def _session(document: Document) -> SessionSeen:
    fields = document.fields
    return SessionSeen(
        account=document.id,
        session_id=fields["session_id"],
        tenant=fields["tenant"],
        state=fields["state"],
        phone_seen_at=fields.get("phone_seen_at"),
    )


def _connected(account: str) -> SessionSeen:
    """A session of which nothing bad was found."""
    tenant, _, session_id = account.rpartition("_")
    return SessionSeen(account, session_id, tenant, SessionState.CONNECTED.value)


def _is_linked(document: Document) -> bool:
    return bool(document.fields["linked"] and document.fields["wanted"])


def _device(document: Document) -> DeviceSeen:
    fields = document.fields
    connected = fields["state"] in (SessionState.CONNECTED.value, SessionState.DEGRADED.value)
    return DeviceSeen(document.id, connected, fields["reason"]["code"], fields["changed_at"])
