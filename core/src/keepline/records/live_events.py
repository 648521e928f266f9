"""`live/{tenant}/events/{event}`: the log that live listeners read, through the API or by a Firestore listener.

It is kept only for tenants that somebody has listened to lately. That stands in `webhook_owners/{tenant}`, which whoever has an
event reads first: for all others that one read is all that it costs. `live/{tenant}/lanes/{lane}`: how far a chat is written
down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from keepline.domain.live_events import Entry, Position
from keepline.ports.documents import SERVER_TIME, Create, Document, Query, Sentinel, Update, Where
from keepline.records.webhooks import KEPT_DAYS, Lane, owner_path

LIVE = "live"
EVENTS = "events"

# How long events are written down after somebody listened last, so that a listener who comes back finds all of them.
LISTENED_FOR = timedelta(days=3)
# Who has to renew it, and who looks whether it is over, do not have the same clock.
RENEWED_BEFORE = timedelta(minutes=5)


def log_path(tenant: str) -> str:
    """The collection of a tenant's events."""
    return f"{LIVE}/{tenant}/{EVENTS}"


def event_path(tenant: str, event: str) -> str:
    return f"{log_path(tenant)}/{event}"


def lane_path(tenant: str, lane: str) -> str:
    return f"{LIVE}/{tenant}/lanes/{lane}"


@dataclass(frozen=True)
class EventLog:
    """A tenant's log: without a gap since `since`, and written until `until`. `streams`: who is listening, and till when."""

    tenant: str
    since: datetime | Sentinel
    until: datetime
    streams: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def read(cls, tenant: str, owner: Document | None) -> EventLog | None:
        """What an owner's document says of it; None where nobody ever listened."""
        found = owner.fields.get("live") if owner is not None else None
        return cls(tenant, found["since"], found["until"], dict(found["streams"])) if found is not None else None

    def listened_to(self, now: datetime) -> EventLog:
        """The log when somebody listens: it goes on, or begins anew where it had ended."""
        since = self.since if self.until > now + RENEWED_BEFORE else SERVER_TIME
        streams = {name: until for name, until in self.streams.items() if until > now}
        return replace(self, since=since, until=now + LISTENED_FOR, streams=streams)

    def write(self, owner: Document | None) -> Create | Update:
        """This state of the log, on the condition that nobody changed its owner's document since it was read."""
        live = {"since": self.since, "until": self.until, "streams": dict(self.streams)}
        if owner is None:
            return Create(owner_path(self.tenant), {"webhooks": [], "live": live})
        return Update(owner.path, {"live": live}, owner.version)


def no_log(tenant: str, now: datetime) -> EventLog:
    """That of a tenant nobody ever listened to."""
    return EventLog(tenant, SERVER_TIME, now)


def new_entry(
    tenant: str, lane: Lane, sequence: int, event: Mapping[str, Any], chat: str | None, now: datetime
) -> Create:
    """An event in its place; created a second time it is refused."""
    return Create(
        event_path(tenant, event["id"]),
        {
            **event,
            "tenant": tenant,
            "chat": chat,
            "lane": lane.id,
            "sequence": sequence,
            "recorded_at": SERVER_TIME,
            "expire_at": now + timedelta(days=KEPT_DAYS),
        },
    )


ENVELOPE = ("id", "type", "timestamp", "session_id", "data")


def event_of(document: Document) -> dict[str, Any]:
    """The event as it is sent."""
    return {name: document.fields[name] for name in ENVELOPE}


def entry_of(document: Document) -> Entry:
    fields = document.fields
    position = Position(document.created, fields["lane"], fields["sequence"])
    return Entry(document.id, position, fields["recorded_at"])


def entries_since(tenant: str, since: datetime, limit: int) -> Query:
    """What was written down from a time on."""
    return Query(log_path(tenant), (Where("recorded_at", ">=", since),), "recorded_at", limit=limit)


_LANE_FIELDS = ("next", "heard_at", "recorded_at", "sent_at")


def read_lane(tenant: str, document: Document) -> Lane:
    """A chat's line into the log. Nobody delivers it, so it is never due."""
    fields = {name: document.fields[name] for name in _LANE_FIELDS}
    return Lane(tenant, document.id, version=document.version, **fields)


def write_lane(tenant: str, lane: Lane, now: datetime) -> Create | Update:
    """This state of the line, on the condition that nobody changed it since it was read."""
    fields: dict[str, Any] = {name: getattr(lane, name) for name in _LANE_FIELDS}
    fields["expire_at"] = now + timedelta(days=KEPT_DAYS)
    path = lane_path(tenant, lane.id)
    return Create(path, fields) if lane.version is None else Update(path, fields, lane.version)
