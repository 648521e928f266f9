"""Before and after: Keepline beside a gateway as they are commonly built, under the same faults.

    python -m bench.compare --repeat 3 --seed 7

Runs the demo on free ports, and beside it the gateway of bench/baseline on the same simulator, at the same time, under the same
load for each account. Each fault of `make chaos` is done to both; Keepline has a standby for each account. Measured from
WhatsApp's side: how long no message of an account came through (gap), what was lost, shown twice or out of order, what of the
incoming messages did not arrive; how long a connection was said to work that did not; who came back by itself. Uptime follows
from the gaps and from how often faults are assumed to strike, bans from a model (docs/assumptions.md, bench/bans.py).

The last line is JSON. The exit code is 1 if Keepline lost, doubled or disordered a message; goals that are missed are marked.
"""

from __future__ import annotations

import argparse
import json
import math
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import bans
from bench.baseline.faults import STRIKES
from bench.baseline.side import Baseline, Options, Side
from bench.fault_rates import CONNECTORS_DEPLOYED, uptime_percent
from keepline_local.stack import ROOMY, Stack
from tests.chaos import faults_phase
from tests.chaos.faults_phase import CHATS, INBOUND_PER_S, LOADED, Result

REPEAT = 3
# Of Keepline's two accounts together. Both sides run at the same time, on one machine with one simulator.
RATE_PER_S = 6.0
# One of each sort: a lost connection, a silent one, a crash of the library's process, of the container, a deploy.
QUICK = ("reset", "black_hole", "cell_kill", "connector_kill", "deploy")
# Of the library's own: it makes a new connection after 206 s without any answer.
PATIENCE_S = 240.0
QUICK_PATIENCE_S = 30.0
DOWNTIME_GOAL_S = 0.5
DETECTION_GOAL_S = 2.0
RECONNECT_GOAL = 0.999
UPTIME_GOAL_PERCENT = 99.99
BANS_RATIO_GOAL = 0.25

# Why the goal of half a second is out of reach for some faults, by what they are.
_SILENT = "nobody says that the path is dead: it takes 1 to 2 s of silence to know, and what was on its way waits 5 s in doubt"
_DEAD = "nobody may speak in a connector's place before its lease has run out, 3 s after its last heartbeat"
BEYOND_REACH = {
    "black_hole": _SILENT,
    "half_open": _SILENT,
    "stop_answering": _SILENT,
    "connector_kill": _DEAD,
    "connector_stop": _DEAD,
    "region_lost": _DEAD,
}

Say = Callable[[str], None]


