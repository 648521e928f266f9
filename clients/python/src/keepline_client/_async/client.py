"""The client: everything Keepline can do, by what it is about."""

from __future__ import annotations

import httpx

from keepline_client._async.alerts import AsyncAlerts
from keepline_client._async.chats import AsyncChats
from keepline_client._async.connectors import AsyncConnectors
from keepline_client._async.contacts import AsyncContacts
from keepline_client._async.events import AsyncEvents
from keepline_client._async.groups import AsyncGroups
from keepline_client._async.keys import AsyncKeys
from keepline_client._async.media import AsyncMedia
from keepline_client._async.messages import AsyncMessages
from keepline_client._async.reports import AsyncReports
from keepline_client._async.sessions import AsyncSessions
from keepline_client._async.transport import AsyncTransport
from keepline_client._async.uptime import AsyncUptime
from keepline_client._async.webhooks import AsyncWebhooks
from keepline_client._calls import Call
from keepline_client.types import Allowance, Fleet, Health


class AsyncKeepline:
    """Keepline at an address, as the owner of an API key (or of a Firebase ID token) sees it.

    One client keeps its connections open and may be used from everywhere at once; close it, or use it in a `with` block.
    Each try of a call has `timeout_s` seconds; what failed for want of an answer is tried `tries_max` times in all, where that
    cannot do harm. `transport` is httpx's, for a way of your own to Keepline.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout_s: float = 30.0,
        tries_max: int = 5,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = AsyncTransport(url, api_key, timeout_s, tries_max, transport)
        self.sessions = AsyncSessions(self._transport)
        self.media = AsyncMedia(self._transport)
        self.messages = AsyncMessages(self._transport, self.media)
        self.chats = AsyncChats(self._transport)
        self.groups = AsyncGroups(self._transport)
        self.contacts = AsyncContacts(self._transport)
        self.events = AsyncEvents(self._transport)
        self.webhooks = AsyncWebhooks(self._transport)
        self.alerts = AsyncAlerts(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.reports = AsyncReports(self._transport)
        self.uptime = AsyncUptime(self._transport)
        self.connectors = AsyncConnectors(self._transport)

    async def health(self, *, detailed: bool = False) -> Health:
        """Whether Keepline answers; `detailed` also how its connectors and your sessions are. Asked once, without tries."""
        query = {"detailed": "true"} if detailed else {}
        health: Health = await self._transport.json(Call("GET", "/health", query=query, is_patient=False))
        return health

    async def fleet(self) -> Fleet:
        """The whole installation, for operators."""
        fleet: Fleet = await self._transport.json(Call("GET", "/api/fleet"))
        return fleet

    async def limits(self) -> Allowance:
        """What you may do and have, and how much of it is left. Asking uses none of it."""
        allowance: Allowance = await self._transport.json(Call("GET", "/api/limits"))
        return allowance

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncKeepline:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.url!r})"
