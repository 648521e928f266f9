"""The quality of a connection: what is measured, what it means, and that it does not waver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepline.domain.link_quality import (
    ACK_MEMORY_S,
    GOOD_AFTER_S,
    GOOD_FROM,
    LEAVE_AGAIN_AFTER_S,
    LOSS_WINDOW_S,
    POOR_AFTER_S,
    POOR_BELOW,
    Assessment,
    LeavingPoorConnections,
    LinkQuality,
    PathSample,
)

FINE = PathSample(
    at_s=0.0, frame_age_ms=100, silent_ms=0, round_trip_ms=40.0, sent=0, retransmitted=0, unacked_ms=0, ack_age_ms=90
)
SLOW_MS = 4_000.0


def over(
    quality: LinkQuality, seconds: float, from_s: float = 0.0, waiting_ms: Sequence[float] = (), **seen: Any
) -> Assessment:
    """The last assessment of so many seconds in which nothing changes, one a second."""
    for second in range(int(seconds) + 1):
        told = quality.assess(replace(FINE, at_s=from_s + second, **seen), waiting_ms)
    return told


def test_a_good_connection_has_full_marks_and_nothing_to_explain() -> None:
    assert LinkQuality().assess(FINE) == Assessment(100, "", is_poor=False)


def test_a_kernel_that_tells_nothing_is_no_reproach() -> None:
    assert LinkQuality().assess(PathSample(0.0, 100, 0)).score == 100


@pytest.mark.parametrize(
    ("worse", "waiting_ms", "code"),
    [
        ({"round_trip_ms": 2_000.0}, [], "slow_path"),
        ({}, [SLOW_MS] * 4, "slow_acks"),
        ({"silent_ms": 5_000, "frame_age_ms": 5_100}, [2_000.0], "whatsapp_silent"),
    ],
)
def test_what_is_bad_lowers_the_score_and_is_named(worse: dict[str, Any], waiting_ms: list[float], code: str) -> None:
    told = LinkQuality().assess(replace(FINE, **worse), waiting_ms)
    assert told.score < GOOD_FROM
    assert told.because == code


def test_silence_of_a_connection_that_owes_no_answer_is_nothing() -> None:
    assert LinkQuality().assess(replace(FINE, silent_ms=25_000, frame_age_ms=25_000)).score == 100


def test_a_slow_country_is_no_poor_connection() -> None:
    quality = LinkQuality()
    for second in range(60):
        quality.acknowledged(2_000, float(second))
        assert not quality.assess(replace(FINE, at_s=float(second), round_trip_ms=800.0), [1_900.0]).is_poor


def test_a_lossy_path_is_poor_by_the_share_that_is_sent_again() -> None:
    quality = LinkQuality()
    quality.assess(replace(FINE, sent=1_000, retransmitted=500))
    assert quality.assess(replace(FINE, at_s=1.0, sent=1_100, retransmitted=504)).score == 100, "4 % of much"
    lossy = LinkQuality()
    lossy.assess(replace(FINE, sent=1_000, retransmitted=500))
    told = over(lossy, POOR_AFTER_S, 1.0, sent=1_030, retransmitted=510)
    assert (told.because, told.is_poor) == ("lossy_path", True)
    assert (
        lossy.assess(replace(FINE, at_s=2.0 + POOR_AFTER_S + LOSS_WINDOW_S, sent=1_030, retransmitted=510)).score == 100
    )


def test_a_few_segments_that_were_lost_are_no_share() -> None:
    quality = LinkQuality()
    quality.assess(FINE)
    assert over(quality, 5, 1.0, sent=5, retransmitted=3).score == 100


def test_one_message_that_waits_is_no_trend_however_long_and_three_are() -> None:
    assert not over(LinkQuality(), 20, waiting_ms=[75_000.0]).is_poor
    told = over(LinkQuality(), POOR_AFTER_S, waiting_ms=[SLOW_MS] * 3)
    assert (told.because, told.is_poor) == ("slow_acks", True)


def test_slow_acknowledgements_are_poor_and_old_ones_are_forgotten() -> None:
    quality = LinkQuality()
    quality.assess(FINE)
    quality.acknowledged(60_000, 0.0)
    assert not over(quality, 20).is_poor, "one slow one is no trend"
    for second in (20.0, 21.0):
        quality.acknowledged(6_000, second)
    assert over(quality, POOR_AFTER_S, 21.0).is_poor
    assert not over(quality, GOOD_AFTER_S, 22.0 + ACK_MEMORY_S).is_poor


def test_one_bad_moment_is_not_poor_and_one_good_moment_is_not_good() -> None:
    quality = LinkQuality()
    waits = [SLOW_MS] * 4
    assert not quality.assess(replace(FINE, at_s=0.0), waits).is_poor
    assert not quality.assess(replace(FINE, at_s=1.9)).is_poor
    assert not quality.assess(replace(FINE, at_s=2.1), waits).is_poor
    assert over(quality, POOR_AFTER_S, 3.0, waits).is_poor
    assert over(quality, GOOD_AFTER_S - 1, 6.0).is_poor
    assert quality.assess(replace(FINE, at_s=16.0), waits).is_poor
    assert not over(quality, GOOD_AFTER_S, 17.0).is_poor


def test_a_new_connection_begins_with_a_clean_slate() -> None:
    quality = LinkQuality()
    quality.assess(FINE)
    for _ in range(5):
        quality.acknowledged(60_000, 0.0)
    assert over(quality, POOR_AFTER_S).is_poor
    assert quality.assess(replace(FINE, at_s=3.0, connection=1)) == Assessment(100, "", is_poor=False)


@given(st.lists(st.floats(0, 20_000), min_size=1, max_size=80))
def test_it_changes_only_after_the_whole_time_beyond_the_whole_distance_between_its_thresholds(
    waits: list[float],
) -> None:
    quality = LinkQuality()
    scores: list[int] = []
    was_poor = False
    for second, waiting_ms in enumerate(waits):
        told = quality.assess(replace(FINE, at_s=float(second)), [waiting_ms] * 6)
        scores.append(told.score)
        assert 0 <= told.score <= 100
        if told.is_poor and not was_poor:
            assert all(score < POOR_BELOW for score in scores[-int(POOR_AFTER_S) - 1 :])
        if was_poor and not told.is_poor:
            assert all(score >= GOOD_FROM for score in scores[-int(GOOD_AFTER_S) - 1 :])
        was_poor = told.is_poor


@given(st.integers(0, 60_000), st.integers(0, 60_000), st.floats(0, 1e5), st.floats(0, 1e5))
def test_worse_is_never_better(waiting: int, longer: int, round_trip: float, slower: float) -> None:
    here = LinkQuality().assess(replace(FINE, round_trip_ms=round_trip), [waiting] * 3)
    worse = LinkQuality().assess(replace(FINE, round_trip_ms=round_trip + slower), [waiting + longer] * 3)
    assert worse.score <= here.score


def test_a_poor_connection_is_left_at_once_and_then_not_again_for_minutes() -> None:
    leaving = LeavingPoorConnections()
    assert leaving.wait_s(100.0) == 0
    leaving.left(100.0)
    assert leaving.wait_s(101.0) == LEAVE_AGAIN_AFTER_S - 1
    assert leaving.wait_s(100.0 + LEAVE_AGAIN_AFTER_S) == 0
