"""Recovery with all parts: what hangs is found by the monitor, killed and started again, and all of it is on record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from keepline_local.stack import Stack
from tests.chaos.recovery import DETECTION_GOAL_S, RECOVERY_GOAL_S, Ground, strike, until

from .keepline import Api

PART = "connector-1"
FIRST_RUN_S = 90.0


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """A run of its own: in the others what is stopped stays stopped."""
    with Stack("demo") as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRESTORE_EMULATOR_HOST", stack.run.firestore)
        yield Ground(stack)


def steps(recovery: dict[str, Any]) -> dict[str, str]:
    return {step["way"]: step["state"] for step in recovery["steps"]}


def test_make_status_shows_the_figures_of_the_api(ground: Ground) -> None:
    until(lambda: ground.is_well(PART), f"{PART} is watched and up", FIRST_RUN_S)
    run = ground.stack.run
    environment = {**os.environ, "KEEPLINE_STATE_DIR": str(ground.stack.state.root)}
    command = [sys.executable, "-m", "keepline_local.status"]
    printed = subprocess.run([*command, "--json"], env=environment, capture_output=True, timeout=60, check=False)
    shown = json.loads(printed.stdout)
    assert shown["url"] == run.api
    assert not {"fleet", "sessions", "uptime"} & set(shown["missing"])
    told = Api(run.api, run.api_key).json("GET", "/api/fleet")
    assert [one["id"] for one in shown["fleet"]["connectors"]] == [one["id"] for one in told["connectors"]]
    assert {one["target_id"]: one["state"] for one in shown["uptime"]["targets"]}[f"connector_{PART}"] == "up"
    drawn = subprocess.run(
        [*command, "--once"], env=environment, capture_output=True, timeout=60, text=True, check=False
    )
    print(drawn.stdout)
    assert PART in drawn.stdout
    assert "alive" in drawn.stdout


def test_a_connector_that_hangs_is_killed_and_started_again_and_the_same_with_the_api(ground: Ground) -> None:
    for part, fault in ((PART, "hang"), ("functions", "api")):
        until(lambda part=part: ground.is_well(part), f"{part} is watched and up", FIRST_RUN_S)  # type: ignore[misc]
        hung = ground.pid(part)
        figures = strike(ground, fault, part)
        print(figures)
        assert figures.noticed_by == "monitor"
        assert figures.detection_s <= DETECTION_GOAL_S
        assert figures.recovery_s <= RECOVERY_GOAL_S
        assert not os.path.exists(f"/proc/{hung}")  # noqa: PTH110 - a process, not a file
        assert steps(ground.newest_recovery(part)) == {"restart": "done", "redeploy": "not_offered"}
    run = ground.stack.run
    told = Api(run.api, run.api_key).json("GET", f"/api/uptime/connector_{PART}")
    assert told["incidents"][0]["ended_at"] is not None
