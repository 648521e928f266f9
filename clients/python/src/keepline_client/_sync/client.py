# Made of _async/client.py by make_sync.py: change that one, then run `make client`.
"""The client: everything Keepline can do, by what it is about."""

from __future__ import annotations

import httpx

from keepline_client._calls import Call
from keepline_client._sync.alerts import Alerts
from keepline_client._sync.chats import Chats
from keepline_client._sync.connectors import Connectors
from keepline_client._sync.contacts import Contacts
from keepline_client._sync.events import Events
from keepline_client._sync.groups import Groups
from keepline_client._sync.keys import Keys
from keepline_client._sync.media import Media
from keepline_client._sync.messages import Messages
from keepline_client._sync.reports import Reports
from keepline_client._sync.sessions import Sessions
from keepline_client._sync.transport import Transport
from keepline_client._sync.uptime import Uptime
from keepline_client._sync.webhooks import Webhooks
from keepline_client.types import Allowance, Fleet, Health


class Keepline:
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(url, api_key, timeout_s, tries_max, transport)
        self.sessions = Sessions(self._transport)
        self.media = Media(self._transport)
        self.messages = Messages(self._transport, self.media)
        self.chats = Chats(self._transport)
        self.groups = Groups(self._transport)
        self.contacts = Contacts(self._transport)
        self.events = Events(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.alerts = Alerts(self._transport)
        self.keys = Keys(self._transport)
        self.reports = Reports(self._transport)
        self.uptime = Uptime(self._transport)
        self.connectors = Connectors(self._transport)

    def health(self, *, detailed: bool = False) -> Health:
        """Whether Keepline answers; `detailed` also how its connectors and your sessions are. Asked once, without tries."""
        query = {"detailed": "true"} if detailed else {}
        health: Health = self._transport.json(Call("GET", "/health", query=query, is_patient=False))
        return health

    def fleet(self) -> Fleet:
        """The whole installation, for operators."""
        fleet: Fleet = self._transport.json(Call("GET", "/api/fleet"))
        return fleet

    def limits(self) -> Allowance:
        """What you may do and have, and how much of it is left. Asking uses none of it."""
        allowance: Allowance = self._transport.json(Call("GET", "/api/limits"))
        return allowance

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Keepline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.url!r})"
