"""What lies in the past of the pictures: written into the emulator by the records' own writers, the same at each run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from keepline.adapters.firestore import FirestoreDocuments
from keepline.domain.recovery import Phase, Reason, Recovery, Step, StepState, Way
from keepline.domain.uptime_counts import BOUNDS_MS, DayCounts
from keepline.ports.documents import Create, Update, Write
from keepline.records import recoveries, reports, uptime
from keepline_local.run_file import Run

from ..e2e.keepline import Api, eventually

DAYS = 90
# The monitor adds the installation's own targets with its first run, which is a minute away at most.
TARGETS_WAIT_S = 100.0
OURS = ("api", "connector_connector-1", "connector_connector-2")
# Days ago, at this hour, for so many seconds.
OUTAGES = {
    "connector_connector-1": ((61, 3, 95.0), (23, 14, 41.0), (6, 9, 18.0)),
    "api": ((47, 2, 380.0), (12, 20, 24.0)),
    "shop": ((70, 11, 5_400.0), (33, 16, 640.0), (32, 8, 45.0), (3, 4, 130.0)),
}
USUAL_MS = {"connector_connector-1": 460, "connector_connector-2": 440, "api": 14, "shop": 120}
REPORT_DAYS = 21


def write(run: Run) -> None:
    """Ninety days of uptime and three weeks of reports."""
    api = Api(run.api, run.api_key)

    def ids() -> dict[str, str] | None:
        targets = {one["target_id"]: one for one in api.json("GET", "/api/uptime")["targets"]}
        shop = next((one for one, target in targets.items() if target["name"] == "Online shop"), None)
        return {**{one: one for one in OURS}, "shop": shop} if shop and targets.keys() >= set(OURS) else None

    names = eventually(ids, "the targets are there", TARGETS_WAIT_S)
    asyncio.run(_commit(run, [*_uptime(names), *_reports(run.user_id)]))


async def _commit(run: Run, writes: list[Write]) -> None:
    store = FirestoreDocuments(run.project)
    try:
        for begin in range(0, len(writes), 200):
            await store.commit(writes[begin : begin + 200])
    finally:
        await store.close()


def _uptime(names: dict[str, str]) -> Iterator[Write]:
    dice = random.Random(7)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for name, target in names.items():
        yield Update(uptime.target_path(target), {"created_at": today - timedelta(days=DAYS)})
        for ago in range(1, DAYS):
            yield uptime.day_of(target, _day((today - timedelta(days=ago)).date(), USUAL_MS[name], dice))
        for ago, hour, seconds in OUTAGES.get(name, ()):
            began_at = today - timedelta(days=ago) + timedelta(hours=hour, minutes=dice.randrange(60))
            yield _outage(target, began_at, timedelta(seconds=seconds))
            if name.startswith("connector"):
                yield recoveries.write_recovery(_recovery(target, name, began_at, timedelta(seconds=seconds)))


def _day(day: date, usual_ms: int, dice: random.Random) -> DayCounts:
    """A day with a check every five seconds, whose answers come as fast as usual or a little slower."""
    checks = 17_280
    average = round(usual_ms * dice.uniform(0.9, 1.25))
    bucket = next((number for number, bound in enumerate(BOUNDS_MS) if average <= bound), len(BOUNDS_MS) - 2)
    histogram = [0] * (len(BOUNDS_MS) + 1)
    slower = round(checks * dice.uniform(0.02, 0.09))
    histogram[bucket], histogram[bucket + 1] = checks - slower, slower
    slowest = round(BOUNDS_MS[bucket + 1] * dice.uniform(0.5, 0.95))
    return DayCounts(day, checks, 0, 0, 86_400.0, average * checks, slowest, tuple(histogram))


def _outage(target: str, began_at: datetime, lasted: timedelta) -> Create:
    """One that is over, and was found out after four seconds."""
    outage = uptime.new_outage(
        target,
        uptime.outage_at(began_at),
        began_at=began_at,
        detected_by="uptime-checks",
        code="timeout",
        sentence="It did not answer in time.",
        evidence={},
    )
    over = uptime.outage_over(target, uptime.outage_at(began_at), began_at + lasted)
    return replace(outage, fields={**outage.fields, "detected_at": began_at + timedelta(seconds=4), **over.fields})


def _recovery(target: str, name: str, began_at: datetime, lasted: timedelta) -> Recovery:
    opened_at, ended_at = began_at + timedelta(seconds=4), began_at + lasted
    restarted = Step(Way.RESTART, 1, StepState.DONE, opened_at, ended_at - timedelta(seconds=5), "answered 200")
    redeployed = Step(Way.REDEPLOY, 1, StepState.CALLED_OFF, opened_at, ended_at, "restart was first")
    return Recovery(
        id=f"{began_at:%Y%m%dT%H%M%S}_picture",
        target=target,
        name=name.removeprefix("connector_"),
        kind="connector",
        reason=Reason.DOWN,
        began_at=began_at,
        opened_at=opened_at,
        phase=Phase.RECOVERED,
        next_at=None,
        ended_at=ended_at,
        attempts=1,
        steps=(restarted, redeployed),
        winner=Way.RESTART,
        code="recovered",
        sentence="It is healthy again after a restart.",
    )


def _reports(tenant: str) -> Iterator[Write]:
    dice = random.Random(11)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for owner, size in ((tenant, 1.0), (None, 3.4)):
        for ago in range(1, REPORT_DAYS + 1):
            begin = today - timedelta(days=ago)
            fields = _report(begin, size * dice.uniform(0.8, 1.2) * (0.45 if begin.weekday() > 4 else 1.0), dice)
            yield reports.new_report(
                owner, begin.date(), fields, begin + timedelta(days=1, minutes=7), state="told" if owner else "off"
            )


def _report(begin: datetime, size: float, dice: random.Random) -> dict[str, Any]:
    """A working day of a small shop, `size` times as busy."""
    shape = [max(0.02, 1 - abs(hour - 13) / 9) for hour in range(24)]
    hours = [
        {
            "from": begin + timedelta(hours=hour),
            "accepted": round(95 * size * weight * dice.uniform(0.7, 1.3)),
            "received": round(60 * size * weight * dice.uniform(0.7, 1.3)),
            "downtime_s": 0.0,
        }
        for hour, weight in enumerate(shape)
    ]
    down = dice.choice((0.0, 0.0, 4.2, 11.5, 38.0))
    hours[dice.randrange(24)]["downtime_s"] = down
    accepted, received = sum(one["accepted"] for one in hours), sum(one["received"] for one in hours)
    failed = dice.choice((0, 0, 1, 2, 4))
    messages = _messages(accepted, received, failed)
    gap = {"degraded_s": round(down / 4, 1), "disconnects": int(down > 0) * 2, "reconnects": int(down > 0) * 2}
    whole = {"share": 1 - down / 259_200, "watched_s": 259_200.0, "downtime_s": down, "longest_s": down, **gap}
    calm = {"share": 1.0, "watched_s": 86_400.0, "downtime_s": 0.0, "longest_s": 0.0}
    calm |= {"degraded_s": 0.0, "disconnects": 0, "reconnects": 0}
    delays = {"measured": accepted, "p50_s": 0.041, "p95_s": round(dice.uniform(0.4, 1.9), 3), "max_s": 12.4}
    of_session = {"delays": delays, "doubts": 0, "bans": 0, "rate_signals": 0, "dead_letters": 0}
    parts = [
        {"name": "connector_cpu_s", "quantity": 86_400.0, "unit": "vCPU seconds", "usd": 1.5552},
        {"name": "connector_gib_s", "quantity": 86_400.0, "unit": "GiB seconds", "usd": 0.1728},
        {"name": "firestore_writes", "quantity": accepted * 9.4, "unit": "writes", "usd": accepted * 9.4 * 0.0000018},
        {"name": "firestore_reads", "quantity": accepted * 7.1, "unit": "reads", "usd": accepted * 7.1 * 0.0000006},
    ]
    return {
        "time_zone": "UTC",
        "from": begin,
        "to": begin + timedelta(days=1),
        "sessions_total": 3,
        "uptime": whole,
        "messages": messages,
        "delays": delays,
        "doubts": 0,
        "bans": 0,
        "rate_signals": dice.choice((0, 0, 1)),
        "dead_letters": failed,
        "limit_minutes": {"messages": 3} if failed > 1 else {},
        "webhooks": {"delivered": accepted + received, "failed": failed, "waiting": 0},
        "cost": {"usd": sum(part["usd"] for part in parts), "parts": parts, "prices_of": "2026-11-22"},
        "hours": hours,
        "sessions": [
            {"session_id": "shop", "tenant": "demo", "uptime": calm, "messages": messages, **of_session},
            {"session_id": "support", "tenant": "demo", "uptime": calm, "messages": _messages(41, 38, 0), **of_session},
        ],
    }


def _messages(accepted: int, received: int, failed: int) -> dict[str, int]:
    sent = accepted - failed
    counts = {"accepted": accepted, "sent": sent, "delivered": round(sent * 0.98), "read": round(sent * 0.71)}
    nothing = dict.fromkeys(("expired", "cancelled", "in_doubt", "waiting"), 0)
    return {**counts, "failed": failed, **nothing, "received": received}
