"""`uptime/{target}`: what is watched and how it is, with `outages`, `gaps` and `days` below it.

A target's document is written when its state changes and once for each run of a minute, not for each check: what the checks of
the present day come to stands in its field `today`, and moves to `days/{date}` when the day is over. All of it is the
installation's: `tenant` is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from keepline.domain.uptime_checks import BALANCED, Condition, Pace, Sample, State, pace_of
from keepline.domain.uptime_counts import DayCounts
from keepline.domain.uptime_ledger import Span, day_span
from keepline.ports.documents import SERVER_TIME, Create, Delete, Document, Put, Query, Update, Version, Where
from keepline.records.connectors import ConnectorBeat
from keepline.records.webhooks import SealedSecrets

UPTIME = "uptime"
OUTAGES = "outages"
GAPS = "gaps"
DAYS = "days"
# As many are watched at once. Each is a task of its own in the process of the run, so none waits for another.
TARGETS_MAX = 100
# A month and its neighbours of a year ago can still be compared.
KEPT_FOR = timedelta(days=400)
OPEN_OUTAGES_MAX = TARGETS_MAX
# More in 90 days than these, of all targets or of one: figures then begin where the list of them ends.
OUTAGES_READ_MAX = 5_000
OUTAGES_OF_TARGET_MAX = 1_000
DAYS_READ_MAX = 92
SLO_DEFAULT = 0.999

CONNECTOR = "connector"
API = "api"
URL = "url"
API_TARGET = "api"


def target_path(target: str) -> str:
    return f"{UPTIME}/{target}"


def target_of_connector(connector: str) -> str:
    return f"connector_{connector}"


@dataclass(frozen=True)
class HttpCheck:
    """What is asked of a target by URL, and what it must answer. The headers' values are sealed elsewhere."""

    url: str
    method: str
    expected_status: tuple[int, ...]
    text: str | None
    headers: tuple[str, ...] = ()

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> HttpCheck:
        return cls(
            fields["url"],
            fields["method"],
            tuple(fields["expected_status"]),
            fields["text"],
            tuple(fields["headers"]),
        )

    def as_fields(self) -> dict[str, Any]:
        return asdict(self) | {"expected_status": list(self.expected_status), "headers": list(self.headers)}


@dataclass(frozen=True)
class Settings:
    """How a target is judged: a preset, what differs from it, and the objective that its error budget is made of."""

    preset: str = BALANCED
    overrides: Mapping[str, int] = field(default_factory=dict)
    slo: float = SLO_DEFAULT

    @property
    def pace(self) -> Pace:
        return pace_of(self.preset, self.overrides)

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Settings:
        overrides = {name: value for name, value in fields.items() if name not in ("preset", "slo")}
        return cls(fields["preset"], overrides, fields["slo"])

    def as_fields(self) -> dict[str, Any]:
        return {**self.overrides, "preset": self.preset, "slo": self.slo}


@dataclass(frozen=True)
class Target:
    """Something that is watched. `told` is the verdict that recovery was told last, `outage` the id of the one that is open.

    `watched_until`: checks came at their times until then.
    """

    id: str
    name: str
    kind: str
    connector: str | None
    enabled: bool
    check: HttpCheck | None
    secrets: SealedSecrets | None = field(repr=False)
    settings: Settings
    condition: Condition = field(repr=False)
    outage: str | None
    checked_at: datetime | None
    response_ms: int | None
    told: str | None
    watched_until: datetime
    today: DayCounts = field(repr=False)
    created_at: datetime
    version: Version

    @classmethod
    def read(cls, document: Document) -> Target:
        fields = document.fields
        secrets = fields["secrets"]
        return cls(
            id=document.id,
            name=fields["name"],
            kind=fields["kind"],
            connector=fields["connector"],
            enabled=fields["enabled"],
            check=HttpCheck.read(fields["check"]) if fields["check"] else None,
            secrets=SealedSecrets(secrets["wrapped_key"], secrets["sealed"]) if secrets else None,
            settings=Settings.read(fields["settings"]),
            condition=_condition(fields),
            outage=fields["outage"],
            checked_at=fields["checked_at"],
            response_ms=fields["response_ms"],
            told=fields["told"],
            watched_until=fields["watched_until"],
            today=read_counts(fields["today"]),
            created_at=fields["created_at"],
            version=document.version,
        )


