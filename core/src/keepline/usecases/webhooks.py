"""A tenant's webhooks: made, changed, removed, tried out, and what became of their deliveries."""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b32encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from keepline.domain.errors import LimitReached, NotFound, StateConflict, Unavailable
from keepline.domain.ids import is_own_id
from keepline.domain.webhook_events import TEST, envelope
from keepline.domain.webhook_policy import Breaker, DeliveryState, Verdict, judge
from keepline.domain.webhook_settings import check_events, check_headers, check_url
from keepline.domain.webhook_signing import SECRET_BYTES, new_secret, rotated
from keepline.ports.clock import Clock
from keepline.ports.documents import SERVER_TIME, Delete, Document, DocumentStore, StoreConflict
from keepline.ports.webhook_calls import Answer, DeliveryWaker, WakeFailed
from keepline.records import webhooks
from keepline.records.webhooks import WEBHOOKS_OF_TENANT_MAX, Delivery, Lane, Webhook
from keepline.usecases.session_chain import Entropy
from keepline.usecases.sessions import own_account
from keepline.usecases.webhook_delivering import Calling, WebhookDeliverer
from keepline.usecases.webhook_events import Rendering
from keepline.usecases.webhook_sealing import Contents, SecretsUnreadable, WebhookSealer

TRIES_MAX = 5
LISTED_MAX = 100
# Of one commit, and so of one instant, as many as can be in one.
SAME_INSTANT_MAX = 500
LANES_PAGE = 400
# A webhook with more chats than these leaves some lanes behind, which hurt nobody.
LANE_PAGES_MAX = 20
# As many dead letters as one call replays; the rest is the next call's.
REPLAYED_MAX = 200


@dataclass(frozen=True)
class Wanted:
    """A new webhook, as its owner asks for it."""

    url: str
    events: Sequence[str]
    session_id: str | None
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Changes:
    """What is to be different. None: stays as it is."""

    url: str | None = None
    events: Sequence[str] | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    enabled: bool | None = None


@dataclass(frozen=True)
class Secretive:
    """A webhook with its current secret, which is shown this once."""

    webhook: Webhook
    secret: str = field(repr=False)


