"""`webhooks/{id}`: an endpoint and what it is told of. `…/lanes/{lane}`: one chat's line in front of it. `…/deliveries/{event}`.

A lane numbers its deliveries, and every one is created in a commit that raises the lane's number: so they have one order, and
two who create at the same time cannot both succeed. `due_at` is from when on anybody may take a lane; who takes it moves that
time, so that it is a lease as well.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from keepline.domain.webhook_policy import Breaker, DeliveryState
from keepline.ports.documents import SERVER_TIME, Create, Delete, Document, Query, Update, Version, Where, Write

WEBHOOKS = "webhooks"
WEBHOOK_OWNERS = "webhook_owners"
DELIVERIES = "deliveries"
LANES = "lanes"

WEBHOOKS_OF_TENANT_MAX = 10
# More of an installation are not counted in its report.
WEBHOOKS_MAX = 1_000
# How long what was delivered or given up can be looked at and replayed.
KEPT_DAYS = 14
# Nothing waits that long: this is for what is left of a webhook that was deleted.
WAITING_DAYS_MAX = 30
TRIES_LOGGED_MAX = 10
LANES_WOKEN_MAX = 500


def webhook_path(webhook: str) -> str:
    return f"{WEBHOOKS}/{webhook}"


def owner_path(tenant: str) -> str:
    return f"{WEBHOOK_OWNERS}/{tenant}"


def lane_path(webhook: str, lane: str) -> str:
    return f"{WEBHOOKS}/{webhook}/{LANES}/{lane}"


def delivery_path(webhook: str, event: str) -> str:
    return f"{WEBHOOKS}/{webhook}/{DELIVERIES}/{event}"


def lane_name(account: str, chat: str | None) -> str:
    """The lane of a chat, or of what concerns a session and no chat."""
    joined = f"{len(account)}:{account}{chat or ''}"
    return "l_" + b32encode(hashlib.sha256(joined.encode()).digest()).decode().lower()[:26]


@dataclass(frozen=True)
class SealedSecrets:
    """The signing secrets and the owner's headers as they rest, under a data key that is wrapped beside them."""

    wrapped_key: bytes = field(repr=False)
    sealed: bytes = field(repr=False)

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> SealedSecrets:
        return cls(fields["wrapped_key"], fields["sealed"])


@dataclass(frozen=True)
class Webhook:
    """An endpoint. `session_id` None: of all sessions. `headers`: the names of those its owner adds.

    `disabled_because` is None unless Keepline disabled it itself. `told_since`: when it was made, or switched on after that.
    """

    id: str
    tenant: str
    session_id: str | None
    url: str
    events: frozenset[str]
    headers: tuple[str, ...]
    secrets: SealedSecrets
    enabled: bool
    disabled_because: str | None
    breaker: Breaker
    told_since: datetime
    created_at: datetime
    version: Version

    @classmethod
    def read(cls, document: Document) -> Webhook:
        fields = document.fields
        return cls(
            id=document.id,
            tenant=fields["tenant"],
            session_id=fields["session_id"],
            url=fields["url"],
            events=frozenset(fields["events"]),
            headers=tuple(fields["headers"]),
            secrets=SealedSecrets.read(fields["secrets"]),
            enabled=fields["enabled"],
            disabled_because=fields["disabled_because"],
            breaker=Breaker(**fields["breaker"]),
            told_since=fields["told_since"],
            created_at=fields["created_at"],
            version=document.version,
        )


def new_webhook(
    webhook: str,
    tenant: str,
    session_id: str | None,
    url: str,
    events: Sequence[str],
    headers: Sequence[str],
    secrets: SealedSecrets,
) -> Create:
    return Create(
        webhook_path(webhook),
        {
            "tenant": tenant,
            "session_id": session_id,
            "url": url,
            "events": list(events),
            "headers": list(headers),
            "secrets": vars(secrets),
            "enabled": True,
            "disabled_because": None,
            "breaker": asdict(Breaker()),
            "told_since": SERVER_TIME,
            "created_at": SERVER_TIME,
        },
    )


