"""What a cell tells of its connections' quality: changes only, of a connection that counts."""

from __future__ import annotations

import time

import pytest

from keepline.domain.link_events import QualityChanged
from keepline.domain.link_quality import GOOD_AFTER_S, POOR_AFTER_S, PathSample
from keepline_connector.cell.quality import QualityWatch


class Told(list[tuple[bool, str]]):
    def __call__(self, event: QualityChanged) -> None:
        self.append((event.is_poor, event.because))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def watch(told: Told) -> QualityWatch:
    made = QualityWatch(told)
    made.connected()
    return made


def look(watch: QualityWatch, seconds: float, *, from_s: float, lost: int = 0, connection: int = 1) -> None:
    """A look each second from so many seconds on. `lost` of 100 segments a second are sent again."""
    now_s = time.monotonic()
    for second in range(int(seconds) + 1):
        at_s = from_s + second
        sent, retransmitted = int(at_s) * 100, int(at_s) * lost
        watch.look(PathSample(now_s + at_s, 10, 0, 20.0, sent, retransmitted, 0, 10, connection))


def test_a_change_is_told_once_each_way(watch: QualityWatch, told: Told) -> None:
    look(watch, 3 * POOR_AFTER_S, from_s=0, lost=40)
    assert told == [(True, "lossy_path")]
    assert watch.score is not None
    assert watch.score < 60
    now_s = time.monotonic()
    for second in range(int(2 * GOOD_AFTER_S) + 1):
        watch.look(PathSample(now_s + 100 + second, 10, 0, 20.0, 10_000, 240))
    assert told == [(True, "lossy_path"), (False, "")]
    assert watch.score == 100


def test_messages_that_wait_for_their_answers_make_it_poor(watch: QualityWatch, told: Told) -> None:
    with watch.waiting(), watch.waiting(), watch.waiting():
        look(watch, 10, from_s=0)
    assert told == [(True, "slow_acks")]


def test_answers_in_time_are_nothing_to_tell(watch: QualityWatch, told: Told) -> None:
    for second in range(10):
        with watch.waiting() as answered:
            answered()
        look(watch, 0, from_s=second)
    assert told == []
    assert watch.score == 100


def test_what_is_not_logged_in_is_not_judged(watch: QualityWatch, told: Told) -> None:
    watch.disconnected()
    look(watch, 10, from_s=0, lost=40)
    assert told == []
    assert watch.score is None


def test_a_connection_that_was_poor_before_it_stalled_is_told_of_anew(watch: QualityWatch, told: Told) -> None:
    look(watch, 3, from_s=0, lost=40)
    watch.interrupted()
    look(watch, 5, from_s=10, lost=40)
    assert told == [(True, "lossy_path")] * 2


def test_a_new_connection_is_good_until_it_is_found_otherwise(watch: QualityWatch, told: Told) -> None:
    look(watch, 3, from_s=0, lost=40)
    watch.disconnected()
    watch.connected()
    look(watch, 30, from_s=10, connection=2)
    assert told == [(True, "lossy_path")], "the supervisor knows of the new one by its login"
