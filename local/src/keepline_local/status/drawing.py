"""The picture as tables for a terminal. Pure: from what the API said to what is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from keepline_local.status.asking import Picture

# A terminal's screen; the API has the rest.
ROWS_MAX = 20
_GOOD, _SO_SO, _BAD, _DIM = "green", "yellow", "red", "dim"
_COLOURS = {
    **dict.fromkeys(("connected", "alive", "up", "info"), _GOOD),
    **dict.fromkeys(("starting", "pairing", "reconnecting", "degraded", "draining", "warning"), _SO_SO),
    **dict.fromkeys(("logged_out", "banned", "outdated", "failed", "silent", "down", "critical"), _BAD),
    **dict.fromkeys(("stopped", "unknown"), _DIM),
}


def draw(picture: Picture) -> RenderableType:
    """What was said, and for each part that is missing why."""
    shown: list[RenderableType] = [Text(f"Keepline at {picture.url}", style="bold")]
    parts = picture.parts
    if "fleet" in parts:
        shown += [_summary(parts["fleet"]), _connectors(parts["fleet"]["connectors"])]
    if "sessions" in parts:
        shown.append(_sessions(parts["sessions"]["sessions"]))
    if "uptime" in parts:
        shown.append(_uptime(parts["uptime"]["targets"]))
    if "alerts" in parts:
        shown.append(_alerts(parts["alerts"]["alerts"]))
    shown += [Text(f"{name}: {why}", style=_SO_SO) for name, why in picture.missing.items()]
    return Group(*shown)


def _summary(fleet: Mapping[str, Any]) -> RenderableType:
    counts = {state: count for state, count in fleet["sessions"].items() if count}
    states = ", ".join(f"[{_colour(state)}]{count} {escape(state)}[/]" for state, count in counts.items()) or "none"
    queue = fleet["queue"]
    waiting = f"{queue['queued']}, the first for {queue['oldest_queued_s']:.0f} s" if queue["queued"] else "nothing"
    return Text.from_markup(f"sessions: {states}   waiting: {waiting}   [dim]{escape(fleet['at'])}[/]")


def _connectors(connectors: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [
        (
            one["id"],
            one["region"],
            _coloured("draining" if one["draining"] and one["state"] == "alive" else one["state"]),
            f"{one['heartbeat_age_s']:.1f} s ago",
            f"{one['devices']} of {one['capacity']}",
            str(one["poor_devices"] or ""),
            str(one["held_devices"] or ""),
            f"{one['queued']}, {one['oldest_queued_s']:.0f} s" if one["queued"] else "",
        )
        for one in connectors
    ]
    return _table(
        "connectors", ("connector", "region", "state", "heartbeat", "devices", "poor", "held", "waiting"), rows
    )


def _sessions(sessions: Sequence[Mapping[str, Any]]) -> RenderableType:
    # What needs somebody first.
    ordered = sorted(sessions, key=lambda one: (one["state"] == "connected", one["session_id"]))
    rows = [
        (
            escape(one["session_id"]),
            _coloured(one["state"]),
            escape(one["reason"]["sentence"]),
            escape(one["reason"]["next_step"]),
        )
        for one in ordered
    ]
    return _table("your sessions", ("session", "state", "why", "what to do"), rows)


def _uptime(targets: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [
        (
            escape(one["name"]),
            _coloured(one["state"]),
            "" if one["response_ms"] is None else f"{one['response_ms']} ms",
            _percent(one["uptime"]["day"]["uptime"]),
            _percent(one["uptime"]["month"]["uptime"]),
            f"{one['budget']['left_s'] / 60:.0f} min",
            "" if one["state"] == "up" else escape(one["reason"]["sentence"]),
        )
        for one in targets
    ]
    return _table("uptime", ("target", "state", "answers in", "24 hours", "30 days", "budget left", "why"), rows)


def _alerts(alerts: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [
        (_coloured(one["severity"]), escape(one["sentence"]), escape(one["next_step"]), escape(one["opened_at"]))
        for one in alerts
    ]
    return _table("open alerts", ("severity", "what", "what to do", "since"), rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[Iterable[str]]) -> RenderableType:
    if not rows:
        return Text(f"{title}: none", style=_DIM)
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0)
    for row in rows[:ROWS_MAX]:
        table.add_row(*row)
    if len(rows) > ROWS_MAX:
        table.caption = f"and {len(rows) - ROWS_MAX} more"
    return table


def _percent(uptime: float | None) -> str:
    """Rounded down: what was not up all the time is not shown as if it had been."""
    return "" if uptime is None else f"{int(uptime * 1e5) / 1e3:.3f} %"


def _coloured(word: str) -> str:
    return f"[{_colour(word)}]{escape(word)}[/]"


def _colour(word: str) -> str:
    return _COLOURS.get(word, "default")