def changed_webhook(webhook: Webhook, fields: Mapping[str, Any]) -> Update:
    """If nobody has changed it since."""
    return Update(webhook_path(webhook.id), fields, webhook.version)


def changed_breaker(webhook: Webhook, breaker: Breaker) -> Update:
    return changed_webhook(webhook, {"breaker": asdict(breaker)})


def owned(owner: Document | None, tenant: str, webhooks: Sequence[str]) -> Create | Update:
    """The list of a tenant's webhooks: what its limit is counted by, in the commit that makes or removes one."""
    path = owner_path(tenant)
    if owner is None:
        return Create(path, {"webhooks": list(webhooks)})
    return Update(path, {"webhooks": list(webhooks)}, owner.version)


def webhooks_of_tenant(tenant: str) -> Query:
    return Query(WEBHOOKS, (Where("tenant", "==", tenant),), limit=WEBHOOKS_OF_TENANT_MAX)


def all_webhooks() -> Query:
    """Those of all tenants."""
    return Query(WEBHOOKS, limit=WEBHOOKS_MAX)


@dataclass(frozen=True)
class Lane:
    """One chat's line. `next` numbers its next delivery.

    `heard_at` and `recorded_at` are how far the messages that WhatsApp brought have been looked through: by their own time, and
    by the time when they were recorded; `sent_at` the same for those of the API. None: not at all.
    `failures` in a row, `failing_since` the first of them. `holder` names who delivers, until `due_at`.
    """

    webhook: str
    id: str
    next: int = 0
    heard_at: datetime | None = None
    recorded_at: datetime | None = None
    sent_at: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    due_at: datetime | None = None
    holder: str | None = None
    version: Version | None = None

    @classmethod
    def read(cls, document: Document) -> Lane:
        fields = {name: document.fields[name] for name in _LANE_FIELDS}
        return cls(document.path.split("/")[1], document.id, version=document.version, **fields)

    def write(self) -> Create | Update:
        """This state of the lane, on the condition that nobody changed it since it was read."""
        fields = {"webhook": self.webhook, **{name: getattr(self, name) for name in _LANE_FIELDS}}
        path = lane_path(self.webhook, self.id)
        return Create(path, fields) if self.version is None else Update(path, fields, self.version)

    def longer_by(self, count: int, now: datetime) -> Lane:
        """The lane with more deliveries in it. Whoever holds it, or waits for its next try, comes to them in time."""
        return replace(self, next=self.next + count, due_at=self.due_at or now)

    def is_due(self, now: datetime) -> bool:
        return self.due_at is not None and self.due_at <= now


_LANE_FIELDS = (*("next", "heard_at", "recorded_at", "sent_at", "failures", "failing_since", "due_at", "holder"),)


def due_lanes(now: datetime) -> Query:
    """Lanes of any webhook that somebody should have taken."""
    return Query(LANES, (Where("due_at", "<=", now),), "due_at", limit=LANES_WOKEN_MAX, group=True)


def lanes_of(webhook: str, limit: int) -> Query:
    return Query(f"{WEBHOOKS}/{webhook}/{LANES}", limit=limit)


def waiting_lanes(webhook: str, now: datetime) -> Query:
    """Lanes of a webhook that wait for a later time."""
    return Query(f"{WEBHOOKS}/{webhook}/{LANES}", (Where("due_at", ">", now),), "due_at", limit=LANES_WOKEN_MAX)


@dataclass(frozen=True)
class Delivery:
    """An event on its way to an endpoint. `body` is what is sent, to the byte. `tries`: the last ones, oldest first."""

    webhook: str
    event_id: str
    type: str
    session_id: str | None
    chat: str | None
    lane: str
    sequence: int
    body: str
    state: DeliveryState
    attempts: int
    queued_at: datetime
    settled_at: datetime | None
    tries: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, document: Document) -> Delivery:
        fields = document.fields
        return cls(
            webhook=document.path.split("/")[1],
            event_id=document.id,
            type=fields["type"],
            session_id=fields["session_id"],
            chat=fields["chat"],
            lane=fields["lane"],
            sequence=fields["sequence"],
            body=fields["body"],
            state=DeliveryState(fields["state"]),
            attempts=fields["attempts"],
            queued_at=fields["queued_at"],
            settled_at=fields["settled_at"],
            tries=tuple(fields["tries"]),
        )


