"""Which of a connector's processes is to be replaced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keepline.domain.cell_recycling import BARE_MB, JITTER, YOUNG_S, CellFacts, RecycleLimits, cell_to_recycle

DAY_S = 86_400.0
LIMITS = RecycleLimits(device_mb_max=10, age_max_s=DAY_S)
SOUND = CellFacts("cell-1", age_s=3_600, jitter=0.5, rss_mb=BARE_MB + 200, devices=20)


def test_a_process_within_its_limits_stays() -> None:
    assert cell_to_recycle([SOUND], LIMITS) is None
    assert cell_to_recycle([], LIMITS) is None


def test_the_memory_limit_grows_with_the_devices() -> None:
    assert cell_to_recycle([replace(SOUND, devices=19)], LIMITS) == ("cell-1", "memory")


def test_one_that_is_young_is_not_replaced_for_its_memory_lest_that_never_ends() -> None:
    swollen = replace(SOUND, rss_mb=5_000)
    assert cell_to_recycle([replace(swollen, age_s=YOUNG_S - 1)], LIMITS) is None
    assert cell_to_recycle([replace(swollen, age_s=YOUNG_S)], LIMITS) == ("cell-1", "memory")


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_the_age_limit_lies_in_the_last_part_of_the_whole_at_another_moment_for_each(jitter: float) -> None:
    due_s = DAY_S * (1 - JITTER * jitter)
    assert cell_to_recycle([replace(SOUND, jitter=jitter, age_s=due_s - 1)], LIMITS) is None
    assert cell_to_recycle([replace(SOUND, jitter=jitter, age_s=due_s)], LIMITS) == ("cell-1", "age")
    assert DAY_S * (1 - JITTER) < due_s <= DAY_S


def test_the_worst_goes_first_and_memory_before_age() -> None:
    old = replace(SOUND, name="cell-2", age_s=2 * DAY_S)
    older = replace(old, name="cell-3", age_s=3 * DAY_S)
    bad = replace(SOUND, name="cell-4", rss_mb=400)
    worse = replace(SOUND, name="cell-5", rss_mb=300, devices=2)
    assert cell_to_recycle([old, older], LIMITS) == ("cell-3", "age")
    assert cell_to_recycle([old, bad, worse], LIMITS) == ("cell-5", "memory")
