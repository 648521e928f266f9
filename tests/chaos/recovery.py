"""Stop a service again and again, and see how long until that is noticed, and until it works again.

`python -m tests.chaos.recovery [--runs 20] [--seed 1]`: the whole demo on free ports. By turns:

- `hang`: SIGSTOP of a connector. Nothing ends, nothing answers; the uptime monitor finds that its lease ran out, and recovery has
  the run's supervisor kill it and start it again;
- `kill`: SIGKILL of a connector. What runs it notices that it ended, as a container platform does, and starts it again;
- `api`: SIGSTOP of the process with the API. The monitor, which runs beside it, finds that it does not answer.

Detection is from the stop until somebody who acts on it knows (the monitor's verdict, or the supervisor's restart); recovery from
there until it answers and the monitor says so. Each stop is the first of its hour: the attempts of the one before are forgotten,
because recovery would rightly pause before the next one. The last line is JSON; the exit code is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import median
from typing import Any

from google.cloud import firestore
from rich.console import Console

from keepline_local import loopback_http
from keepline_local.plan import CONNECTORS, PROJECT
from keepline_local.stack import Stack

FAULTS = ("hang", "kill", "api")
DETECTION_GOAL_S = 5.0
RECOVERY_GOAL_S = 90.0
# What has not happened by then does not happen.
LIMIT_S = 150.0
READY_LIMIT_S = 180.0
STEADY_S = 3.0
LOOK_S = 0.02


class NotInTime(Exception):
    """Something did not happen within its limit."""


@dataclass(frozen=True)
class Figures:
    """One stop, in seconds. `noticed_by`: the monitor or the supervisor."""

    fault: str
    part: str
    noticed_by: str
    detection_s: float
    recovery_s: float

    @property
    def total_s(self) -> float:
        return self.detection_s + self.recovery_s


class Ground:
    """The running demo, as its documents, its processes and its health pages show it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._db = firestore.Client(project=PROJECT)

    def pid(self, part: str) -> int:
        return self.stack.run.pids[part]

    def state(self, part: str) -> str | None:
        """What the uptime monitor says of it."""
        found = self._db.document(f"uptime/{_target(part)}").get()
        state: str | None = found.get("state") if found.exists else None
        return state

    def answers(self, part: str) -> bool:
        run = self.stack.run
        return loopback_http.answers(run.health.get(part, f"{run.api}/health"))

    def forget_attempts(self, part: str) -> None:
        self._db.document(f"recovering/{_target(part)}").delete()

    def is_being_recovered(self, part: str) -> bool:
        found = self._db.document(f"recovering/{_target(part)}").get()
        return bool(found.exists and found.get("open"))

    def newest_recovery(self, part: str) -> dict[str, Any]:
        """Empty if there is none."""
        newest = self._db.collection(f"uptime/{_target(part)}/recoveries").order_by("opened_at", direction="DESCENDING")
        found = newest.limit(1).get()
        return dict(found[0].to_dict() or {}) if found else {}

    def is_well(self, part: str) -> bool:
        return self.state(part) == "up" and self.answers(part) and not self.is_being_recovered(part)


def strike(ground: Ground, fault: str, part: str) -> Figures:
    """Stop it, and see it come back. Raises NotInTime."""
    pid = ground.pid(part)
    recovered_before = ground.newest_recovery(part).get("opened_at")
    struck_s = time.monotonic()
    os.kill(pid, signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
    noticed_by = ""

    def noticed() -> bool:
        nonlocal noticed_by
        if ground.stack.run.pids[part] != pid:
            noticed_by = "supervisor"
        elif ground.state(part) == "down":
            noticed_by = "monitor"
        return bool(noticed_by)

    until(noticed, f"{part} is noticed to be down")
    noticed_s = time.monotonic()
    until(lambda: ground.pid(part) != pid and ground.answers(part) and ground.state(part) == "up", f"{part} is back")
    back_s = time.monotonic()
    if fault != "kill":
        until(lambda: ground.newest_recovery(part).get("phase") == "recovered", f"the recovery of {part} is over")
        newest = ground.newest_recovery(part)
        if newest["opened_at"] == recovered_before or newest["winner"] != "restart":
            raise NotInTime(f"{part} came back, but by no recovery: {newest}")
    return Figures(fault, part, noticed_by, noticed_s - struck_s, back_s - noticed_s)


def until(condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    """Raises NotInTime."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {limit_s:.0f} s: {what}")
        time.sleep(LOOK_S)


def _target(part: str) -> str:
    return "api" if part == "functions" else f"connector_{part}"


def measure(ground: Ground, runs: int, random: Random, console: Console) -> list[Figures]:
    """Each fault in its turn. Raises NotInTime."""
    found = []
    for number in range(runs):
        fault = FAULTS[number % len(FAULTS)]
        part = "functions" if fault == "api" else random.choice(sorted(CONNECTORS))
        for each in (*CONNECTORS, "functions"):
            until(partial(ground.is_well, each), f"{each} works before the next stop", READY_LIMIT_S)
        ground.forget_attempts(part)
        # At any moment between two checks.
        time.sleep(random.uniform(0.0, STEADY_S))
        figures = strike(ground, fault, part)
        found.append(figures)
        console.print(
            f"{number + 1:3}/{runs} {fault:5} {part:12} noticed by the {figures.noticed_by} after {figures.detection_s:5.2f} s,"
            f" back {figures.recovery_s:5.2f} s later, {figures.total_s:5.2f} s in all",
            highlight=False,
        )
    return found


def by_fault(found: list[Figures]) -> dict[str, Any]:
    """The line before the last: for each fault how often, who noticed, and the worst of both times."""
    return {
        fault: {
            "n": len(of_it),
            "noticed_by": sorted({one.noticed_by for one in of_it}),
            "detection_s_worst": round(max(one.detection_s for one in of_it), 2),
            "recovery_s_worst": round(max(one.recovery_s for one in of_it), 2),
        }
        for fault in FAULTS
        if (of_it := [one for one in found if one.fault == fault])
    }


def as_json(found: list[Figures]) -> dict[str, Any]:
    """The last line."""
    detection = [one.detection_s for one in found]
    recovery = [one.recovery_s for one in found]
    return {
        "runs": len(found),
        "detection_s_p50": round(median(detection), 2),
        "detection_s_worst": round(max(detection), 2),
        "recovery_s_p50": round(median(recovery), 2),
        "recovery_s_worst": round(max(recovery), 2),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.recovery", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="how many times a service is stopped (20)")
    parser.add_argument("--seed", type=int, default=1, help="which connector, and when (1)")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print("starting the demo on free ports", highlight=False)
    try:
        with Stack("demo") as stack:
            os.environ["FIRESTORE_EMULATOR_HOST"] = stack.run.firestore
            found = measure(Ground(stack), max(1, options.runs), Random(options.seed), console)
    except NotInTime as missed:
        console.print(f"[red]{missed}[/red]")
        return 1
    figures = as_json(found)
    print(json.dumps({"by_fault": by_fault(found)}))
    print(json.dumps(figures), flush=True)
    met = figures["detection_s_worst"] <= DETECTION_GOAL_S and figures["recovery_s_worst"] <= RECOVERY_GOAL_S
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
