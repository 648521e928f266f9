"""Answers of the API as its description shows them, for pages whose past cannot be waited for."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

TODAY = date(2026, 11, 22)
_T = "2026-11-22T10:00:00.000Z"
_REASON = {"code": "answers", "sentence": "It answers as it should.", "next_step": "Nothing to do."}
_AWAY = {"code": "timeout", "sentence": "It did not answer in time.", "next_step": "Look at the service."}


def webhook() -> dict[str, Any]:
    return {
        "webhook_id": "wh1",
        "session_id": None,
        "url": "https://example.com/keepline",
        "events": ["message", "message.ack"],
        "headers": ["Authorization"],
        "enabled": True,
        "disabled": None,
        "endpoint": {"state": "failing", "failures": 3, "failures_before_rest": 10, "rests_until": None},
        "created_at": _T,
    }


def deliveries() -> dict[str, Any]:
    def one(event_id: str, state: str, status: int | None, error: str | None, minute: int) -> dict[str, Any]:
        at = f"2026-11-22T09:{minute:02d}:00.000Z"
        tries = [{"at": at, "status": status, "error": error, "duration_ms": 43}]
        about = {"type": "message", "session_id": "shop", "chat": "14155550123@s.whatsapp.net"}
        times = {"queued_at": at, "settled_at": at}
        return {"event_id": event_id, **about, "state": state, "attempts": 1, **times, "tries": tries}

    return {
        "deliveries": [one("evt_b", "dead", 500, None, 30), one("evt_a", "dead", None, "timeout", 10)],
        "next_before": None,
    }


def _figures(**more: Any) -> dict[str, Any]:
    return {
        "uptime": {
            "share": 0.99921,
            "watched_s": 172_800.0,
            "downtime_s": 136.5,
            "longest_s": 80.0,
            "degraded_s": 12.0,
            "disconnects": 4,
            "reconnects": 4,
        },
        "messages": {
            "accepted": 1240,
            "sent": 1229,
            "delivered": 1214,
            "read": 801,
            "failed": 4,
            "expired": 1,
            "cancelled": 1,
            "in_doubt": 0,
            "waiting": 5,
            "received": 812,
        },
        "delays": {"measured": 1229, "p50_s": 0.041, "p95_s": 1.9, "max_s": 82.4},
        "doubts": 1,
        "bans": 0,
        "rate_signals": 2,
        "dead_letters": 4,
        **more,
    }


def _report(day: str, **more: Any) -> dict[str, Any]:
    return _figures(
        report_id=f"demo_{day}",
        user_id="demo",
        date=day,
        time_zone="Europe/Bucharest",
        made_at=_T,
        sessions_total=2,
        limit_minutes={"messages": 12},
        webhooks={"delivered": 2041, "failed": 3, "waiting": 0},
        cost={
            "usd": 0.0312,
            "parts": [{"name": "firestore_writes", "quantity": 12_040, "unit": "writes", "usd": 0.0217}],
            "prices_of": "2026-11-22",
        },
        told={"state": "told", "at": _T, "attempts": 1},
        **{"from": "2026-11-20T22:00:00.000Z", "to": "2026-11-21T22:00:00.000Z"},
        **more,
    )


def _hours() -> list[dict[str, Any]]:
    shown = [f"2026-11-21T{hour:02d}:00:00.000Z" for hour in range(24)]
    return [
        {"from": at, "accepted": 50 + n, "received": 30 + n, "downtime_s": float(n == 3)} for n, at in enumerate(shown)
    ]


def _span(uptime: float | None, outages: int) -> dict[str, Any]:
    return {"uptime": uptime, "down_s": 12.0 * outages, "watched_s": 86_400.0, "not_watched_s": 0.0, "outages": outages}


def _target(target_id: str, name: str, kind: str, state: str, **more: Any) -> dict[str, Any]:
    check = {"url": "https://shop.example.com/", "method": "GET", "expected_status": [200], "text": None, "headers": []}
    return {
        "target_id": target_id,
        "name": name,
        "kind": kind,
        "enabled": True,
        "state": state,
        "since": _T,
        "reason": _AWAY if state == "down" else _REASON,
        "checked_at": _T,
        "response_ms": 12,
        "degrading_since": None,
        "outage_id": None,
        "check": check if kind == "url" else None,
        "settings": {
            "preset": "balanced",
            "interval_s": 5,
            "failures_until_down": 2,
            "successes_until_up": 2,
            "slow_ms": 500,
            "timeout_ms": 1000,
            "degradation_window_s": 60,
            "slo": 0.999,
        },
        "uptime": {name: _span(0.9998, 1) for name in ("day", "week", "month", "quarter")},
        "budget": {"slo": 0.999, "days": 30, "allowed_s": 2592.0, "used_s": 120.5, "left_s": 2471.5},
        **more,
    }


def _days() -> list[dict[str, Any]]:
    response = {"average_ms": 14, "p95_ms": 31, "max_ms": 200}
    return [
        {
            "date": (TODAY - timedelta(days=89 - n)).isoformat(),
            **_span(None if n < 5 else 0.98 if n == 40 else 0.99975 if n == 60 else 1.0, int(n in (40, 60))),
            "checks": 17_280,
            "failures": 0,
            "response": response,
        }
        for n in range(90)
    ]


def _story() -> dict[str, Any]:
    recovery = {
        "phase": "recovered",
        "sentence": "It is healthy again after a restart.",
        "winner": "restart",
        "steps": [
            {"way": "restart", "attempt": 1, "state": "done", "at": _T, "ended_at": _T, "detail": "answered 200"}
        ],
    }
    incident = {
        "outage_id": "o1",
        "began_at": _T,
        "ended_at": _T,
        "down_s": 12.3,
        "detected_at": _T,
        "detected_by": "connector-2",
        "reason": _AWAY,
        "recoveries": [recovery],
    }
    return _target(
        *("api", "API", "api", "up"),
        longest_outage_s=120.5,
        mttr_s=60.2,
        days=_days(),
        months=[],
        recent=[
            {"at": f"2026-11-22T10:00:{n:02d}.000Z", "response_ms": 10 + n % 7, "ok": True} for n in range(0, 60, 5)
        ],
        incidents=[incident],
    )


def _alert(state: str) -> dict[str, Any]:
    return {
        "alert_id": f"no_standby_x_{state}",
        "rule": "no_standby",
        "subject": "demo_shop",
        "user_id": "demo",
        "session_id": "shop",
        "severity": "warning",
        "state": state,
        "code": "no_standby",
        "details": {},
        "sentence": "shop has no standby.",
        "next_step": "Link one.",
        "opened_at": _T,
        "last_seen_at": _T,
        "closed_at": _T if state == "closed" else None,
        "count": 3,
        "acknowledged_at": None,
        "acknowledged_by": None,
    }


_EVENT = {
    "event_id": "e1",
    "kind": "session_disconnected",
    "at": _T,
    "severity": "warning",
    "user_id": "demo",
    "session_id": "shop",
    "subject": "demo_shop",
    "code": "socket_closed",
    "sentence": "shop lost its connection.",
    "next_step": "Nothing to do.",
    "details": {},
}
_CHANNEL = {
    "channel_id": "ch1",
    "name": "On call",
    "kind": "apprise",
    "shown": "mailtos://…",
    "webhook_id": None,
    "least": "warning",
    "state": "good",
    "failures": 0,
    "failing_since": None,
    "error": None,
    "told_at": _T,
    "created_at": _T,
}

# By the patterns of what is asked; of several that fit, the last one answers.
PAST: dict[str, Any] = {
    "**/api/webhooks/wh1": webhook(),
    "**/api/webhooks/wh1/deliveries*": deliveries(),
    "**/api/monitoring*": {"events": [_EVENT], "next_before": None},
    "**/api/alerts?state=open*": {"alerts": [_alert("open")], "next_before": None},
    "**/api/alerts?state=closed*": {"alerts": [_alert("closed")], "next_before": None},
    "**/api/alerts/channels*": {"channels": [_CHANNEL]},
    "**/api/alerts/settings*": {
        "thresholds": {"disconnects_per_hour": {"value": 10, "usual": 10, "least": 1, "most": 1000}},
        "quiet_hours": {"from": "22:00", "to": "07:00", "time_zone": "Europe/Bucharest"},
    },
    "**/api/reports*": {"reports": [_report("2026-11-21"), _report("2026-11-20")], "next_before": None},
    "**/api/reports/2026-11-21*": _report(
        "2026-11-21", hours=_hours(), sessions=[_figures(session_id="shop", user_id="demo")]
    ),
    "**/api/uptime": {
        "at": _T,
        "watched_until": _T,
        "targets": [_target("api", "API", "api", "up"), _target("u_1", "Online shop", "url", "down")],
    },
    "**/api/uptime/*": _story(),
}
