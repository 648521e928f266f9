"""The summary: for each goal Keepline's figure, and the baseline's of the same run. README's table and the last line are this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.report.results import Result, commit

Results = dict[str, Result]

# The runs under load that lasts, in the words of the page.
LOADS = {"soak": "everything at once", "sustained": "half the peak", "lasting": "a quarter of the peak"}


@dataclass(frozen=True)
class Row:
    """`keepline` and `baseline`: None where nothing was measured. `unit` stands behind figures; `run` is their source."""

    key: str
    what: str
    unit: str
    keepline: Any
    baseline: Any
    goal: str
    met: bool | None
    run: str

    def shown(self, value: Any) -> str:
        if value is None:
            return "–"
        number = f"{value:,}" if isinstance(value, int) else f"{value:g}"
        return f"{number}{self.unit}"

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "yes" if self.met else "**no**"


def figures(results: Results, name: str) -> Any:
    """A run's, or nothing that has no keys."""
    return results[name].figures if name in results else {}


def _at_most(value: float | None, limit: float) -> bool | None:
    return None if value is None else value <= limit


def _at_least(value: float | None, limit: float) -> bool | None:
    return None if value is None else value >= limit


def rows(results: Results) -> list[Row]:
    """Every row that something was measured for."""
    return [row for row in (*_compared(results), *_alone(results)) if row.keepline is not None]


def _compared(results: Results) -> list[Row]:
    compared = figures(results, "compare")
    ours, theirs, goals = (compared.get(name, {}) for name in ("keepline", "baseline", "goals"))
    counts = (
        ("lost", "accepted messages lost"),
        ("duplicated", "messages shown twice"),
        ("out_of_order", "messages out of order"),
        ("incoming_lost", "incoming messages lost"),
        ("second_qr", "QR codes that had to be scanned again"),
    )
    found = [
        Row(key, what, "", ours.get(key), theirs.get(key), "0", _at_most(ours.get(key), 0), "compare")
        for key, what in counts
    ]
    limit = goals.get("downtime_s_max", 0.5)
    for fault, gap in ours.get("downtime_s", {}).items():
        their_gap = theirs.get("downtime_s", {}).get(fault, {})
        found.append(
            Row(
                f"downtime_{fault}_s",
                f"downtime, median: {fault.replace('_', ' ')}",
                " s",
                gap.get("median"),
                their_gap.get("median"),
                f"≤ {limit:g} s",
                _at_most(gap.get("median"), limit),
                "compare",
            )
        )
    detection, reconnects = goals.get("detection_s_max", 2.0), goals.get("reconnect_success_min", 0.999)
    uptime, bans = goals.get("uptime_percent_min", 99.99), goals.get("bans_ratio_max", 0.25)
    key = "detection_s_worst"
    found.append(
        Row(
            key,
            "a dead connection is noticed after, worst",
            " s",
            ours.get(key),
            theirs.get(key),
            f"≤ {detection:g} s",
            _at_most(ours.get(key), detection),
            "compare",
        )
    )
    ours_percent, theirs_percent = (
        None if side.get("reconnect_success") is None else round(100 * side["reconnect_success"], 2)
        for side in (ours, theirs)
    )
    found.append(
        Row(
            "reconnect_success_percent",
            "reconnects that succeed",
            " %",
            ours_percent,
            theirs_percent,
            f"≥ {100 * reconnects:g} %",
            _at_least(ours_percent, 100 * reconnects),
            "compare",
        )
    )
    key = "bans_per_1000_account_days"
    most = None if theirs.get(key) is None else theirs[key] * bans
    found.append(
        Row(
            key,
            "bans per 1,000 account-days (a model)",
            "",
            ours.get(key),
            theirs.get(key),
            "at most a quarter",
            None if most is None else _at_most(ours.get(key), most),
            "compare",
        )
    )
    key = "uptime_percent"
    found.append(
        Row(
            key,
            "uptime, from these downtimes at the assumed rates",
            " %",
            ours.get(key),
            theirs.get(key),
            f"≥ {uptime:g} %",
            _at_least(ours.get(key), uptime),
            "compare",
        )
    )
    return found


