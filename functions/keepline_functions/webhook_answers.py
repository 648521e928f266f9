"""The shapes of the API's answers about webhooks. What holds for answers.py holds here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from keepline.domain.webhook_policy import DeliveryState
from keepline_functions.answers import At, ReasonJson, shape


@with_config(shape(state="good", failures=0, failures_before_rest=10, rests_until=None))
class EndpointJson(TypedDict):
    """How a webhook's endpoint fares."""

    state: Literal["good", "failing", "resting"]
    failures: int
    """In a row."""
    failures_before_rest: int
    rests_until: At | None
    """Null while it does not rest."""


@with_config(
    shape(
        webhook_id="wk4q2m3zt6b7r5xoe",
        session_id="support",
        url="https://example.com/keepline",
        events=["message", "message.ack", "session.status"],
        headers=["Authorization"],
        enabled=True,
        disabled=None,
        endpoint={"state": "good", "failures": 0, "failures_before_rest": 10, "rests_until": None},
        created_at="2026-03-01T12:00:00.000Z",
    )
)
class WebhookJson(TypedDict):
    """An address that is told of what happens."""

    webhook_id: str
    session_id: str | None
    """Null: of all of the user's sessions."""
    url: str
    events: list[str]
    headers: list[str]
    """The names of its own headers; their values are not shown."""
    enabled: bool
    disabled: ReasonJson | None
    """Why Keepline has switched it off; or null."""
    endpoint: EndpointJson
    created_at: At


@with_config(shape())
class MadeWebhookJson(WebhookJson):
    """A webhook with its new secret. No other answer has it."""

    secret: Annotated[str, Field(examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"])]
    """What its calls are signed with (Standard Webhooks)."""


@with_config(shape())
class WebhooksJson(TypedDict):
    """The user's webhooks, the oldest first."""

    webhooks: list[WebhookJson]


@with_config(shape(delivered=True, status=200, error=None, duration_ms=43))
class WebhookTestJson(TypedDict):
    """What became of a test call."""

    delivered: bool
    status: int | None
    """Null without an HTTP answer."""
    error: str | None
    """`timeout`, `connection_failed`, `unknown_host`, `tls_failed`, `no_http_answer`, `address_not_allowed` or
    `secrets_unreadable`; null with an HTTP answer."""
    duration_ms: int


@with_config(shape(at="2026-03-01T12:00:00.000Z", status=500, error=None, duration_ms=12))
class TryJson(TypedDict):
    """One call of an endpoint."""

    at: At
    status: int | None
    error: str | None
    duration_ms: int


@with_config(shape())
class DeliveryJson(TypedDict):
    """An event on its way to a webhook."""

    event_id: Annotated[str, Field(examples=["evt_kw2qa7ivnbzyvw3bm72gyhx3lg"])]
    """The same in every call that tells of it."""
    type: Annotated[str, Field(examples=["message"])]
    session_id: Annotated[str | None, Field(examples=["support"])]
    chat: Annotated[str | None, Field(examples=["14155550123@s.whatsapp.net"])]
    state: DeliveryState
    attempts: int
    queued_at: At
    settled_at: At | None
    """When it was delivered or given up."""
    tries: list[TryJson]
    """The last 10, the oldest first."""


@with_config(shape())
class DeliveriesJson(TypedDict):
    """A page of a webhook's log, the newest first."""

    deliveries: list[DeliveryJson]
    next_before: At | None
    """Give it as `before` to get the next page; null at the end."""


@with_config(shape(replayed=3))
class ReplayedJson(TypedDict):
    """How many dead letters are delivered after all."""

    replayed: int
