"""The shapes of the API's answers about events and alerts. What holds for answers.py holds here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import with_config
from typing_extensions import TypedDict

from keepline.domain.alert_rules import Rule
from keepline.domain.alerts import AlertState
from keepline.domain.events import EventKind, Severity
from keepline_functions.answers import At, shape


@with_config(
    shape(
        event_id="session_disconnected_kw2qa7ivnbzyvw3bm72gyhx3lg",
        kind="session_disconnected",
        at="2026-03-01T12:00:00.000Z",
        severity="warning",
        user_id="anna",
        session_id="support",
        subject="anna_support",
        code="socket_closed",
        sentence="support lost its connection to WhatsApp (socket_closed).",
        next_step="Nothing to do if it comes back by itself; else look at the session's status.",
        details={"code": "socket_closed"},
    )
)
class EventJson(TypedDict):
    """Something that happened."""

    event_id: str
    kind: EventKind
    at: At
    severity: Severity
    user_id: str | None
    """Whose; null for the installation's."""
    session_id: str | None
    subject: str
    """What it happened to: an account, a connector, a target of the uptime checks, a channel."""
    code: str
    sentence: str
    next_step: str
    details: dict[str, Any]


@with_config(shape())
class EventsJson(TypedDict):
    """A page of events, the newest first."""

    events: list[EventJson]
    next_before: At | None
    """Give it as `before` to get the next page; null at the end."""


@with_config(
    shape(
        alert_id="session_banned_kw2qa7ivnbzyvw3bm72gyhx3lg_1",
        rule="session_banned",
        subject="anna_support",
        user_id="anna",
        session_id="support",
        severity="critical",
        state="open",
        code="session_banned",
        sentence="WhatsApp has banned the number of support for a while.",
        next_step="Wait for the ban to end, then send more slowly.",
        details={},
        opened_at="2026-03-01T12:00:00.000Z",
        last_seen_at="2026-03-01T12:05:00.000Z",
        closed_at=None,
        count=6,
        acknowledged_at=None,
        acknowledged_by=None,
    )
)
class AlertJson(TypedDict):
    """A condition that somebody should know of."""

    alert_id: str
    rule: Rule
    subject: str
    """What it is about: an account, a connector, a target of the uptime checks, a channel."""
    user_id: str | None
    """Whose; null for the installation's."""
    session_id: str | None
    severity: Severity
    state: AlertState
    code: str
    sentence: str
    next_step: str
    details: dict[str, Any]
    opened_at: At
    last_seen_at: At
    closed_at: At | None
    count: int
    """In how many of the rounds, one a minute, it was seen."""
    acknowledged_at: At | None
    acknowledged_by: str | None


@with_config(shape())
class AlertsJson(TypedDict):
    """A page of alerts, the newest first."""

    alerts: list[AlertJson]
    next_before: At | None
    """Give it as `before` to get the next page; null at the end."""


@with_config(shape(value=10, usual=10, least=1, most=1000))
class ThresholdJson(TypedDict):
    """A threshold of a rule."""

    value: float
    """What holds."""
    usual: float
    """What holds when nobody says another."""
    least: float
    most: float


@with_config(shape(begins="22:00", ends="07:00", time_zone="Europe/Bucharest"))
class QuietHoursJson(TypedDict):
    """From when to when nothing is told that can wait, by the clocks of a place."""

    begins: str
    ends: str
    time_zone: str


@with_config(shape())
class AlertSettingsJson(TypedDict):
    """What an owner of alerts has chosen."""

    thresholds: dict[str, ThresholdJson]
    quiet_hours: QuietHoursJson | None


@with_config(
    shape(
        channel_id="chk4q2m3zt6b7r5xoe",
        name="On call",
        kind="address",
        shown="mailtos://…",
        webhook_id=None,
        least="warning",
        state="good",
        failures=0,
        failing_since=None,
        error=None,
        told_at="2026-03-01T12:00:00.000Z",
        created_at="2026-03-01T11:00:00.000Z",
    )
)
class ChannelJson(TypedDict):
    """Somebody who is told of alerts."""

    channel_id: str
    name: str
    kind: Literal["address", "webhook"]
    shown: str
    """What may be shown of the address; the rest may be secret."""
    webhook_id: str | None
    least: Severity
    """What is milder is not told there."""
    state: Literal["good", "failing"]
    failures: int
    """In a row."""
    failing_since: At | None
    error: str | None
    """`not_taken`, `timeout`, `address_not_allowed`, `bad_address`, `address_unreadable`, `key_unavailable`, `webhook_gone` or
    `store_unavailable`; null while it is good."""
    told_at: At | None
    """When it was last told something."""
    created_at: At


@with_config(shape())
class ChannelsJson(TypedDict):
    """The channels, the oldest first."""

    channels: list[ChannelJson]


@with_config(shape(told=True, error=None, duration_ms=431))
class ChannelTestJson(TypedDict):
    """What became of a test."""

    told: bool
    error: str | None
    duration_ms: int
