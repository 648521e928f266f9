"""`monitoring/{event}`: what happened to sessions and to the installation, one document per event however often it is told.

A tenant's events carry `tenant`; the installation's have null there. Firestore removes each at its `expire_at`.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keepline.domain.events import EVENTS, EventKind, Seen, sentence_of, state_severity
from keepline.domain.session import REASONS
from keepline.ports.documents import SERVER_TIME, Create, Document, Put, Query, Update, Version, Where, Write
from keepline.records.accounts import Device
from keepline.records.connectors import ConnectorBeat

MONITORING = "monitoring"
OPEN_SILENCES_MAX = 200
LIMIT_HITS_MAX = 20_000
# How long an event can be looked at.
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


@dataclass(frozen=True)
class MessageTurn:
    """An outgoing message has another state or another error than before."""

    message_id: str
    account: str
    session_id: str
    tenant: str
    at: datetime
    state: str
    code: str | None


def event(
    kind: EventKind,
    named: str,
    *,
    at: datetime,
    subject: str,
    tenant: str | None = None,
    account: str | None = None,
    session_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Put:
    """An event of any kind. What is `named` the same is the same one: to write it again changes nothing that matters.

    `subject` is what it happened to (an account, a connector, a target, a channel). Its sentence is made of the `details`.
    """
    details = dict(details or {})
    words = {"session": session_id, **details}
    return Put(
        event_path(f"{kind.value}_{_digest(named)}"),
        {
            "kind": kind.value,
            "at": at,
            "severity": EVENTS[kind].severity.value,
            "tenant": tenant,
            "subject": subject,
            "account": account,
            "session_id": session_id,
            "code": str(details.get("code") or kind.value),
            "sentence": sentence_of(kind, subject, words),
            "next_step": EVENTS[kind].next_step,
            "details": details,
            "recorded_at": SERVER_TIME,
            "expire_at": at + EVENTS_KEPT,
        },
    )


def state_changed(change: StateChange) -> Create:
    """The event of a changed session."""
    reason = REASONS.get(change.code)
    return Create(
        event_path(f"{change.account}_{_digest(change.told_as)}"),
        {
            "kind": EventKind.SESSION_STATE.value,
            "at": change.at,
            "severity": state_severity(change.state).value,
            "subject": change.account,
            "account": change.account,
            "session_id": change.session_id,
            "tenant": change.tenant,
            "from": change.state_before,
            "to": change.state,
            "code": change.code,
            "sentence": change.sentence,
            "next_step": reason.next_step if reason is not None else EVENTS[EventKind.SESSION_STATE].next_step,
            "details": {"from": change.state_before, "to": change.state},
            "recorded_at": SERVER_TIME,
            "expire_at": change.at + EVENTS_KEPT,
        },
    )


def of_session(kind: EventKind, named: str, *, at: datetime, account: str, details: Mapping[str, Any]) -> Put:
    """An event of a session, by its account."""
    tenant, _, session_id = account.rpartition("_")
    return event(
        kind,
        f"{account} {named}",
        at=at,
        subject=account,
        tenant=tenant,
        account=account,
        session_id=session_id,
        details=details,
    )


def device_moved(device: Device, to: str, at: datetime) -> list[Put]:
    """The event of a device that another connector holds from now on; none for one that no phone has linked yet."""
    if not device.linked or not to or device.connector == to:
        return []
    details = {"slot": device.slot, "from": device.connector or "none", "to": to}
    # It goes into the commit that assigns the device, which its version guards: no other is made of the same move.
    named = f"{device.slot} {device.connector} {to} {at.isoformat()}"
    return [of_session(EventKind.DEVICE_MOVED, named, at=at, account=device.account, details=details)]


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
            **_of_connector(EventKind.CONNECTOR_SILENT, beat),
            "open": True,
        },
    )


def connector_back(silence: Silence, beat: ConnectorBeat) -> list[Write]:
    """The end of a silence: an event of its own, and the silence is closed in the same commit."""
    return [
        Update(event_path(silence.id), {"open": False, "ended_at": beat.at}, silence.version),
        Create(
            event_path(f"{silence.id}_back"),
            {
                **_of_connector(EventKind.CONNECTOR_BACK, beat),
                "silence": silence.id,
            },
        ),
    ]


def _of_connector(kind: EventKind, beat: ConnectorBeat) -> dict[str, Any]:
    words = EVENTS[kind]
    return {
        "kind": kind.value,
        "at": SERVER_TIME,
        "severity": words.severity.value,
        "tenant": None,
        "subject": beat.connector,
        "session_id": None,
        "connector": beat.connector,
        "region": beat.region,
        "beat": beat.beat,
        "beat_at": beat.at,
        "code": kind.value,
        "sentence": sentence_of(kind, beat.connector, {}),
        "next_step": words.next_step,
        "details": {"region": beat.region},
        "expire_at": beat.at + EVENTS_KEPT,
    }


def open_silences() -> Query:
    where = (Where("kind", "==", "connector_silent"), Where("open", "==", True))
    return Query(MONITORING, where, limit=OPEN_SILENCES_MAX)


def webhook_dead_letter(tenant: str, webhook: str, at: datetime) -> Put:
    """Of one endpoint that is away many events are given up: an hour's are one event, with the time of the last."""
    named = f"{webhook} {at:%Y-%m-%dT%H}"
    return event(EventKind.WEBHOOK_DEAD_LETTER, named, at=at, subject=webhook, tenant=tenant)


