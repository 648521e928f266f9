"""The shapes of the API's answers about uptime. What holds for answers.py holds here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from keepline.domain.uptime_checks import State
from keepline_functions.answers import At, ReasonJson, shape
from keepline_functions.recovery_answers import RecoveryJson

_Share = Annotated[float | None, Field(examples=[0.9998])]


@with_config(shape(uptime=0.9998, down_s=120.5, watched_s=604_000.0, not_watched_s=800.0, outages=1))
class FiguresJson(TypedDict):
    """A period, from the outages on record."""

    uptime: _Share
    """The share of the time that is known of; null when nobody watched."""
    down_s: float
    """In outages."""
    watched_s: float
    """The time that is known of: in which it was watched, or an outage lasted."""
    not_watched_s: float
    """In which nobody watched. It is neither up nor down."""
    outages: int


@with_config(shape())
class PeriodsJson(TypedDict):
    """The last 24 hours, 7, 30 and 90 days."""

    day: FiguresJson
    week: FiguresJson
    month: FiguresJson
    quarter: FiguresJson


@with_config(shape(slo=0.999, days=30, allowed_s=2592.0, used_s=120.5, left_s=2471.5))
class BudgetJson(TypedDict):
    """What the target may be down and keep its objective."""

    slo: float
    days: int
    allowed_s: float
    used_s: float
    left_s: float
    """Negative when it is overspent."""


@with_config(
    shape(
        preset="balanced",
        interval_s=5,
        failures_until_down=3,
        successes_until_up=2,
        slow_ms=1000,
        timeout_ms=3000,
        degradation_window_s=120,
        slo=0.999,
    )
)
class TargetSettingsJson(TypedDict):
    """How a target is judged, the preset's values included."""

    preset: Literal["conservative", "balanced", "aggressive"]
    interval_s: int
    failures_until_down: int
    successes_until_up: int
    slow_ms: int
    timeout_ms: int
    degradation_window_s: int
    slo: float


@with_config(
    shape(
        url="https://shop.example.com/health", method="GET", expected_status=[200], text=None, headers=["Authorization"]
    )
)
class TargetCheckJson(TypedDict):
    """How a target by URL is asked."""

    url: str
    method: Literal["GET", "HEAD", "POST"]
    expected_status: list[int]
    text: str | None
    headers: list[str]
    """The names; the values are not shown."""


@with_config(shape())
class TargetJson(TypedDict):
    """Something that is watched."""

    target_id: Annotated[str, Field(examples=["connector_connector-1"])]
    name: Annotated[str, Field(examples=["connector-1"])]
    kind: Literal["connector", "api", "url"]
    """The first two are Keepline's own, watched by themselves."""
    enabled: bool
    state: State
    since: At
    reason: ReasonJson
    checked_at: At | None
    """The last check that is on record: written at each change, and once a minute."""
    response_ms: int | None
    """Its answer's time; of a connector the age of its heartbeat."""
    degrading_since: At | None
    """Since when its answers slow down so that they will be slow within minutes."""
    outage_id: str | None
    """The outage that is open."""
    check: TargetCheckJson | None
    """Null for Keepline's own."""
    settings: TargetSettingsJson
    uptime: PeriodsJson
    budget: BudgetJson


@with_config(shape())
class UptimeJson(TypedDict):
    """All that is watched, Keepline's own parts first."""

    at: At
    watched_until: At | None
    """The end of the last run that is on record, or the begin of the present one; null before the first."""
    targets: list[TargetJson]


@with_config(shape(average_ms=42, p95_ms=120, max_ms=900))
class ResponseTimesJson(TypedDict):
    """How long answers took; nulls without any."""

    average_ms: int | None
    p95_ms: int | None
    max_ms: int | None


@with_config(shape())
class UptimeDayJson(FiguresJson):
    """A day in UTC."""

    date: Annotated[str, Field(examples=["2026-11-21"])]
    checks: int
    failures: int
    response: ResponseTimesJson


@with_config(shape())
class UptimeMonthJson(FiguresJson):
    """A month in UTC, as far as the last 90 days go."""

    month: Annotated[str, Field(examples=["2026-11"])]


@with_config(shape(at="2026-11-21T10:47:45.437Z", response_ms=42, ok=True))
class SampleJson(TypedDict):
    """One of the last checks."""

    at: At
    response_ms: int | None
    ok: bool


@with_config(shape())
class IncidentJson(TypedDict):
    """An outage."""

    outage_id: Annotated[str, Field(examples=["o1795776465437"])]
    began_at: At
    """With the first failed check, or the last heartbeat of a connector."""
    ended_at: At | None
    """With the first good check; null while it lasts."""
    down_s: float
    detected_at: At
    detected_by: Annotated[str, Field(examples=["connector-2"])]
    """`uptime`, or the connector that saw it."""
    reason: ReasonJson


@with_config(shape())
class TargetStoryJson(TargetJson):
    """A target with all that is on record of it."""

    longest_outage_s: float | None
    """In 90 days; null without any."""
    mttr_s: float | None
    """The mean of how long outages lasted that are over; null without any."""
    days: list[UptimeDayJson]
    """90, the oldest first."""
    months: list[UptimeMonthJson]
    recent: list[SampleJson]
    """The last checks that are on record, the oldest first; 60 at most."""
    incidents: list[IncidentJson]
    """The newest first; 100 at most."""
    recoveries: list[RecoveryJson]
    """What was done about them, the newest first; 100 at most."""