def _alone(results: Results) -> list[Row]:
    found = []
    profiles = figures(results, "year").get("profiles", {})
    goal = figures(results, "year").get("goal_percent", 99.99)
    for profile, kinds in profiles.items():
        for who, words in (("standby", "with a standby"), ("single", "without a standby")):
            value = kinds[who]["uptime_percent"]
            key = f"year_{profile}_{who}_uptime_percent"
            what = f"uptime of a simulated year, `{profile}`, {words}"
            found.append(Row(key, what, " %", value, None, f"≥ {goal:g} %", _at_least(value, goal), "year"))
    for load in as_list(figures(results, "api_load")):
        users = load["users"]
        success = round(100 * load["success"], 3)
        asked = users == 100
        found.append(
            Row(
                f"api_{users}_users_success_percent",
                f"API, {users:,} users: calls that succeed",
                " %",
                success,
                None,
                "≥ 99.9 %" if asked else "all answered",
                _at_least(success, 99.9 if asked else 100.0),
                "api_load",
            )
        )
        found.append(
            Row(
                f"api_{users}_users_avg_ms",
                f"API, {users:,} users: an answer takes, on the mean",
                " ms",
                load["avg_ms"],
                None,
                "< 100 ms" if asked else "",
                _at_most(load["avg_ms"], 100.0) if asked else None,
                "api_load",
            )
        )
    wire, sessions = figures(results, "wire"), (as_list(figures(results, "sessions")) or [{}])[-1]
    # Few devices share what their cell has before its first one: the goal is for many.
    memory_goal = 5.0 if sessions.get("devices", 0) >= 200 else None
    for key, what, unit, source, run, goal_words, limit in (
        ("ratio", "from the 202 to the wire, against neonize called directly", " ×", wire, "wire", "", None),
        (
            "throughput_ratio",
            "messages a second end to end, against neonize called directly",
            " ×",
            wire,
            "wire",
            "",
            None,
        ),
        (
            "documents_per_message",
            "Firestore writes for a message (sent, delivered, read)",
            "",
            wire,
            "wire",
            "≤ 3.5",
            3.5,
        ),
        (
            "mb_per_session",
            "memory of a linked device",
            " MB",
            sessions,
            "sessions",
            "≤ 5 MB at 200 devices",
            memory_goal,
        ),
    ):
        found.append(_plain(key, what, unit, source.get(key), goal_words, limit, run))
    return found + _after_faults(results) + _under_load(results)


def _plain(key: str, what: str, unit: str, value: Any, goal: str, limit: float | None, run: str) -> Row:
    """A figure of Keepline's alone, with a limit from above or none."""
    return Row(key, what, unit, value, None, goal, None if limit is None else _at_most(value, limit), run)


def _after_faults(results: Results) -> list[Row]:
    restore, recovery = figures(results, "restore"), (as_list(figures(results, "recovery")) or [{}])[-1]
    chaos = figures(results, "chaos")
    found = []
    for key, what, unit, source, run, goal, limit in (
        ("one_account_s", "a number is back after its connector and disk are lost", " s", restore, "restore", "", None),
        (
            "detection_s_worst",
            "a service that hangs or dies is noticed after, worst",
            " s",
            recovery,
            "recovery",
            "≤ 5 s",
            5.0,
        ),
        ("recovery_s_worst", "and works again after that, worst", " s", recovery, "recovery", "≤ 90 s", 90.0),
        ("two_voices", "moments in which two devices spoke, in `make chaos`", "", chaos, "chaos", "0", 0),
    ):
        found.append(_plain(f"{run}_{key}", what, unit, source.get(key), goal, limit, run))
    return found


def _under_load(results: Results) -> list[Row]:
    found = []
    for run, words in LOADS.items():
        measured = figures(results, run)
        for key, what in (
            ("lost", "messages lost"),
            ("duplicated", "messages shown twice"),
            ("incoming_lost", "incoming messages lost"),
        ):
            value, minutes = measured.get(key), measured.get("minutes")
            label = f"{words} for {minutes or 0:g} min: {what}"
            found.append(Row(f"{run}_{key}", label, "", value, None, "0", _at_most(value, 0), run))
    return found


def as_list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found] if found else []


def line(results: Results, without_figures: list[str]) -> dict[str, Any]:
    """The last line. `quick`: the runs whose figures are of smaller counts."""
    table = rows(results)
    return {
        "commit": commit(),
        "quick": sorted({row.run for row in table if results[row.run].quick}),
        "keepline": {row.key: row.keepline for row in table},
        "baseline": {row.key: row.baseline for row in table if row.run == "compare"},
        "missed": [row.key for row in table if row.met is False],
        "no_figures": without_figures,
    }
