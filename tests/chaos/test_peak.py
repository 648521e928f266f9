"""Messages a second, from the times at which WhatsApp took them."""

from __future__ import annotations

import pytest

from tests.chaos.peak import per_second, steadiness
from tests.chaos.soak import Plan


def test_the_peak_ends_with_the_last_message_of_the_burst() -> None:
    arrivals = [9.0, 10.5, 11.0, 12.0, 11.5, 30.0]  # one of before, one of after
    assert per_second(arrivals, began_at=10.0, count=4) == 2.0


def test_what_is_sent_is_the_share_of_the_peak_that_was_asked_for() -> None:
    assert Plan(minutes=1.0, seed=1, rate=None, calm=True).rate_of(20.0) == 10.0
    assert Plan(minutes=1.0, seed=1, rate=None, calm=True, share=0.25).rate_of(20.0) == 5.0


def test_a_straggler_lowers_the_peak() -> None:
    assert per_second([10.1, 10.2, 14.0], began_at=10.0, count=3) == pytest.approx(0.75)


def test_a_time_in_which_little_was_sent_shows() -> None:
    steady = [number * 0.5 for number in range(200)]
    assert steadiness(steady, 0.0, 100.0) == (2.0, 2.0)
    sinking = [at for at in steady if at < 90.0] + [95.0]
    assert steadiness(sinking, 0.0, 100.0) == pytest.approx((1.81, 0.1))
    assert steadiness([], 0.0, 10.0) == (0.0, 0.0)
