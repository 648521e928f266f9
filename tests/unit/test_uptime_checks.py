"""What checks make of a target's state."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from keepline.domain.errors import InvalidInput
from keepline.domain.uptime_checks import (
    ANSWERS,
    INTERVALS_S,
    PRESETS,
    STOPPED,
    Check,
    Condition,
    Pace,
    State,
    Verdict,
    after,
    pace_of,
    put_to_rest,
    struck,
)
from keepline.domain.uptime_counts import DayCounts, with_check
from keepline.domain.uptime_trend import slow_in_s

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PACE = PRESETS["balanced"]
NEW = Condition(State.UNKNOWN, NOON)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def seen(condition: Condition, *results: int | str, begin: float = 0.0, pace: Pace = PACE) -> Condition:
    """Checks every interval: milliseconds for an answer, a code for a failure."""
    for number, result in enumerate(results):
        moment = at(begin + number * pace.interval_s)
        check = Check(moment, ANSWERS, result) if isinstance(result, int) else Check(moment, result)
        condition = after(condition, check, pace)
    return condition


def test_the_first_good_check_makes_a_target_up() -> None:
    found = seen(NEW, 20)
    assert (found.state, found.verdict) == (State.UP, Verdict.UP)
    assert NEW.verdict is None


def test_one_failure_is_no_outage_and_the_next_check_comes_soon() -> None:
    found = seen(NEW, 20, "timeout")
    assert found.state is State.UP
    assert found.is_in_doubt
    assert not seen(found, 20, begin=10).is_in_doubt


def test_an_outage_began_with_the_first_failed_check_of_its_row_not_with_the_verdict() -> None:
    found = seen(NEW, 20, "timeout", "timeout", "bad_status")
    assert (found.state, found.code) == (State.DOWN, "bad_status")
    assert found.outage_began == at(5)
    assert found.since == at(15)


def test_a_failure_before_a_good_check_is_not_part_of_the_row() -> None:
    found = seen(NEW, "timeout", "timeout", 20, "timeout", "timeout", "timeout")
    assert found.outage_began == at(15)


def test_an_outage_ends_with_the_first_good_check_of_a_row_that_lasts() -> None:
    down = seen(NEW, 20, "timeout", "timeout", "timeout")
    still = seen(down, 20, "timeout", 20, begin=20)
    assert (still.state, still.outage_began) == (State.DOWN, at(5))
    found = seen(still, 20, begin=35)
    assert (found.state, found.since, found.outage_began) == (State.UP, at(30), None)


def test_half_of_a_window_slow_is_degraded_until_fewer_than_a_quarter_are() -> None:
    fast, slow = 20, PACE.slow_ms + 1
    found = seen(NEW, fast, slow, fast, slow)
    assert (found.state, found.code) == (State.DEGRADED, "slow")
    found = seen(found, *[fast] * 4, begin=20)
    assert found.state is State.DEGRADED  # Two of eight.
    found = seen(found, fast, begin=40)
    assert found.state is State.UP


def test_a_single_slow_answer_changes_nothing() -> None:
    assert seen(NEW, PACE.slow_ms + 1).state is State.UP
    assert seen(NEW, 20, 20, 20, PACE.slow_ms + 1).state is State.UP


def test_what_failed_in_an_outage_does_not_degrade_what_comes_after_it() -> None:
    down = seen(NEW, *["timeout"] * 12)
    assert seen(down, 20, 20, 20, 20, begin=60).state is State.UP


def test_a_degraded_target_can_go_down_and_comes_back_up() -> None:
    found = seen(NEW, *[PACE.slow_ms + 1] * 6)
    assert found.state is State.DEGRADED
    found = seen(found, *["timeout"] * 3, begin=30)
    assert found.state is State.DOWN
    assert seen(found, 20, 20, begin=45).state is State.UP


def test_an_outage_that_others_found_ends_with_the_next_good_checks() -> None:
    found = struck(seen(NEW, 20), at(1), at(4), "lease_ran_out")
    assert (found.state, found.outage_began, found.since) == (State.DOWN, at(1), at(4))
    assert struck(found, at(2), at(5), "other") == found
    found = seen(found, 20, 20, begin=6)
    assert (found.state, found.since) == (State.UP, at(6))


def test_what_stops_on_purpose_is_neither_up_nor_down() -> None:
    found = put_to_rest(seen(NEW, 20), at(9), STOPPED)
    assert (found.state, found.code, found.since) == (State.UNKNOWN, STOPPED, at(9))
    assert put_to_rest(found, at(10), STOPPED) is found


def test_answers_that_get_slower_are_foretold_before_they_are_slow() -> None:
    random = Random(7)
    rising = [round(100 + 15 * number + random.uniform(-10, 10)) for number in range(40)]
    condition, foretold = NEW, None
    for number, ms in enumerate(rising):
        condition = after(condition, Check(at(number * 5), ANSWERS, ms), PACE)
        if condition.degrading_since is not None:
            foretold = number
            break
    assert foretold is not None
    assert condition.verdict is Verdict.DEGRADING
    assert condition.state is State.UP
    assert rising[foretold] < PACE.slow_ms / 2


@pytest.mark.parametrize("seed", range(50))
def test_answers_that_only_scatter_foretell_nothing(seed: int) -> None:
    random = Random(seed)
    answers = [(5.0 * number, 100 * random.lognormvariate(0, 0.5)) for number in range(60)]
    assert all(slow_in_s(answers[:n], 1_000) is None for n in range(1, 61))


@pytest.mark.parametrize("seed", range(50))
def test_the_ages_of_heartbeats_foretell_nothing(seed: int) -> None:
    random = Random(seed)
    answers = [(3.0 * number, random.uniform(0, 1_100)) for number in range(60)]
    assert all(slow_in_s(answers[:n], 2_000) is None for n in range(1, 61))


def test_a_few_answers_that_stand_out_foretell_nothing() -> None:
    answers = [(5.0 * number, 900.0 if number % 10 == 9 else 50.0) for number in range(60)]
    assert slow_in_s(answers, 1_000) is None


def test_every_preset_keeps_the_bounds_and_the_intervals() -> None:
    for name, pace in PRESETS.items():
        assert pace_of(name, {}) == pace
        assert pace.interval_s in INTERVALS_S


@pytest.mark.parametrize(
    ("preset", "overrides"),
    [
        ("fast", {}),
        ("balanced", {"interval_s": 4}),
        ("balanced", {"failures_until_down": 0}),
        ("balanced", {"slow_ms": 4_000}),
        ("balanced", {"timeout_ms": 40_000}),
    ],
)
def test_a_pace_out_of_bounds_is_refused(preset: str, overrides: dict[str, int]) -> None:
    with pytest.raises(InvalidInput) as refused:
        pace_of(preset, overrides)
    assert refused.value.code == "bad_pace"


def test_what_is_overridden_holds() -> None:
    assert pace_of("balanced", {"interval_s": 10, "failures_until_down": 2}).failures_until_down == 2


def test_a_check_that_failed_is_not_slow_as_well() -> None:
    day = with_check(DayCounts(date(2026, 3, 1)), ok=False, ms=900, slow_ms=500, watched_s=5.0)
    assert (day.checks, day.failures, day.slow) == (1, 1, 0)
    assert with_check(day, ok=True, ms=501, slow_ms=500, watched_s=5.0).slow == 1


def test_what_is_slow_already_is_no_prediction() -> None:
    rising = [(float(n), 100.0 + 10 * n) for n in range(40)]
    assert slow_in_s(rising, 500) is not None
    assert slow_in_s(rising, 400) is None