def run(repeat: int, seed: int, faults: tuple[str, ...], patience_s: float, say: Say) -> tuple[Side, Side]:
    """Keepline's side and the baseline's. Each round has an installation of its own."""
    ours, theirs = Result(), Side()
    for turn in range(repeat):
        say(f"round {turn + 1} of {repeat}")
        folder = Path(tempfile.mkdtemp(prefix="keepline-compare-"))
        stack = Stack("demo", state_dir=folder / "keepline", env={"KEEPLINE_PROFILE": "extreme", **ROOMY})
        with stack:
            found = _round(stack, folder, turn, seed, faults, patience_s, ours, theirs, say)
        if found:
            say(f"logs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return side_of(ours), theirs


def _round(
    stack: Stack,
    folder: Path,
    turn: int,
    seed: int,
    faults: tuple[str, ...],
    patience_s: float,
    ours: Result,
    theirs: Side,
    say: Say,
) -> list[str]:
    """Returns the sentences about promises that Keepline broke."""
    run_file = stack.run
    assert run_file.simulator is not None and run_file.simulator_dir is not None, "the demo has a simulator"
    options = Options(faults, CHATS, RATE_PER_S / LOADED, INBOUND_PER_S / LOADED, patience_s, f"{seed} {turn}")
    baseline = Baseline(
        options,
        run_file.simulator,
        Path(run_file.simulator_dir),
        run_file.pids["simulator"],
        folder / "baseline",
        theirs,
        lambda text: say(f"baseline: {text}"),
    )

    def other_side() -> None:
        baseline.start()
        baseline.strike_all()
        baseline.finish()

    beside = threading.Thread(target=other_side, name="baseline", daemon=True)
    beside.start()
    try:
        phase = faults_phase.Options("standby", 1, faults, seed, 0.0, 0, RATE_PER_S)
        found = faults_phase.run_on(stack, phase, turn, list(faults), ours, lambda text: say(f"Keepline: {text}"))
        beside.join()
    finally:
        baseline.stop()
    return found


def side_of(result: Result) -> Side:
    """What `make chaos` counts, in the words of the comparison."""
    side = Side(verdicts=result.verdicts, troubles=result.broken)
    for name, figures in result.figures.items():
        side.gaps[name] = figures.samples["gap"]
        side.detections += figures.samples["sending"]
        side.came_back += figures.came_back
        side.stayed_away += len(figures.stayed_away)
    return side


def figures(side: Side, deploys_times: int, bans_rate: float) -> dict[str, Any]:
    """One side's part of the last line."""
    medians = {name: median(gaps) for name, gaps in side.gaps.items()}
    reconnects = side.came_back + side.stayed_away
    uptime = uptime_percent(medians, deploys_times)
    return {
        "downtime_s": {
            name: {"n": len(gaps), "median": _seconds(median(gaps)), "worst": _seconds(max(gaps))}
            for name, gaps in side.gaps.items()
        },
        "accepted": sum(one.accepted for one in side.verdicts),
        "lost": sum(len(one.lost) for one in side.verdicts),
        "duplicated": sum(len(one.twice) for one in side.verdicts),
        "out_of_order": sum(len(one.out_of_order) for one in side.verdicts),
        "incoming": sum(one.said for one in side.verdicts),
        "incoming_lost": sum(len(one.unheard) for one in side.verdicts),
        "detection_s_median": _seconds(median(side.detections)) if side.detections else None,
        "detection_s_worst": _seconds(max(side.detections)) if side.detections else None,
        "reconnect_success": round(side.came_back / reconnects, 4) if reconnects else None,
        "reconnects": reconnects,
        "second_qr": side.second_qr,
        "operator_restarts": side.operator_restarts,
        "uptime_percent": round(uptime, 4) if math.isfinite(uptime) else None,
        "bans_per_1000_account_days": bans_rate,
    }


def missed(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Keepline's figures that are beyond their goals."""
    found = [
        f"downtime {name}"
        for name, one in ours["downtime_s"].items()
        if one["median"] is None or one["median"] > DOWNTIME_GOAL_S
    ]
    found += [name for name in ("lost", "duplicated", "out_of_order", "incoming_lost", "second_qr") if ours[name]]
    if ours["detection_s_worst"] is not None and ours["detection_s_worst"] > DETECTION_GOAL_S:
        found.append("detection")
    if ours["reconnect_success"] is not None and ours["reconnect_success"] < RECONNECT_GOAL:
        found.append("reconnect_success")
    if ours["uptime_percent"] is not None and ours["uptime_percent"] < UPTIME_GOAL_PERCENT:
        found.append("uptime")
    if ours["bans_per_1000_account_days"] > BANS_RATIO_GOAL * theirs["bans_per_1000_account_days"]:
        found.append("bans")
    return found


def show(ours: dict[str, Any], theirs: dict[str, Any], beyond: list[str]) -> None:
    """The table for people; what is beyond its goal says so."""
    table = Table(title="before and after")
    for column in ("", "baseline", "Keepline", "goal", ""):
        table.add_column(column, justify="left" if column == "" else "right")

    def row(words: str, key: str, goal: str, verdict: str) -> None:
        table.add_row(words, _text(theirs[key]), _text(ours[key]), goal, verdict)

    for name in ours["downtime_s"]:
        values = [_worst(side["downtime_s"].get(name)) for side in (theirs, ours)]
        verdict = "[red]MISSED[/red]" if f"downtime {name}" in beyond else "ok"
        table.add_row(f"downtime, {name}: median (worst), s", *values, f"≤ {DOWNTIME_GOAL_S:g}", verdict)
    for words, key, goal in (
        ("messages accepted", "accepted", ""),
        ("lost", "lost", "0"),
        ("shown twice", "duplicated", "0"),
        ("out of order", "out_of_order", "0"),
        ("incoming messages", "incoming", ""),
        ("incoming lost", "incoming_lost", "0"),
        ("dead connection noticed after, worst, s", "detection_s_worst", f"≤ {DETECTION_GOAL_S:g}"),
        ("came back by itself within a minute", "reconnect_success", f"≥ {RECONNECT_GOAL}"),
        ("second QR codes", "second_qr", "0"),
        ("restarts by hand", "operator_restarts", "0"),
        ("uptime of a month with assumed rates, %", "uptime_percent", f"≥ {UPTIME_GOAL_PERCENT}"),
        ("bans per 1,000 account-days (a model)", "bans_per_1000_account_days", f"≤ {BANS_RATIO_GOAL:g} ×"),
    ):
        names = {"detection_s_worst": "detection", "uptime_percent": "uptime", "bans_per_1000_account_days": "bans"}
        is_missed = names.get(key, key) in beyond
        row(words, key, goal, "[red]MISSED[/red]" if is_missed else "ok" if goal else "")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _worst(one: dict[str, Any] | None) -> str:
    return "–" if one is None else f"{_text(one['median'])} ({_text(one['worst'])})"


def _seconds(value: float) -> float | None:
    """None for what never ended: JSON has no infinity."""
    return round(value, 3) if math.isfinite(value) else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=REPEAT, help=f"how often each fault is done (default {REPEAT})")
    parser.add_argument("--seed", type=int, default=None, help="decides load, moments and the model of bans")
    parser.add_argument("--only", choices=sorted(STRIKES), action="append", metavar="FAULT", help=", ".join(STRIKES))
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{len(QUICK)} faults, once; a silent baseline is restarted after {QUICK_PATIENCE_S:.0f} s",
    )
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    repeat = 1 if arguments.quick else arguments.repeat
    faults = tuple(arguments.only or (QUICK if arguments.quick else STRIKES))
    print(f"seed {seed}", flush=True)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)

    modelled = bans.run(bans.QUICK_ACCOUNTS if arguments.quick else bans.ACCOUNTS, bans.DAYS, seed)
    patience_s = QUICK_PATIENCE_S if arguments.quick else PATIENCE_S
    ours_side, theirs_side = run(repeat, seed, faults, patience_s, say)
    ours = figures(ours_side, CONNECTORS_DEPLOYED, modelled["keepline"]["bans_per_1000_account_days"])
    theirs = figures(theirs_side, 1, modelled["baseline"]["bans_per_1000_account_days"])
    beyond = missed(ours, theirs)
    show(ours, theirs, beyond)
    reasons = {name: why for name, why in BEYOND_REACH.items() if f"downtime {name}" in beyond}
    for name, why in reasons.items():
        print(f"{name}: {why}")
    for sentence in ours_side.troubles:
        print(f"Keepline: {sentence}")
    print(
        json.dumps(
            {
                "seed": seed,
                "repeat": repeat,
                "quick": arguments.quick,
                "patience_s": patience_s,
                "keepline": ours,
                "baseline": theirs,
                "goals": {
                    "downtime_s_max": DOWNTIME_GOAL_S,
                    "lost": 0,
                    "duplicated": 0,
                    "detection_s_max": DETECTION_GOAL_S,
                    "reconnect_success_min": RECONNECT_GOAL,
                    "bans_ratio_max": BANS_RATIO_GOAL,
                    "uptime_percent_min": UPTIME_GOAL_PERCENT,
                },
                "missed": beyond,
                "beyond_reach": reasons,
                "took_s": round(time.monotonic() - began, 1),
            }
        )
    )
    return int(bool(ours_side.troubles))


if __name__ == "__main__":
    sys.exit(main())
