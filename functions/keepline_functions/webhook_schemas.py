"""What requests about webhooks may contain."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keepline.usecases.webhooks import LISTED_MAX, REPLAYED_MAX, Changes, Wanted
from keepline_functions.schemas import PAGE_MESSAGES_DEFAULT, Body, Query, Time

_EVENTS_MAX = 20
_Events = Annotated[list[str], Field(min_length=1, max_length=_EVENTS_MAX)]


class CreateWebhook(Body):
    """Body of `POST /api/webhooks`. Without a session it is told of all sessions."""

    url: str
    events: _Events
    session_id: str | None = None
    headers: dict[str, str] = Field(default_factory=dict, repr=False)

    def wanted(self) -> Wanted:
        return Wanted(self.url, self.events, self.session_id, self.headers)


class ChangeWebhook(Body):
    """Body of `PATCH /api/webhooks/{webhook_id}`. What is not there stays."""

    url: str | None = None
    events: _Events | None = None
    headers: dict[str, str] | None = Field(None, repr=False)
    enabled: bool | None = None

    def changes(self) -> Changes:
        return Changes(self.url, self.events, self.headers, self.enabled)


class ReplayDeliveries(Body):
    """Body of `POST /api/webhooks/{webhook_id}/replay`; without events all dead letters."""

    events: Annotated[list[str], Field(min_length=1, max_length=REPLAYED_MAX)] | None = None


class ListDeliveries(Query):
    """Query of `GET /api/webhooks/{webhook_id}/deliveries`."""

    state: Literal["pending", "delivered", "dead"] | None = None
    limit: int = Field(PAGE_MESSAGES_DEFAULT, ge=1, le=LISTED_MAX)
    before: Time | None = None
