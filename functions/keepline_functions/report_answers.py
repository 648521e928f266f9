"""The shapes of answers about daily reports."""

from __future__ import annotations

from typing import (
    Annotated,
    Literal,
    NotRequired,  # pydantic takes typing's own from Python 3.12 on
)

from pydantic import Field, with_config
from typing_extensions import TypedDict

from keepline_functions.answers import At, shape

_DAY = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2026-11-21"])]


@with_config(
    shape(
        share=0.99921,
        watched_s=172800.0,
        downtime_s=136.5,
        longest_s=80.0,
        degraded_s=12.0,
        disconnects=4,
        reconnects=4,
    )
)
class ReportUptimeJson(TypedDict):
    """How long sessions were connected, of the time in which they were linked."""

    share: float | None
    """0 to 1; null when none was linked."""
    watched_s: float
    """How long they were linked, all together."""
    downtime_s: float
    longest_s: float
    """The longest outage."""
    degraded_s: float
    """Up, and working badly."""
    disconnects: int
    reconnects: int


@with_config(
    shape(
        accepted=1240,
        sent=1229,
        delivered=1214,
        read=801,
        failed=4,
        expired=1,
        cancelled=1,
        in_doubt=0,
        waiting=5,
        received=812,
    )
)
class MessageCountsJson(TypedDict):
    """The messages that were accepted on the day, and where they stood when the report was made."""

    accepted: int
    sent: int
    """Those that WhatsApp has taken; delivered and read ones too."""
    delivered: int
    """Those that a phone has; read ones too."""
    read: int
    """Those that were shown or played."""
    failed: int
    expired: int
    cancelled: int
    in_doubt: int
    waiting: int
    received: int
    """Messages that others wrote on the day."""


@with_config(shape(measured=1229, p50_s=0.041, p95_s=1.9, max_s=82.4))
class DelaysJson(TypedDict):
    """Seconds from a message's turn (when it was accepted, or its `send_at`) to WhatsApp's acknowledgement."""

    measured: int
    """How many messages that is from: all of the day's, or, of more than 1,000 of a session, the last 50 of each hour."""
    p50_s: float
    """Half of them took no longer."""
    p95_s: float
    max_s: float


@with_config(shape(delivered=2041, failed=3, waiting=0))
class WebhookCountsJson(TypedDict):
    """Events for webhooks that were queued on the day, and where they stood."""

    delivered: int
    failed: int
    waiting: int


@with_config(shape(name="firestore_writes", quantity=12040, unit="writes", usd=0.0217))
class CostPartJson(TypedDict):
    """One line of the estimate."""

    name: str
    quantity: float
    unit: str
    usd: float


@with_config(shape())
class CostJson(TypedDict):
    """What the day cost by Google's price lists: an estimate from counted operations."""

    usd: Annotated[float, Field(examples=[0.0312])]
    parts: list[CostPartJson]
    """The dearest first."""
    prices_of: _DAY
    """When the lists were looked up."""


_From = TypedDict("_From", {"from": At})


@with_config(shape(accepted=12, received=3, downtime_s=0.0, **{"from": "2026-11-20T22:00:00.000Z"}))
class HourJson(_From):
    """One hour of the day."""

    accepted: int
    received: int
    downtime_s: float
    """Of all sessions together."""


@with_config(shape())
class SessionDayJson(TypedDict):
    """What one session did on the day."""

    session_id: Annotated[str, Field(examples=["support"])]
    user_id: Annotated[str, Field(examples=["anna"])]
    uptime: ReportUptimeJson
    messages: MessageCountsJson
    delays: DelaysJson | None
    doubts: int
    bans: int
    rate_signals: int
    dead_letters: int


@with_config(shape(state="told", at="2026-11-21T22:07:04.000Z", attempts=1))
class ToldJson(TypedDict):
    """Whether it was sent to the channels."""

    state: Literal["pending", "telling", "told", "off", "failed"]
    """`off`: it is switched off, or there is no channel."""
    at: At | None
    attempts: int


_Bounds = TypedDict("_Bounds", {"from": At, "to": At})


@with_config(shape())
class ReportJson(_Bounds):
    """What a day was like. Its `hours` and `sessions` are left out of lists."""

    report_id: Annotated[str, Field(examples=["anna_2026-11-21"])]
    user_id: Annotated[str | None, Field(examples=["anna"])]
    """Whose; null for the installation's, over all users."""
    date: _DAY
    time_zone: Annotated[str, Field(examples=["Europe/Bucharest"])]
    """Whose day it is."""
    made_at: At
    sessions_total: int
    uptime: ReportUptimeJson
    messages: MessageCountsJson
    delays: DelaysJson | None
    """Null when nothing was sent."""
    doubts: int
    """How often it had to be found out whether a message had left."""
    bans: int
    rate_signals: int
    """How often WhatsApp said that a number sends too much."""
    dead_letters: int
    """All that there were when the report was made."""
    limit_minutes: Annotated[dict[str, int], Field(examples=[{"messages": 12}])]
    """In how many minutes each of the user's limits was hit."""
    webhooks: WebhookCountsJson
    cost: CostJson
    hours: NotRequired[list[HourJson]]
    sessions: NotRequired[list[SessionDayJson]]
    """The 100 with the most downtime, then the busiest."""
    told: ToldJson


@with_config(shape())
class ReportsJson(TypedDict):
    """Reports, the newest first."""

    reports: list[ReportJson]
    next_before: Annotated[str | None, Field(json_schema_extra={"format": "date"}, examples=["2026-10-22"])]
    """Ask for the next page with this as `before`; null on the last one."""


@with_config(shape(enabled=True, time_zone="Europe/Bucharest", next_report_at="2026-11-22T22:05:00.000Z"))
class ReportSettingsJson(TypedDict):
    """How the reports are wanted."""

    enabled: bool
    """Whether they are sent to the channels; they are made in any case."""
    time_zone: str
    next_report_at: At
    """When the present day's can be there."""
