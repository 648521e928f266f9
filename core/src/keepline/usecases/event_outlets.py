"""Where a tenant's events go: to each of its webhooks, and, while somebody listens, into the log of live events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from keepline.domain.webhook_events import EventType, wants
from keepline.ports.documents import Document, DocumentStore, Write
from keepline.records import live_events, webhooks
from keepline.records.live_events import EventLog
from keepline.records.webhooks import Lane, Webhook
from keepline.usecases.webhook_events import Told


class Outlet(Protocol):
    """Takes events, those of a chat in their order, each in a place of its own in the chat's lane."""

    @property
    def session_id(self) -> str | None:
        """The session that it is for; None for all."""
        ...

    @property
    def told_since(self) -> datetime:
        """What happened before is not told."""
        ...

    def wants(self, event_type: EventType) -> bool: ...

    def lane_path(self, name: str) -> str: ...

    def lane(self, name: str, document: Document | None) -> Lane:
        """The lane as it was read, or the one that is not there yet."""
        ...

    def event_path(self, event_id: str) -> str: ...

    def added(self, lane: Lane, told: Sequence[Told], now: datetime) -> tuple[Lane, list[Write]]:
        """The lane with these events behind the others, and what writes that, if nobody was there in between."""
        ...


@dataclass(frozen=True)
class ToWebhook:
    """An endpoint that is called with each event."""

    webhook: Webhook

    @property
    def session_id(self) -> str | None:
        return self.webhook.session_id

    @property
    def told_since(self) -> datetime:
        return self.webhook.told_since

    def wants(self, event_type: EventType) -> bool:
        return wants(self.webhook.events, event_type)

    def lane_path(self, name: str) -> str:
        return webhooks.lane_path(self.webhook.id, name)

    def lane(self, name: str, document: Document | None) -> Lane:
        return Lane.read(document) if document is not None else Lane(self.webhook.id, name)

    def event_path(self, event_id: str) -> str:
        return webhooks.delivery_path(self.webhook.id, event_id)

    def added(self, lane: Lane, told: Sequence[Told], now: datetime) -> tuple[Lane, list[Write]]:
        after = lane.longer_by(len(told), now) if told else lane
        creates = [
            webhooks.new_delivery(lane, lane.next + place, one.event, one.chat, one.body, now)
            for place, one in enumerate(told)
        ]
        return after, [*creates, after.write()]


@dataclass(frozen=True)
class ToLog:
    """The log of a tenant: all events of all sessions, for whoever listens."""

    log: EventLog

    @property
    def session_id(self) -> str | None:
        return None

    @property
    def told_since(self) -> datetime:
        since = self.log.since
        assert isinstance(since, datetime), "a log that was read says since when it is there"
        return since

    def wants(self, event_type: EventType) -> bool:
        return True

    def lane_path(self, name: str) -> str:
        return live_events.lane_path(self.log.tenant, name)

    def lane(self, name: str, document: Document | None) -> Lane:
        tenant = self.log.tenant
        return live_events.read_lane(tenant, document) if document is not None else Lane(tenant, name)

    def event_path(self, event_id: str) -> str:
        return live_events.event_path(self.log.tenant, event_id)

    def added(self, lane: Lane, told: Sequence[Told], now: datetime) -> tuple[Lane, list[Write]]:
        tenant = self.log.tenant
        after = replace(lane, next=lane.next + len(told))
        creates = [
            live_events.new_entry(tenant, lane, lane.next + place, one.event, one.chat, now)
            for place, one in enumerate(told)
        ]
        return after, [*creates, live_events.write_lane(tenant, after, now)]


async def outlets_of(store: DocumentStore, tenant: str, now: datetime) -> list[Outlet]:
    """Where the events of a tenant go now. One read where that is nowhere."""
    # Asked each time: what is remembered would leave a new webhook, or a listener, without what happens in the first seconds.
    owner = await store.get(webhooks.owner_path(tenant))
    if owner is None:
        return []
    found: list[Outlet] = []
    if owner.fields["webhooks"]:
        documents = await store.query(webhooks.webhooks_of_tenant(tenant))
        found += [ToWebhook(webhook) for webhook in map(Webhook.read, documents) if webhook.enabled]
    log = EventLog.read(tenant, owner)
    if log is not None and log.until > now:
        found.append(ToLog(log))
    return found
