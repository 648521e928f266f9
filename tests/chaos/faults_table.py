"""The figures of `make chaos` as a table for people and as JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.catalogue import FAULTS
from tests.chaos.faults_phase import Result
from tests.chaos.gaps import quantile

WORDS = {"gap": "gap in sending", "sending": "detection, sending", "idle": "detection, idle"}
OUTAGE_GOAL_S = 30.0


def show(results: dict[str, Result]) -> None:
    """Print the table; what is beyond its goal is red and says so."""
    table = Table(title="make chaos")
    for column in ("fault", "figure", "n", "median", "p99", "worst", "goal (p99)", ""):
        table.add_column(column, justify="left" if column in ("fault", "figure", "") else "right")
    for name, (figure, values, goal) in _rows(results).items():
        verdict = "[red]MISSED[/red]" if is_missed(values, goal) else "" if goal is None else "ok"
        numbers = [
            f"{value:.2f} s" if math.isfinite(value) else "no end"
            for value in (quantile(values, 0.5), quantile(values, 0.99), max(values))
        ]
        table.add_row(name, figure, str(len(values)), *numbers, "" if goal is None else f"{goal:g} s", verdict)
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
    for phase, result in results.items():
        for figures in result.outages:
            console.print(f"outage/{phase}: {figures}")
        away = [one for figures in result.figures.values() for one in figures.stayed_away]
        for sentence in (*result.broken, *(f"not back in time: {one}" for one in away)):
            console.print(f"{phase}: {sentence}")


def as_json(results: dict[str, Result]) -> dict[str, Any]:
    """The last line."""
    came_back = sum(figures.came_back for result in results.values() for figures in result.figures.values())
    away = sum(len(figures.stayed_away) for result in results.values() for figures in result.figures.values())
    return {
        "faults": {
            name: {
                "n": len(values),
                "p50_s": _seconds(quantile(values, 0.5)),
                "p99_s": _seconds(quantile(values, 0.99)),
                "worst_s": _seconds(max(values)),
                "goal_s": goal,
                "missed": is_missed(values, goal),
            }
            for name, (_, values, goal) in _rows(results).items()
        },
        "two_voices": sum(len(result.voices) for result in results.values()),
        "lost": sum(len(result.lost) for result in results.values()),
        "twice": sum(len(result.twice) for result in results.values()),
        "reconnect_success": round(came_back / (came_back + away), 4) if came_back + away else None,
    }


def is_missed(values: Sequence[float], goal_s: float | None) -> bool:
    """Whether a figure is beyond its goal. What never ended is, whatever the goal."""
    return not math.isfinite(max(values)) or (goal_s is not None and quantile(values, 0.99) > goal_s)


def _seconds(value: float) -> float | None:
    """None for what never ended: JSON has no infinity."""
    return round(value, 3) if math.isfinite(value) else None


def _rows(results: dict[str, Result]) -> dict[str, tuple[str, list[float], float | None]]:
    """Name → what is measured, its samples, its goal. The names of detections say so."""
    rows: dict[str, tuple[str, list[float], float | None]] = {}
    for fault in FAULTS:
        for phase, result in results.items():
            samples = result.figures[fault.name].samples if fault.name in result.figures else {}
            goals = {"gap": fault.gap.get(phase), "sending": fault.sending, "idle": fault.idle}
            for figure, values in samples.items():
                name = fault.name if figure == "gap" else f"{fault.name}_noticed_{figure}"
                rows[f"{name}/{phase}"] = (WORDS[figure], values, goals[figure])
    for phase, result in results.items():
        values = [seconds for figures in result.outages for seconds in figures.back_s]
        if values:
            rows[f"outage/{phase}"] = ("from its end to each login", values, OUTAGE_GOAL_S)
    return rows
