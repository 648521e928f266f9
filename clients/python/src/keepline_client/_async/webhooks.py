"""Webhooks: what is told to whom, and what became of it. `verify_webhook` is for whoever is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, given, path, query, strings
from keepline_client.types import (
    Delivery,
    DeliveryPage,
    DeliveryState,
    NewWebhook,
    Webhook,
    WebhookChanges,
    WebhookTest,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    WebhookList = list[Webhook]


class AsyncWebhooks:
    """`keepline.webhooks`"""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        url: str,
        events: Sequence[str],
        *,
        session_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> NewWebhook:
        """Have an address told of events, of one session or of all; `*` is every event. Its `secret` is shown this once."""
        body = given(url=url, events=strings(events), session_id=session_id, headers=headers)
        return await self._with_secret(Call("POST", "/api/webhooks", body))

    async def list(self) -> WebhookList:
        """All webhooks, the oldest first."""
        found: WebhookList = (await self._transport.json(Call("GET", "/api/webhooks")))["webhooks"]
        return found

    async def get(self, webhook_id: str) -> Webhook:
        """A webhook, and how its endpoint fares."""
        return await self._webhook(Call("GET", path("api", "webhooks", webhook_id)))

    async def update(self, webhook_id: str, **changes: Unpack[WebhookChanges]) -> Webhook:
        """Change a webhook, switch it off and on. What is not named stays."""
        return await self._webhook(Call("PATCH", path("api", "webhooks", webhook_id), dict(changes)))

    async def delete(self, webhook_id: str) -> None:
        """Tell it nothing more."""
        await self._transport.ask(Call("DELETE", path("api", "webhooks", webhook_id)))

    async def rotate_secret(self, webhook_id: str) -> NewWebhook:
        """The webhook with a new secret. For a day the one before signs beside it."""
        return await self._with_secret(Call("POST", path("api", "webhooks", webhook_id, "rotate-secret")))

    async def test(self, webhook_id: str) -> WebhookTest:
        """Call the endpoint once, now, with an event of the type `test`."""
        tested: WebhookTest = await self._transport.json(Call("POST", path("api", "webhooks", webhook_id, "test")))
        return tested

    async def deliveries(
        self, webhook_id: str, *, state: DeliveryState | None = None, before: str | datetime | None = None
    ) -> AsyncIterator[Delivery]:
        """The log, the newest first; `dead` ones are those given up. Pages are fetched as they are needed."""
        while True:
            page = await self.delivery_page(webhook_id, state=state, before=before, limit=100)
            for delivery in page["deliveries"]:
                yield delivery
            if page["next_before"] is None:
                return
            before = page["next_before"]

    async def delivery_page(
        self,
        webhook_id: str,
        *,
        state: DeliveryState | None = None,
        limit: int = 50,
        before: str | datetime | None = None,
    ) -> DeliveryPage:
        """A page of the log: what is older than `before`. `next_before` leads to the next one."""
        asked = query(state=state, limit=limit, before=before)
        page: DeliveryPage = await self._transport.json(
            Call("GET", path("api", "webhooks", webhook_id, "deliveries"), query=asked)
        )
        return page

    async def replay(self, webhook_id: str, events: Sequence[str] | None = None) -> int:
        """Deliver dead letters after all, these events or up to 200 of them. How many."""
        body = {"events": strings(events)} if events is not None else None
        call = Call("POST", path("api", "webhooks", webhook_id, "replay"), body)
        replayed: int = (await self._transport.json(call))["replayed"]
        return replayed

    async def _webhook(self, call: Call) -> Webhook:
        webhook: Webhook = await self._transport.json(call)
        return webhook

    async def _with_secret(self, call: Call) -> NewWebhook:
        webhook: NewWebhook = await self._transport.json(call)
        return webhook
