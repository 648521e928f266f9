"""Events of the uptime monitor in `monitoring/`, with the name that people gave the target. Told twice, each is one document."""

from __future__ import annotations

from datetime import datetime

from keepline.domain.events import EventKind
from keepline.domain.uptime_ledger import Span
from keepline.ports.documents import Put
from keepline.records.monitoring import event


def outage_began(target: str, name: str, outage: str, at: datetime, code: str) -> Put:
    details = {"name": name, "code": code, "outage": outage}
    return event(EventKind.OUTAGE_BEGAN, f"{target} {outage}", at=at, subject=target, details=details)


def outage_ended(target: str, name: str, outage: str, at: datetime, seconds: float) -> Put:
    details = {"name": name, "seconds": round(seconds, 1), "outage": outage}
    return event(EventKind.OUTAGE_ENDED, f"{target} {outage}", at=at, subject=target, details=details)


def degrading(target: str, name: str, at: datetime) -> Put:
    """Its answers slow down steadily."""
    return event(
        EventKind.TARGET_DEGRADING, f"{target} {at.isoformat()}", at=at, subject=target, details={"name": name}
    )


def run_missed(gap: Span) -> Put:
    """Nobody watched for a time."""
    details = {"missed": f"{gap.seconds:.0f} s"}
    return event(EventKind.RUN_MISSED, gap.begin.isoformat(), at=gap.end, subject="uptime", details=details)