def new_target(
    target: str,
    now: datetime,
    *,
    name: str,
    kind: str,
    settings: Settings,
    connector: str | None = None,
    region: str | None = None,
    check: HttpCheck | None = None,
    secrets: SealedSecrets | None = None,
) -> Create:
    """A target that has not been checked yet."""
    fields = {
        "tenant": None,
        "name": name,
        "kind": kind,
        "connector": connector,
        "region": region,
        "check": check.as_fields() if check else None,
        "secrets": vars(secrets) if secrets else None,
        "enabled": True,
        "settings": settings.as_fields(),
        "recovery": None,
        "created_at": now,
        "watched_until": now,
        "checked_at": None,
        "response_ms": None,
        "outage": None,
        "told": None,
        "today": counts_fields(DayCounts(now.astimezone(UTC).date())),
    }
    return Create(target_path(target), fields | _condition_fields(Condition(State.UNKNOWN, now)))


def changed_settings(target: Target, fields: Mapping[str, Any]) -> Update:
    """What its operator wants to be different, if nothing has changed meanwhile."""
    return Update(target_path(target.id), fields, target.version)


def removed(target: Target) -> Delete:
    return Delete(target_path(target.id), target.version)


def as_found(
    target: Target,
    *,
    condition: Condition,
    outage: str | None,
    checked_at: datetime | None,
    response_ms: int | None,
    told: str | None,
    watched_until: datetime,
    today: DayCounts,
    version: Version,
) -> Update:
    """How a target is, if nobody has changed its document since `version`."""
    fields = {
        "outage": outage,
        "checked_at": checked_at,
        "response_ms": response_ms,
        "told": told,
        "watched_until": watched_until,
        "today": counts_fields(today),
    }
    return Update(target_path(target.id), fields | _condition_fields(condition), version)


def all_targets() -> Query:
    return Query(UPTIME, limit=TARGETS_MAX)


# Outages


@dataclass(frozen=True)
class Outage:
    """From its first failed check, or the last sign of life, until the first good check. `ended_at` None: it is not over."""

    id: str
    target: str
    began_at: datetime
    ended_at: datetime | None
    detected_at: datetime
    detected_by: str
    code: str
    sentence: str
    version: Version

    @classmethod
    def read(cls, document: Document) -> Outage:
        fields = document.fields
        return cls(
            document.id,
            fields["target"],
            fields["began_at"],
            fields["ended_at"],
            fields["detected_at"],
            fields["detected_by"],
            fields["code"],
            fields["sentence"],
            document.version,
        )


def outage_path(target: str, outage: str) -> str:
    return f"{target_path(target)}/{OUTAGES}/{outage}"


def outage_of(beat: ConnectorBeat) -> str:
    """The id of the outage after this heartbeat: whoever notices it, it is one document."""
    return f"{beat.process}_{beat.beat}"


def outage_at(began_at: datetime) -> str:
    """The id of an outage that checks have found: by when it began."""
    return f"o{round(began_at.timestamp() * 1000)}"


def new_outage(
    target: str,
    outage: str,
    *,
    began_at: datetime,
    detected_by: str,
    code: str,
    sentence: str,
    evidence: Mapping[str, Any],
) -> Create:
    """An outage begins, and is noticed now."""
    return Create(
        outage_path(target, outage),
        {
            "tenant": None,
            "target": target,
            "began_at": began_at,
            "ended_at": None,
            "open": True,
            "detected_at": SERVER_TIME,
            "detected_by": detected_by,
            "code": code,
            "sentence": sentence,
            "evidence": dict(evidence),
            "expire_at": None,
        },
    )


def lease_ran_out(beat: ConnectorBeat, detected_by: str) -> Create:
    """The outage of a connector that was last heard of with this heartbeat."""
    return new_outage(
        target_of_connector(beat.connector),
        outage_of(beat),
        began_at=beat.at,
        detected_by=detected_by,
        code="lease_ran_out",
        sentence=f"The connector {beat.connector} has not been heard of since its last heartbeat.",
        evidence={"process": beat.process, "beat": beat.beat},
    )


