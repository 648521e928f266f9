"""Recovery with all parts: what hangs is found by the monitor, killed and started again, and all of it is on record."""

from __future__ import annotations

import os
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
