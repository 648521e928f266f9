"""The uptime monitor with all parts: what is ours is watched by itself, and what happens to it is on record with its times."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from keepline_local.stack import Stack

from .conftest import CONNECTORS
from .keepline import Api, eventually

# The schedule's next minute, and the run's first checks.
FIRST_RUN_S = 75.0
DETECTED_S_MAX = 5.0
HEARTBEAT_S = 1.0
# What answers came from is a second old at most; the machine's own pauses on top.
SLACK_S = 0.5


def targets(api: Api) -> dict[str, dict[str, Any]]:
    return {one["target_id"]: one for one in api.json("GET", "/api/uptime")["targets"]}


def state(api: Api, target: str) -> str | None:
    return targets(api).get(target, {}).get("state")


def test_connectors_and_the_api_are_watched_and_one_that_hangs_is_down_within_5_s(
    stack: Stack, api: Api, frozen: Callable[..., AbstractContextManager[None]]
) -> None:
    ours = ["api", *(f"connector_{name}" for name in CONNECTORS)]
    eventually(lambda: all(state(api, one) == "up" for one in ours), "all that is ours is up", FIRST_RUN_S)
    target = f"connector_{CONNECTORS[0]}"
    hung_at, hung_s = datetime.now(UTC), time.monotonic()
    with frozen(CONNECTORS[0]):
        eventually(lambda: state(api, target) == "down", "it is down", DETECTED_S_MAX + SLACK_S)
        print(f"down after {time.monotonic() - hung_s:.2f} s")
        story = api.json("GET", f"/api/uptime/{target}")
        incident = story["incidents"][0]
        began_at = datetime.fromisoformat(incident["began_at"])
        assert -HEARTBEAT_S - SLACK_S <= (began_at - hung_at).total_seconds() <= SLACK_S
    eventually(lambda: state(api, target) == "up", "it is up again")
    eventually(lambda: api.json("GET", f"/api/uptime/{target}")["incidents"][0]["ended_at"], "the outage is over")
    assert state(api, "api") == "up"