def limit_reached(tenant: str, limit: str, at: datetime) -> Put:
    """A user's limit was hit in this minute: one document, however many requests were refused by however many instances."""
    minute = at.replace(second=0, microsecond=0)
    named = f"{tenant} {limit} {minute:%Y%m%dT%H%M}"
    return event(EventKind.LIMIT_REACHED, named, at=minute, subject=limit, tenant=tenant, details={"limit": limit})


def events_of_kind(kind: str, since: datetime, limit: int) -> Query:
    """Everybody's events of a kind, newest first."""
    return Query(MONITORING, (Where("kind", "==", kind), Where("at", ">=", since)), "at", descending=True, limit=limit)


def limit_hits(tenant: str | None, begin: datetime, end: datetime) -> Query:
    """The minutes of a time in which limits were hit, a tenant's or everybody's."""
    where = [Where("kind", "==", EventKind.LIMIT_REACHED.value)]
    if tenant is not None:
        where.append(Where("tenant", "==", tenant))
    where += [Where("at", ">=", begin), Where("at", "<", end)]
    return Query(MONITORING, tuple(where), "at", descending=True, limit=LIMIT_HITS_MAX)


@dataclass(frozen=True)
class Event:
    """An event of any kind, as people read it."""

    id: str
    kind: EventKind
    at: datetime
    severity: str
    tenant: str | None
    session_id: str | None
    subject: str
    code: str
    sentence: str
    next_step: str
    details: Mapping[str, Any]

    @classmethod
    def read(cls, document: Document) -> Event:
        # What was written before there were kinds for everything lacks some of it.
        fields = document.fields
        kind = EventKind(fields["kind"])
        return cls(
            id=document.id,
            kind=kind,
            at=fields["at"],
            severity=fields.get("severity", EVENTS[kind].severity.value),
            tenant=fields.get("tenant"),
            session_id=fields.get("session_id"),
            subject=fields.get("subject") or fields.get("account") or fields.get("connector", ""),
            code=fields["code"],
            sentence=fields["sentence"],
            next_step=fields.get("next_step", EVENTS[kind].next_step),
            details=fields.get("details", {}),
        )

    @property
    def seen(self) -> Seen:
        """As the rules of alerts look at it."""
        return Seen(self.kind, self.at, self.subject, self.tenant, self.session_id, {**self.details, "code": self.code})


def newest_events(
    tenant: str | None,
    account: str | None,
    kind: EventKind | None,
    since: datetime | None,
    before: datetime | None,
    limit: int,
) -> Query:
    """Newest first: of an account, else of a tenant, else of the whole installation."""
    where = []
    if account is not None:
        where.append(Where("account", "==", account))
    elif tenant is not None:
        where.append(Where("tenant", "==", tenant))
    if kind is not None:
        where.append(Where("kind", "==", kind.value))
    if since is not None:
        where.append(Where("at", ">=", since))
    if before is not None:
        where.append(Where("at", "<", before))
    return Query(MONITORING, tuple(where), "at", descending=True, limit=limit)


def events_since(kinds: tuple[str, ...], since: datetime, limit: int) -> Query:
    """What happened of these kinds, anywhere, newest first."""
    where = (Where("kind", "in", list(kinds)), Where("at", ">=", since))
    return Query(MONITORING, where, "at", descending=True, limit=limit)


def _digest(named: str) -> str:
    return b32encode(hashlib.sha256(named.encode()).digest()).decode().lower()[:26]
