"""The quality of a connection: what is measured, what it means, and that it does not waver."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepline.domain.link_quality import (
    DEAD_SILENT_MS,
    GOOD_FROM,
    SUSPECT_BELOW,
    WINDOW_S,
    LinkQuality,
    PathSample,
    Quality,
)

FINE = PathSample(
    at_s=0.0, frame_age_ms=100, silent_ms=0, round_trip_ms=40.0, retransmitted=0, unacked_ms=0, ack_age_ms=90
)


def test_a_good_connection_has_full_marks_and_nothing_to_explain() -> None:
    seen = LinkQuality().assess(FINE)
    assert (seen.quality, seen.score, seen.because, seen.wants_probe) == (Quality.GOOD, 100, (), False)
    assert seen.sentence == "The connection is good."


def test_a_kernel_that_tells_nothing_is_no_reproach() -> None:
    assert LinkQuality().assess(PathSample(0.0, 100, 0)).score == 100


@pytest.mark.parametrize(
    ("worse", "code"),
    [
        ({"round_trip_ms": 2_000.0}, "slow_path"),
        ({"unacked_ms": 1_100}, "path_silent"),
        ({"silent_ms": 5_000, "frame_age_ms": 5_100}, "whatsapp_silent"),
    ],
)
def test_what_is_bad_lowers_the_score_and_is_named(worse: dict[str, float], code: str) -> None:
    seen = LinkQuality().assess(replace(FINE, **worse))  # type: ignore[arg-type]
    assert seen.score < 80
    assert seen.because[0] == code
    assert seen.sentence.endswith(".")


def test_no_single_slowness_is_a_suspicion_but_two_are() -> None:
    slow = replace(FINE, round_trip_ms=5_000.0)
    assert LinkQuality().assess(slow).quality is Quality.GOOD
    both = LinkQuality().assess(replace(slow, silent_ms=6_000, frame_age_ms=6_000))
    assert both.quality is Quality.SUSPECT
    assert both.because == ("whatsapp_silent", "slow_path")


def test_only_new_retransmissions_count() -> None:
    quality = LinkQuality()
    assert quality.assess(replace(FINE, retransmitted=500)).score == 100
    assert quality.assess(replace(FINE, at_s=1.0, retransmitted=512)).because == ("lossy_path",)
    assert quality.assess(replace(FINE, at_s=1.0 + WINDOW_S, retransmitted=512)).score == 100


def test_a_message_that_waits_for_its_acknowledgement_makes_the_connection_suspect_within_five_seconds() -> None:
    quality = LinkQuality()
    assert quality.assess(FINE, waiting_ms=1_500).score == 100
    seen = quality.assess(replace(FINE, at_s=5.0), waiting_ms=5_000)
    assert (seen.quality, seen.because) == (Quality.SUSPECT, ("slow_acks",))


def test_one_slow_acknowledgement_is_no_trend_and_an_old_one_is_forgotten() -> None:
    quality = LinkQuality()
    for _ in range(3):
        quality.acknowledged(100, 0.0)
    quality.acknowledged(6_000, 0.0)
    assert quality.assess(FINE).quality is Quality.GOOD
    for _ in range(4):
        quality.acknowledged(6_000, 0.0)
    assert quality.assess(FINE).quality is Quality.SUSPECT
    assert quality.assess(replace(FINE, at_s=WINDOW_S + 1)).score == 100


def test_silence_asks_for_a_probe_and_an_unanswered_one_is_the_end() -> None:
    quality = LinkQuality()
    silent = replace(FINE, at_s=10.0, silent_ms=2_000, frame_age_ms=2_000)
    seen = quality.assess(silent)
    assert (seen.quality, seen.wants_probe) == (Quality.GOOD, True)
    quality.unanswered(asked_at_s=10.0)
    seen = quality.assess(replace(silent, at_s=13.0, silent_ms=5_000, frame_age_ms=5_000))
    assert (seen.quality, seen.score, seen.because[0]) == (Quality.DEAD, 0, "probe_unanswered")
    assert not seen.wants_probe


def test_bytes_that_come_after_all_raise_the_dead() -> None:
    quality = LinkQuality()
    quality.unanswered(asked_at_s=10.0)
    assert quality.assess(replace(FINE, at_s=13.0, frame_age_ms=4_000)).quality is Quality.DEAD
    assert quality.assess(replace(FINE, at_s=14.0, frame_age_ms=500)).quality is Quality.GOOD


def test_silence_that_has_outlasted_the_librarys_own_ping_is_the_end() -> None:
    silent = replace(FINE, silent_ms=DEAD_SILENT_MS, frame_age_ms=DEAD_SILENT_MS)
    assert LinkQuality().assess(silent).quality is Quality.DEAD


def test_a_new_connection_begins_with_a_clean_slate() -> None:
    quality = LinkQuality()
    quality.acknowledged(60_000, 0.0)
    assert quality.assess(replace(FINE, unacked_ms=5_000)).quality is Quality.DEAD
    quality.connected()
    assert quality.assess(FINE).score == 100


@given(st.lists(st.integers(0, 45_000), min_size=1, max_size=60))
def test_the_state_changes_only_across_the_whole_distance_between_its_thresholds(waits: list[int]) -> None:
    quality = LinkQuality()
    before = Quality.GOOD
    for second, waiting_ms in enumerate(waits):
        seen = quality.assess(replace(FINE, at_s=float(second)), waiting_ms)
        assert 0 <= seen.score <= 100
        if before is Quality.GOOD and seen.quality is Quality.SUSPECT:
            assert seen.score < SUSPECT_BELOW
        if before is Quality.SUSPECT and seen.quality is Quality.GOOD:
            assert seen.score >= GOOD_FROM
        if SUSPECT_BELOW <= seen.score < GOOD_FROM:
            assert seen.quality is before
        before = seen.quality


@given(st.integers(0, 60_000), st.integers(0, 60_000), st.floats(0, 1e5), st.floats(0, 1e5))
def test_worse_is_never_better(silent: int, longer: int, round_trip: float, slower: float) -> None:
    here = LinkQuality().assess(replace(FINE, silent_ms=silent, frame_age_ms=silent, round_trip_ms=round_trip))
    worse = replace(FINE, silent_ms=silent + longer, frame_age_ms=silent, round_trip_ms=round_trip + slower)
    assert LinkQuality().assess(worse).score <= here.score