class Webhooks:
    """The webhooks of all tenants. Those of another tenant are not there."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        entropy: Entropy,
        sealer: WebhookSealer,
        calling: Calling,
        deliverer: WebhookDeliverer,
        waker: DeliveryWaker,
        rendering: Rendering,
        *,
        private_allowed: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._sealer = sealer
        self._calling = calling
        self._deliverer = deliverer
        self._waker = waker
        self._rendering = rendering
        self._private_allowed = private_allowed

    async def create(self, tenant: str, wanted: Wanted) -> Secretive:
        """Raises InvalidInput, NotFound (`session_not_found`), LimitReached (`webhook_limit`), and what sealing does."""
        url = check_url(wanted.url, private_allowed=self._private_allowed)
        events, headers = check_events(wanted.events), check_headers(wanted.headers)
        if wanted.session_id is not None:
            await own_account(self._store, tenant, wanted.session_id)
        webhook = "w" + b32encode(self._entropy(10)).decode().lower()
        secret = new_secret(self._entropy(SECRET_BYTES))
        sealed = await self._sealer.seal(tenant, webhook, url, Contents([secret], headers))
        for _ in range(TRIES_MAX):
            owner = await self._store.get(webhooks.owner_path(tenant))
            owned = _ids(owner)
            if len(owned) >= WEBHOOKS_OF_TENANT_MAX:
                raise _limit_reached(len(owned))
            try:
                await self._store.commit(
                    [
                        webhooks.new_webhook(webhook, tenant, wanted.session_id, url, events, sorted(headers), sealed),
                        webhooks.owned(owner, tenant, [*owned, webhook]),
                    ]
                )
            except StoreConflict:
                continue
            return Secretive(await self.look(tenant, webhook), secret.text)
        raise _busy()

    async def of_tenant(self, tenant: str) -> list[Webhook]:
        """The oldest first."""
        documents = await self._store.query(webhooks.webhooks_of_tenant(tenant))
        return sorted(map(Webhook.read, documents), key=lambda webhook: (webhook.created_at, webhook.id))

    async def look(self, tenant: str, webhook: str) -> Webhook:
        """Raises NotFound (`webhook_not_found`)."""
        document = await self._store.get(webhooks.webhook_path(webhook)) if is_own_id(webhook) else None
        if document is None or (found := Webhook.read(document)).tenant != tenant:
            raise webhook_not_found()
        return found

    async def change(self, tenant: str, webhook: str, changes: Changes) -> Webhook:
        """Raises as `create` does. Switched on, it is tried again at once, whatever has failed before."""
        fields: dict[str, Any] = {}
        if changes.url is not None:
            fields["url"] = check_url(changes.url, private_allowed=self._private_allowed)
        if changes.events is not None:
            fields["events"] = check_events(changes.events)
        headers = check_headers(changes.headers) if changes.headers is not None else None
        if headers is not None:
            fields["headers"] = sorted(headers)
        if changes.enabled is not None:
            fields |= {"enabled": changes.enabled, "disabled_because": None}
        if changes.enabled or changes.url is not None:
            fields["breaker"] = asdict(Breaker())
        for _ in range(TRIES_MAX):
            found = await self.look(tenant, webhook)
            if changes.enabled and not found.enabled:
                fields["told_since"] = SERVER_TIME
            if "url" in fields or headers is not None:
                contents = await self._contents(found)
                url = fields.get("url", found.url)
                sealed = await self._sealer.seal(
                    tenant, webhook, url, Contents(contents.secrets, contents.headers if headers is None else headers)
                )
                fields["secrets"] = vars(sealed)
            if not fields:
                return found
            try:
                await self._store.commit([webhooks.changed_webhook(found, fields)])
            except StoreConflict:
                continue
            if "breaker" in fields:
                await self._deliverer.wake_waiting(webhook)
            return await self.look(tenant, webhook)
        raise _busy()

    async def rotate_secret(self, tenant: str, webhook: str) -> Secretive:
        """A new secret; the one before it goes on signing beside it for a day. Raises as `change` does."""
        secret = new_secret(self._entropy(SECRET_BYTES))
        for _ in range(TRIES_MAX):
            found = await self.look(tenant, webhook)
            contents = await self._contents(found)
            secrets = rotated(contents.secrets, secret, self._clock.now())
            sealed = await self._sealer.seal(tenant, webhook, found.url, Contents(secrets, contents.headers))
            try:
                await self._store.commit([webhooks.changed_webhook(found, {"secrets": vars(sealed)})])
            except StoreConflict:
                continue
            return Secretive(await self.look(tenant, webhook), secret.text)
        raise _busy()

    async def delete(self, tenant: str, webhook: str) -> None:
        """What waits for it is delivered no more; its lanes go, and its deliveries by their time to live."""
        for _ in range(TRIES_MAX):
            found = await self.look(tenant, webhook)
            owner = await self._store.get(webhooks.owner_path(tenant))
            assert owner is not None, "it was made together with the webhook"
            try:
                await self._store.commit(webhooks.remove_webhook(found, owner))
            except StoreConflict:
                continue
            return await self._remove_lanes(webhook)
        raise _busy()

    async def _remove_lanes(self, webhook: str) -> None:
        for _ in range(LANE_PAGES_MAX):
            lanes = await self._store.query(webhooks.lanes_of(webhook, LANES_PAGE))
            if lanes:
                await self._store.commit([Delete(lane.path) for lane in lanes])
            if len(lanes) < LANES_PAGE:
                return

    async def test(self, tenant: str, webhook: str) -> tuple[bool, Answer]:
        """Call the endpoint once, now, with an event of the type `test`; whether it took it, and what it said."""
        found = await self.look(tenant, webhook)
        event_id = "evt_" + b32encode(self._entropy(20)).decode().lower()[:26]
        said = {"webhook_id": webhook, "sentence": "This is a test call of Keepline."}
        event = envelope(event_id, TEST, self._rendering.time(self._clock.now()), found.session_id, said)
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        answer = await self._calling.call(found, event_id, body)
        return judge(answer.status) is Verdict.DELIVERED, answer

    async def deliveries(
        self, tenant: str, webhook: str, state: DeliveryState | None, limit: int, before: datetime | None
    ) -> tuple[list[Delivery], datetime | None]:
        """The deliveries of a webhook, the newest first, and what the next page is asked for with.

        Those of one millisecond are never divided between two pages: a page may be a little shorter than `limit`, or longer.
        """
        found = await self.look(tenant, webhook)
        limit = max(1, min(limit, LISTED_MAX))
        documents = await self._store.query(webhooks.newest_deliveries(found.id, state, limit + 1, before))
        shown = [Delivery.read(document) for document in documents]
        if len(shown) <= limit:
            return shown, None
        divided = _millisecond(shown[limit].queued_at)
        shown = [one for one in shown if _millisecond(one.queued_at) > divided]
        if not shown:
            within = (SAME_INSTANT_MAX, divided + timedelta(milliseconds=1), divided)
            documents = await self._store.query(webhooks.newest_deliveries(found.id, state, *within))
            shown = [Delivery.read(document) for document in documents]
        return shown, _millisecond(shown[-1].queued_at)

    async def replay(self, tenant: str, webhook: str, events: Collection[str] | None) -> int:
        """Have dead letters delivered after all, the oldest first: these, or as many as one call takes of all.

        How many they are. Raises NotFound (`delivery_not_found`), StateConflict (`not_dead`).
        """
        found = await self.look(tenant, webhook)
        if events is None:
            query = webhooks.newest_deliveries(found.id, DeliveryState.DEAD, REPLAYED_MAX, None)
            dead = await self._store.query(query)
        else:
            paths = [webhooks.delivery_path(found.id, event) for event in dict.fromkeys(events) if is_own_id(event)]
            read = await asyncio.gather(*(self._store.get(path) for path in paths))
            dead = [document for document in read if document is not None]
            if len(dead) < len(set(events)):
                raise NotFound(
                    "delivery_not_found",
                    "There is no such delivery of this webhook.",
                    "GET /api/webhooks/{webhook_id}/deliveries lists them; they are kept for two weeks.",
                )
            if any(document.fields["state"] != DeliveryState.DEAD.value for document in dead):
                raise StateConflict(
                    "not_dead",
                    "Only a delivery that was given up can be replayed.",
                    "Look at its state: what is pending is tried by itself.",
                )
        for document in sorted(dead, key=lambda one: (one.fields["queued_at"], one.fields["sequence"])):
            await self._replay(found, document)
        return len(dead)

    async def _replay(self, webhook: Webhook, document: Document) -> None:
        for _ in range(TRIES_MAX):
            path = webhooks.lane_path(webhook.id, document.fields["lane"])
            held = await self._store.get(path)
            lane = Lane.read(held) if held is not None else Lane(webhook.id, document.fields["lane"])
            now = self._clock.now()
            longer = lane.longer_by(1, now)
            try:
                await self._store.commit([webhooks.replayed(document, lane.next, now), longer.write()])
            except StoreConflict:
                again = await self._store.get(document.path)
                if again is None or again.fields["state"] != DeliveryState.DEAD.value:
                    return  # Somebody else has replayed it.
                document = again
                continue
            if longer.is_due(now):
                with contextlib.suppress(WakeFailed):  # Then the minute's round does it.
                    await self._waker.wake(webhook.id, lane.id)
            return
        raise _busy()

    async def _contents(self, webhook: Webhook) -> Contents:
        try:
            return await self._sealer.open(webhook)
        except SecretsUnreadable as error:
            raise StateConflict(
                "secrets_unreadable",
                "The webhook's secrets were changed in the store, or sealed with another key.",
                "Delete the webhook and create it anew.",
            ) from error


def webhook_not_found() -> NotFound:
    """The answer for what is not there, and for what is somebody else's."""
    return NotFound("webhook_not_found", "There is no such webhook.", "GET /api/webhooks lists yours.")


def _millisecond(at: datetime) -> datetime:
    """What is shown of a time, and what `before` can say."""
    # Field by field: what Firestore's client gives is a kind of datetime with nanoseconds.
    whole = (at.year, at.month, at.day, at.hour, at.minute, at.second)
    return datetime(*whole, at.microsecond // 1000 * 1000, tzinfo=at.tzinfo)


def _ids(owner: Document | None) -> list[str]:
    return list(owner.fields["webhooks"]) if owner is not None else []


def _limit_reached(used: int) -> LimitReached:
    return LimitReached(
        "webhook_limit",
        f"There is room for {WEBHOOKS_OF_TENANT_MAX} webhooks, and all of it is taken.",
        "Delete one that is not needed any more.",
        limit=WEBHOOKS_OF_TENANT_MAX,
        used=used,
    )


def _busy() -> Unavailable:
    return Unavailable("busy", "The webhook is being changed by others at this moment.", "Try again in a second.")
