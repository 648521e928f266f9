"""Ten thousand hours and as many faults; two processes, as the machines of CI have two cores and nothing else to do."""

from __future__ import annotations

import pytest

from tests.simulation.apart import run_parts
from tests.simulation.long_run import HOURS_PER_WORLD, live

HOURS = 10_000
FAULTS_MIN = 10_000
CPU_MAX_S = 120.0
PROCESSES = 2


@pytest.mark.timeout(600)
async def test_ten_thousand_hours_lose_nothing_repeat_nothing_and_keep_the_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hours = HOURS // PROCESSES
    worlds = hours // HOURS_PER_WORLD
    parts = [("--hours", str(hours), "--first", str(number * worlds)) for number in range(PROCESSES)]
    with capsys.disabled():
        total, kinds, told = await run_parts("long_run", parts)
    assert total["complaints"] == 0, f"{told}\nOne world again: python -m tests.simulation.long_run --seed N"
    broken = ("lost", "twice", "out_of_order", "stale_settles", "reused_keys", "unheard")
    assert {name: total[name] for name in broken} == dict.fromkeys(broken, 0)
    assert total["hours"] >= HOURS
    assert total["faults"] >= FAULTS_MIN
    assert total["cpu_s"] <= CPU_MAX_S
    # A kind that never strikes defends nothing.
    assert all(kinds[kind] >= FAULTS_MIN / 100 for kind in kinds)
    assert len(kinds) >= 15
    # With these not happening the run would be too kind to say anything.
    assert total["doubts"] >= 500
    assert total["held"] >= 50


def test_a_seed_lives_its_world_again() -> None:
    first, second = live(5, 20), live(5, 20)
    assert first == second
    assert first.complaints == []
