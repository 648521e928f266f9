"""Events of the uptime monitor in `monitoring/`. Told twice, each is one document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from keepline.domain.uptime_ledger import Span
from keepline.ports.documents import SERVER_TIME, Put
from keepline.records.monitoring import event_path

KEPT_FOR = timedelta(days=90)


def outage_began(target: str, outage: str, at: datetime, code: str) -> Put:
    return _event(
        f"outage_began_{target}_{outage}",
        "outage_began",
        at,
        target,
        "critical",
        f"{target} is down ({code}).",
        "Look at the target's page; recovery acts by itself where it is set up.",
        {"code": code, "outage": outage},
    )


def outage_ended(target: str, outage: str, at: datetime, seconds: float) -> Put:
    return _event(
        f"outage_ended_{target}_{outage}",
        "outage_ended",
        at,
        target,
        "info",
        f"{target} is up again after {seconds:.1f} s.",
        "Nothing to do.",
        {"seconds": round(seconds, 3), "outage": outage},
    )


def degrading(target: str, at: datetime) -> Put:
    return _event(
        f"target_degrading_{target}_{round(at.timestamp() * 1000)}",
        "target_degrading",
        at,
        target,
        "warning",
        f"{target} answers more and more slowly.",
        "Look at what it is busy with; recovery restarts it where somebody can take over.",
        {},
    )


def run_missed(gap: Span) -> Put:
    """Nobody watched for a time."""
    return _event(
        f"run_missed_{round(gap.begin.timestamp() * 1000)}",
        "run_missed",
        gap.end,
        "uptime",
        "warning",
        f"Nobody watched for {gap.seconds:.0f} s: no run of the uptime monitor took place.",
        "Look at the schedule every minute, its topic and the log of the function uptime-checks.",
        {"missed": round(gap.seconds / 60), "seconds": round(gap.seconds, 3)},
    )


def _event(
    event: str,
    kind: str,
    at: datetime,
    subject: str,
    severity: str,
    sentence: str,
    next_step: str,
    details: Mapping[str, Any],
) -> Put:
    return Put(
        event_path(event),
        {
            "kind": kind,
            "at": at,
            "severity": severity,
            "tenant": None,
            "subject": subject,
            "account": None,
            "session_id": None,
            "code": kind,
            "sentence": sentence,
            "next_step": next_step,
            "details": dict(details),
            "recorded_at": SERVER_TIME,
            "expire_at": at + KEPT_FOR,
        },
    )