def outage_over(target: str, outage: str, ended_at: datetime) -> Update:
    fields = {"open": False, "ended_at": ended_at, "expire_at": ended_at + KEPT_FOR}
    return Update(outage_path(target, outage), fields)


def open_outages() -> Query:
    return Query(OUTAGES, (Where("open", "==", True),), limit=OPEN_OUTAGES_MAX, group=True)


def outages_ended_since(since: datetime) -> Query:
    """Of all targets, the newest first."""
    ended = (Where("ended_at", ">=", since),)
    return Query(OUTAGES, ended, "ended_at", descending=True, limit=OUTAGES_READ_MAX, group=True)


def newest_outages_of(target: str) -> Query:
    """Those of one target, the newest first."""
    return Query(f"{target_path(target)}/{OUTAGES}", (), "began_at", descending=True, limit=OUTAGES_OF_TARGET_MAX)


# Gaps


def gap_path(target: str, gap: Span) -> str:
    return f"{target_path(target)}/{GAPS}/{round(gap.begin.timestamp() * 1000)}"


def not_watched(target: str, gap: Span, reason: str) -> Put:
    """Nobody looked after a target. `reason`: `no_run`, or why there was nothing to look at (`stopped`, `disabled`)."""
    return Put(
        gap_path(target, gap),
        {
            "tenant": None,
            "target": target,
            "from_at": gap.begin,
            "until_at": gap.end,
            "reason": reason,
            "expire_at": gap.end + KEPT_FOR,
        },
    )


def gaps_ended_since(since: datetime) -> Query:
    """Of all targets, the newest first."""
    ended = (Where("until_at", ">=", since),)
    return Query(GAPS, ended, "until_at", descending=True, limit=OUTAGES_READ_MAX, group=True)


def newest_gaps_of(target: str) -> Query:
    """Those of one target, the newest first."""
    return Query(f"{target_path(target)}/{GAPS}", (), "until_at", descending=True, limit=OUTAGES_OF_TARGET_MAX)


def read_gap(document: Document) -> tuple[str, Span]:
    """The target, and the time."""
    return document.fields["target"], Span(document.fields["from_at"], document.fields["until_at"])


# Days


def day_of(target: str, counts: DayCounts) -> Put:
    """A day that is over."""
    return Put(
        f"{target_path(target)}/{DAYS}/{counts.day.isoformat()}",
        {"tenant": None, "target": target, **counts_fields(counts), "expire_at": day_span(counts.day).end + KEPT_FOR},
    )


def days_of(target: str) -> Query:
    """The newest days, the newest first."""
    return Query(f"{target_path(target)}/{DAYS}", (), "date", descending=True, limit=DAYS_READ_MAX)


def read_counts(fields: Mapping[str, Any]) -> DayCounts:
    return DayCounts(
        date.fromisoformat(fields["date"]),
        fields["checks"],
        fields["failures"],
        fields["slow"],
        fields["watched_s"],
        fields["sum_ms"],
        fields["max_ms"],
        tuple(fields["histogram"]),
    )


def counts_fields(counts: DayCounts) -> dict[str, Any]:
    fields = vars(counts) | {"date": counts.day.isoformat(), "histogram": list(counts.histogram)}
    del fields["day"]
    return fields


def _condition(fields: Mapping[str, Any]) -> Condition:
    return Condition(
        state=State(fields["state"]),
        since=fields["since"],
        code=fields["code"],
        failures=fields["failures"],
        failing_since=fields["failing_since"],
        successes=fields["successes"],
        good_since=fields["good_since"],
        outage_began=fields["outage_began"],
        degrading_since=fields["degrading_since"],
        recent=tuple(Sample(one["at"], one["ms"], one["ok"]) for one in fields["recent"]),
    )


def _condition_fields(condition: Condition) -> dict[str, Any]:
    return vars(condition) | {
        "state": condition.state.value,
        "recent": [vars(sample) for sample in condition.recent],
    }
