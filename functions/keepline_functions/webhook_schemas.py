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
    """`https://`, at a public address."""
    events: _Events
    """`message`, `message.any`, `message.ack`, `message.reaction`, `message.edited`, `message.revoked`, `group.join`,
    `group.leave`, `group.participants`, `group.update`, `call.received`, `session.status`; `*` for all, those of later
    versions too."""
    session_id: str | None = None
    """Of this session only."""
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """Up to 10 that each call carries besides its own."""

    def wanted(self) -> Wanted:
        return Wanted(self.url, self.events, self.session_id, self.headers)


class ChangeWebhook(Body):
    """Body of `PATCH /api/webhooks/{webhook_id}`. What is not there stays."""

    url: str | None = None
    """`https://`, at a public address."""
    events: _Events | None = None
    """As for a new one."""
    headers: dict[str, str] | None = Field(None, repr=False)
    """All of them; those that are not named are gone."""
    enabled: bool | None = None
    """Whether it is called."""

    def changes(self) -> Changes:
        return Changes(self.url, self.events, self.headers, self.enabled)


class ReplayDeliveries(Body):
    """Body of `POST /api/webhooks/{webhook_id}/replay`; without events all dead letters."""

    events: Annotated[list[str], Field(min_length=1, max_length=REPLAYED_MAX)] | None = None
    """The ids of dead letters."""


class ListDeliveries(Query):
    """Query of `GET /api/webhooks/{webhook_id}/deliveries`."""

    state: Literal["pending", "delivered", "dead"] | None = None
    """Only those in this state."""
    limit: int = Field(PAGE_MESSAGES_DEFAULT, ge=1, le=LISTED_MAX)
    """How many at a time."""
    before: Time | None = None
    """Only what is older; give the `next_before` of one page to get the next."""
