"""`monitoring/{event}`: what happened to sessions and connectors, one document per event however often it is told."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime, timedelta

from keepline.ports.documents import SERVER_TIME, Create, Document, Query, Update, Version, Where, Write
from keepline.records.connectors import ConnectorBeat

MONITORING = "monitoring"
OPEN_SILENCES_MAX = 200
LIMIT_HITS_MAX = 20_000
EVENTS_KEPT = timedelta(days=90)


def event_path(event: str) -> str:
    return f"{MONITORING}/{event}"


@dataclass(frozen=True)
class StateChange:
    """A session's state or its reason changed. `told_as` names the telling: a repeated one names the same."""

    told_as: str
    account: str
    session_id: str
    tenant: str
    at: datetime
    state_before: str | None
    state: str
    code: str
    sentence: str


def state_changed(change: StateChange) -> Create:
    """The event of a changed session."""
    digest = b32encode(hashlib.sha256(change.told_as.encode()).digest()).decode().lower()[:26]
    return Create(
        event_path(f"{change.account}_{digest}"),
        {
            "kind": "session_state",
            "at": change.at,
            "account": change.account,
            "session_id": change.session_id,
            "tenant": change.tenant,
            "from": change.state_before,
            "to": change.state,
            "code": change.code,
            "sentence": change.sentence,
            "recorded_at": SERVER_TIME,
        },
    )


@dataclass(frozen=True)
class SessionEvent:
    """A change of a session's state, as it is on record."""

    at: datetime
    state_before: str | None
    state: str
    code: str
    sentence: str

    @classmethod
    def read(cls, document: Document) -> SessionEvent:
        fields = document.fields
        return cls(fields["at"], fields["from"], fields["to"], fields["code"], fields["sentence"])


def newest_events_of(account: str, limit: int) -> Query:
    """What happened to a session, newest first."""
    return Query(MONITORING, (Where("account", "==", account),), "at", descending=True, limit=limit)


def events_between(account: str, begin: datetime, end: datetime, limit: int) -> Query:
    """What happened to a session in a time, newest first."""
    where = (Where("account", "==", account), Where("at", ">=", begin), Where("at", "<", end))
    return Query(MONITORING, where, "at", descending=True, limit=limit)


def events_before(account: str, moment: datetime, limit: int) -> Query:
    """What happened to a session last before a moment, newest first."""
    where = (Where("account", "==", account), Where("at", "<", moment))
    return Query(MONITORING, where, "at", descending=True, limit=limit)


@dataclass(frozen=True)
class Silence:
    """A connector that went silent and has not been seen to come back. `beat_at` is the last beat before it."""

    id: str
    connector: str
    beat_at: datetime
    version: Version

    @classmethod
    def read(cls, document: Document) -> Silence:
        fields = document.fields
        return cls(document.id, fields["connector"], fields["beat_at"], document.version)


def connector_silent(beat: ConnectorBeat) -> Create:
    """The event of a connector's silence. A restarted connector counts its beats anew, so the id has the beat's time as well."""
    began_ms = round(beat.at.timestamp() * 1000)
    return Create(
        event_path(f"{beat.connector}_silent_{beat.beat}_{began_ms}"),
        {
            "kind": "connector_silent",
            "at": SERVER_TIME,
            "connector": beat.connector,
            "region": beat.region,
            "beat": beat.beat,
            "beat_at": beat.at,
            "open": True,
            "code": "connector_silent",
            "sentence": f"The connector {beat.connector} has gone silent.",
        },
    )


def connector_back(silence: Silence, beat: ConnectorBeat) -> list[Write]:
    """The end of a silence: an event of its own, and the silence is closed in the same commit."""
    return [
        Update(event_path(silence.id), {"open": False, "ended_at": beat.at}, silence.version),
        Create(
            event_path(f"{silence.id}_back"),
            {
                "kind": "connector_back",
                "at": SERVER_TIME,
                "connector": beat.connector,
                "region": beat.region,
                "beat": beat.beat,
                "beat_at": beat.at,
                "silence": silence.id,
                "code": "connector_back",
                "sentence": f"The connector {beat.connector} beats again.",
            },
        ),
    ]


def open_silences() -> Query:
    where = (Where("kind", "==", "connector_silent"), Where("open", "==", True))
    return Query(MONITORING, where, limit=OPEN_SILENCES_MAX)


def limit_reached(tenant: str, limit: str, at: datetime) -> Create:
    """A user's limit was hit in this minute: one document, however many requests were refused by however many instances."""
    minute = at.replace(second=0, microsecond=0)
    return Create(
        event_path(f"{tenant}_{limit}_limit_{minute:%Y%m%dT%H%M}"),
        {
            "kind": "limit_reached",
            "at": minute,
            "severity": "info",
            "tenant": tenant,
            "subject": limit,
            "account": None,
            "session_id": None,
            "code": "limit_reached",
            "sentence": f"The limit of '{limit}' was reached.",
            "next_step": "Spread the requests, or have the limit raised.",
            "details": {"limit": limit},
            "recorded_at": SERVER_TIME,
            "expire_at": minute + EVENTS_KEPT,
        },
    )


def events_of_kind(kind: str, since: datetime, limit: int) -> Query:
    """Everybody's events of a kind, newest first."""
    return Query(MONITORING, (Where("kind", "==", kind), Where("at", ">=", since)), "at", descending=True, limit=limit)


def limit_hits(tenant: str | None, begin: datetime, end: datetime) -> Query:
    """The minutes of a time in which limits were hit, a tenant's or everybody's."""
    where = [Where("kind", "==", "limit_reached")]
    if tenant is not None:
        where.append(Where("tenant", "==", tenant))
    where += [Where("at", ">=", begin), Where("at", "<", end)]
    return Query(MONITORING, tuple(where), "at", descending=True, limit=LIMIT_HITS_MAX)
