"""The application's keep-alive: quiet while there is traffic, and it gives way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepline.domain.keep_alive import INTERVAL_S_MAX, REST_S, KeepAlive

INTERVAL_S_MIN = 10.0


def test_it_is_due_after_ten_seconds_without_anything_heard() -> None:
    device = KeepAlive(INTERVAL_S_MIN, 100.0)
    assert device.due_s() == 110.0
    device.heard(105.0, 0.0)
    assert device.due_s() == 115.0
    device.heard(101.0, 0.0)  # told late
    assert device.due_s() == 115.0


def test_devices_do_not_ask_in_step() -> None:
    device = KeepAlive(INTERVAL_S_MIN, 0.0)
    device.heard(0.0, 0.5)
    assert device.due_s() == pytest.approx(9.5)


def test_a_rate_signal_doubles_the_interval_and_rests_five_minutes() -> None:
    device = KeepAlive(INTERVAL_S_MIN, 0.0)
    device.rate_signal(5.0)
    assert device.interval_s == 2 * INTERVAL_S_MIN
    assert device.due_s() == 5.0 + REST_S


def test_a_flood_of_signals_is_one_signal() -> None:
    device = KeepAlive(INTERVAL_S_MIN, 0.0)
    for n in range(10):
        device.rate_signal(5.0 + n)
    assert device.interval_s == 2 * INTERVAL_S_MIN
    device.rate_signal(5.0 + REST_S)
    assert device.interval_s == 4 * INTERVAL_S_MIN


def test_it_creeps_back_with_answers() -> None:
    device = KeepAlive(INTERVAL_S_MIN, 0.0)
    device.rate_signal(0.0)
    now_s, answers = REST_S, 0
    while device.interval_s > INTERVAL_S_MIN:
        device.answered(now_s, 0.0)
        now_s, answers = device.due_s(), answers + 1
    assert answers == 7


@given(st.lists(st.tuples(st.sampled_from(["heard", "answered", "rate"]), st.floats(0, 1_000)), max_size=60))
def test_the_interval_stays_within_its_bounds_and_a_rest_is_kept(steps: list[tuple[str, float]]) -> None:
    device, now_s, rested_until_s = KeepAlive(INTERVAL_S_MIN, 0.0), 0.0, 0.0
    for what, later_s in steps:
        now_s += later_s
        match what:
            case "heard":
                device.heard(now_s, 0.5)
            case "answered":
                device.answered(now_s, 0.5)
            case "rate":
                if now_s >= rested_until_s:
                    rested_until_s = now_s + REST_S
                device.rate_signal(now_s)
        assert INTERVAL_S_MIN <= device.interval_s <= INTERVAL_S_MAX
        assert device.due_s() >= rested_until_s
        assert device.due_s() <= max(rested_until_s, now_s + INTERVAL_S_MAX)
