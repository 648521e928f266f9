"""What is watched, as JSON. Values of headers are not shown."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from keepline.domain.uptime_ledger import Figures
from keepline.records.uptime import Outage, Target
from keepline.usecases.uptime_targets import DayView, TargetStory, TargetView, UptimeView
from keepline_functions.answers import ReasonJson
from keepline_functions.recovery_views import recovery_json
from keepline_functions.uptime_answers import (
    FiguresJson,
    IncidentJson,
    PeriodsJson,
    TargetJson,
    TargetSettingsJson,
    TargetStoryJson,
    UptimeDayJson,
    UptimeJson,
)
from keepline_functions.views import rfc3339

_NOTHING = "Nothing to do."
_LOOK_AT_IT = "Look at the service and its log."
# Why a target is as it is, in words, and what a person can do.
REASONS = {
    "answers": ("It answers as it should.", _NOTHING),
    "slow": ("Half of its checks are slow or fail.", "Look at what it is busy with."),
    "timeout": ("It does not answer in time.", _LOOK_AT_IT),
    "connection_failed": ("No connection comes about, or it breaks.", _LOOK_AT_IT),
    "unknown_host": ("Its name leads nowhere.", "Check the address and the name's DNS records."),
    "tls_failed": ("No secure connection comes about.", "Check its certificate: it may be over."),
    "no_http_answer": ("What it answers is no HTTP.", "Check the address and the port."),
    "address_not_allowed": (
        "Its name leads to a private address, and this installation asks nothing there.",
        "Use a public address; or allow private ones with KEEPLINE_PRIVATE_ADDRESSES.",
    ),
    "bad_status": ("It answers with another status than it should.", _LOOK_AT_IT),
    "text_missing": ("The text that it should answer is not there.", _LOOK_AT_IT),
    "lease_ran_out": (
        "The connector has not been heard of since its last heartbeat.",
        "Others have taken its devices where there are others; look at its log.",
    ),
    "stopped": ("The connector was stopped.", "Start it, if it should run."),
    "disabled": ("It is not watched.", "PATCH it with enabled true to watch it again."),
    "not_checked_yet": ("It has not been checked yet.", "The first check comes within a minute."),
    "secrets_unreadable": ("Its headers cannot be opened, so it is not asked.", "Give the headers anew."),
}


def uptime_json(view: UptimeView) -> UptimeJson:
    """All targets."""
    return {
        "at": rfc3339(view.at),
        "watched_until": rfc3339(view.watched_until) if view.watched_until else None,
        "targets": [target_json(one) for one in view.targets],
    }


def target_json(view: TargetView) -> TargetJson:
    """A target with its figures."""
    target, condition, check = view.target, view.target.condition, view.target.check
    return {
        "target_id": target.id,
        "name": target.name,
        "kind": cast("Any", target.kind),
        "enabled": target.enabled,
        "state": condition.state,
        "since": rfc3339(condition.since),
        "reason": reason_json("disabled" if not target.enabled else condition.code),
        "checked_at": _time(target.checked_at),
        "response_ms": target.response_ms,
        "degrading_since": _time(condition.degrading_since),
        "outage_id": target.outage,
        "check": cast("Any", check.as_fields()) if check else None,
        "settings": _settings_json(target),
        "uptime": cast("PeriodsJson", {name: figures_json(found) for name, found in view.periods.items()}),
        "budget": {
            "slo": view.budget.slo,
            "days": view.budget.days,
            "allowed_s": round(view.budget.allowed_s, 3),
            "used_s": round(view.budget.used_s, 3),
            "left_s": round(view.budget.left_s, 3),
        },
    }


def story_json(story: TargetStory) -> TargetStoryJson:
    """A target with all that is on record of it."""
    return {
        **target_json(story.view),
        "longest_outage_s": _seconds(story.longest_outage_s),
        "mttr_s": _seconds(story.mean_repair_s),
        "days": [_day_json(day) for day in story.days],
        "months": [{"month": f"{month:%Y-%m}", **figures_json(found)} for month, found in story.months],
        "recent": [
            {"at": rfc3339(sample.at), "response_ms": sample.ms, "ok": sample.ok}
            for sample in story.view.target.condition.recent
        ],
        "incidents": [_incident_json(outage, story.at) for outage in story.outages],
        "recoveries": [recovery_json(one) for one in story.recoveries],
    }


def figures_json(found: Figures) -> FiguresJson:
    """A period."""
    return {
        # Rounded down: what was not up all the time is not shown as if it had been.
        "uptime": int(found.uptime * 1e6) / 1e6 if found.uptime is not None else None,
        "down_s": round(found.down_s, 3),
        "watched_s": round(found.watched_s, 3),
        "not_watched_s": round(found.not_watched_s, 3),
        "outages": found.outages,
    }


def reason_json(code: str) -> ReasonJson:
    """A code with its words."""
    sentence, next_step = REASONS[code]
    return {"code": code, "sentence": sentence, "next_step": next_step}


def _settings_json(target: Target) -> TargetSettingsJson:
    settings = target.settings
    found = {"preset": settings.preset, **asdict(settings.pace), "slo": settings.slo}
    return cast("TargetSettingsJson", found)


def _day_json(day: DayView) -> UptimeDayJson:
    counts = day.counts
    return {
        "date": day.day.isoformat(),
        **figures_json(day.figures),
        "checks": counts.checks,
        "failures": counts.failures,
        "response": {
            "average_ms": counts.average_ms,
            "p95_ms": counts.p95_ms,
            "max_ms": counts.max_ms if counts.average_ms is not None else None,
        },
    }


def _incident_json(outage: Outage, now: datetime) -> IncidentJson:
    ended_at = outage.ended_at
    return {
        "outage_id": outage.id,
        "began_at": rfc3339(outage.began_at),
        "ended_at": _time(ended_at),
        "down_s": round(max(0.0, ((ended_at or now) - outage.began_at).total_seconds()), 3),
        "detected_at": rfc3339(outage.detected_at),
        "detected_by": outage.detected_by,
        "reason": reason_json(outage.code),
    }


def _time(at: datetime | None) -> str | None:
    return rfc3339(at) if at else None


def _seconds(seconds: float | None) -> float | None:
    return round(seconds, 3) if seconds is not None else None
