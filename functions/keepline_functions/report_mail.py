"""A report as a letter: HTML that mail programs really show, and the same as text.

Mail programs take no script, no style sheet from elsewhere and no SVG, some of them no flexbox and no `<div>` with a height, and
pictures only after a click. So bars are cells of tables with a height or a width and a colour. What they say stands beside them
in words, for who cannot see them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from keepline.ports.telling import Letter

# How high the highest bar of a chart is, in pixels.
_BAR_PX = 72
_SESSIONS_SHOWN = 20
_PARTS_SHOWN = 5

_PART_NAMES = {
    "firestore_reads": "Firestore reads",
    "firestore_writes": "Firestore writes",
    "firestore_deletes": "Firestore deletes",
    "firestore_gib_months": "Firestore storage",
    "connector_cpu_s": "Connectors, processor",
    "connector_gib_s": "Connectors, memory",
    "function_cpu_s": "Functions, processor",
    "function_gib_s": "Functions, memory",
    "function_calls": "Functions, calls",
    "schedules": "Schedules",
    "key_operations": "Key operations",
}


def duration(seconds: float) -> str:
    """`0.04 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 1:
        return f"{seconds:.2g} s" if seconds else "0 s"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def percent(share: float | None) -> str:
    """Down to a thousandth of a percent, and rounded down: nothing that was away for a moment is at 100 %."""
    if share is None:
        return "not linked"
    return "100 %" if share == 1 else f"{int(share * 100_000) / 1_000:.3f} %"


def count(number: float) -> str:
    """With a space between thousands."""
    return f"{round(number):,}".replace(",", "\N{NO-BREAK SPACE}")


def counted(number: float, word: str) -> str:
    """`1 message`, `2 messages`."""
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def usd(amount: float) -> str:
    """Cents where there are any, else as many places as say something."""
    return f"${amount:,.2f}" if amount >= 0.1 else f"${amount:.2g}" if amount else "$0"


_environment = Environment(
    loader=PackageLoader("keepline_functions"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"duration": duration, "percent": percent, "count": count, "usd": usd}


def write_letter(report: Mapping[str, Any]) -> Letter:
    """The letter of a report's document."""
    day = date.fromisoformat(report["date"])
    who = "the installation" if report["tenant"] is None else counted(report["sessions_total"], "session")
    zone = ZoneInfo(report["time_zone"])
    known = {
        "report": report,
        "day": f"{day:%A}, {day.day} {day:%B %Y}",
        "headline": _headline(report),
        "hours": _hours(report["hours"], zone),
        "sessions": report["sessions"][:_SESSIONS_SHOWN],
        "more_sessions": max(0, report["sessions_total"] - _SESSIONS_SHOWN),
        "parts": [{**part, "name": _PART_NAMES[part["name"]]} for part in report["cost"]["parts"][:_PARTS_SHOWN]],
        "who": "All users" if report["tenant"] is None else "Your sessions",
    }
    return Letter(
        subject=f"Keepline, {report['date']}: {percent(report['uptime']['share'])} up, "
        f"{counted(report['messages']['sent'], 'message')} sent ({who})",
        html=_environment.get_template("report.html").render(known),
        text=_environment.get_template("report.txt").render(known),
    )


def _headline(report: Mapping[str, Any]) -> str:
    """The one sentence that a hurried reader needs."""
    uptime, messages = report["uptime"], report["messages"]
    if uptime["share"] is None:
        return "No session was linked on this day."
    trouble = []
    if report["bans"]:
        trouble.append(counted(report["bans"], "ban"))
    if messages["failed"]:
        trouble.append(f"{counted(messages['failed'], 'message')} not sent")
    if uptime["downtime_s"]:
        trouble.append(f"{duration(uptime['downtime_s'])} of downtime")
    if report["webhooks"]["failed"]:
        trouble.append(f"{counted(report['webhooks']['failed'], 'webhook event')} not delivered")
    if not trouble:
        return "A day without trouble."
    return "There was trouble: " + " and ".join(filter(None, (", ".join(trouble[:-1]), trouble[-1]))) + "."


def _hours(hours: list[Mapping[str, Any]], zone: ZoneInfo) -> list[dict[str, Any]]:
    """The hours with the heights of their bars. An hour in which there was something has a bar, however low."""

    def heights(name: str) -> list[int]:
        highest = max((hour[name] for hour in hours), default=0)
        return [max(2, round(_BAR_PX * hour[name] / highest)) if hour[name] else 0 for hour in hours]

    bars = zip(hours, heights("accepted"), heights("received"), heights("downtime_s"), strict=True)
    return [
        {**hour, "label": _local(hour["from"], zone), "accepted_px": sent, "received_px": heard, "down_px": down}
        for hour, sent, heard, down in bars
    ]


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%H}"