def new_delivery(
    lane: Lane, sequence: int, event: Mapping[str, Any], chat: str | None, body: str, now: datetime
) -> Create:
    """An event in its place; created a second time it is refused."""
    return Create(
        delivery_path(lane.webhook, event["id"]),
        {
            "type": event["type"],
            "session_id": event["session_id"],
            "chat": chat,
            "lane": lane.id,
            "sequence": sequence,
            "body": body,
            "state": DeliveryState.PENDING.value,
            "attempts": 0,
            "queued_at": SERVER_TIME,
            "settled_at": None,
            "tries": [],
            "expire_at": now + timedelta(days=WAITING_DAYS_MAX),
        },
    )


def tried(delivery: Delivery, attempt: Mapping[str, Any], state: DeliveryState, now: datetime) -> Update:
    """What became of one more try."""
    fields = {"attempts": delivery.attempts + 1, "tries": [*delivery.tries, attempt][-TRIES_LOGGED_MAX:]}
    return Update(delivery_path(delivery.webhook, delivery.event_id), fields | _settled(state, now))


def given_up(delivery: Delivery, now: datetime) -> Update:
    """Its time ran out while others were tried."""
    return Update(delivery_path(delivery.webhook, delivery.event_id), _settled(DeliveryState.DEAD, now))


def replayed(delivery: Document, sequence: int, now: datetime) -> Update:
    """A dead letter is to be delivered after all, behind what its lane has waiting now."""
    fields: dict[str, Any] = {"state": DeliveryState.PENDING.value, "sequence": sequence, "queued_at": SERVER_TIME}
    fields |= {"settled_at": None, "expire_at": now + timedelta(days=WAITING_DAYS_MAX)}
    return Update(delivery.path, fields, delivery.version)


def _settled(state: DeliveryState, now: datetime) -> dict[str, Any]:
    if state is DeliveryState.PENDING:
        return {"state": state.value}
    return {"state": state.value, "settled_at": now, "expire_at": now + timedelta(days=KEPT_DAYS)}


def pending_of_lane(webhook: str, lane: str, limit: int) -> Query:
    """What a lane has waiting, in its order."""
    where = (Where("lane", "==", lane), Where("state", "==", DeliveryState.PENDING.value))
    return Query(f"{WEBHOOKS}/{webhook}/{DELIVERIES}", where, "sequence", limit=limit)


def newest_deliveries(
    webhook: str, state: DeliveryState | None, limit: int, before: datetime | None, since: datetime | None = None
) -> Query:
    """The deliveries of a webhook, in one state or in any, the newest first."""
    where = [] if state is None else [Where("state", "==", state.value)]
    if since is not None:
        where.append(Where("queued_at", ">=", since))
    if before is not None:
        where.append(Where("queued_at", "<", before))
    return Query(f"{WEBHOOKS}/{webhook}/{DELIVERIES}", tuple(where), "queued_at", descending=True, limit=limit)


def deliveries_between(webhook: str, state: DeliveryState, begin: datetime, end: datetime, limit: int) -> Query:
    """A webhook's deliveries in one state that were queued in a time."""
    where = (Where("state", "==", state.value), Where("queued_at", ">=", begin), Where("queued_at", "<", end))
    return Query(f"{WEBHOOKS}/{webhook}/{DELIVERIES}", where, "queued_at", descending=True, limit=limit)


def remove_webhook(webhook: Webhook, owner: Document) -> list[Write]:
    left = [one for one in owner.fields["webhooks"] if one != webhook.id]
    return [Delete(webhook_path(webhook.id), webhook.version), owned(owner, webhook.tenant, left)]


def remove_lane(lane: Lane) -> Delete:
    return Delete(lane_path(lane.webhook, lane.id), lane.version)
