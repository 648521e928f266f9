"""When a connection that stands is said to have stalled, and to go on."""

from __future__ import annotations

import time

import pytest

from keepline.domain.link_events import Resumed, Stalled
from keepline.domain.link_quality import PathSample
from keepline_connector.cell.stalls import Stalls

MUTE_MS = 2_000


class Told(list[str]):
    def __call__(self, event: Stalled | Resumed) -> None:
        self.append(type(event).__name__)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def stalls(told: Told) -> Stalls:
    made = Stalls(told)
    made.connected()
    return made


def sample(
    after_s: float, *, heard_ms: int = 0, silent_ms: int = 0, unacked_ms: int = 0, connection: int = 1
) -> PathSample:
    at_s = time.monotonic() + after_s
    return PathSample(at_s, heard_ms, silent_ms, 0.1, 1, 0, unacked_ms, 0, connection)


def test_a_send_that_nothing_comes_back_after_is_a_stall_and_told_once(stalls: Stalls, told: Told) -> None:
    with stalls.answer_owed():
        stalls.look(sample(1.0, heard_ms=1_000, silent_ms=1_000))
        assert told == []
        stalls.look(sample(2.0, heard_ms=MUTE_MS, silent_ms=MUTE_MS))
        stalls.look(sample(2.2, heard_ms=MUTE_MS, silent_ms=MUTE_MS))
    assert told == ["Stalled"]


def test_a_frame_that_nobody_has_to_answer_is_none(stalls: Stalls, told: Told) -> None:
    stalls.look(sample(9.0, heard_ms=9_000, silent_ms=9_000))
    with stalls.answer_owed():
        stalls.look(sample(0.3, heard_ms=9_300, silent_ms=9_300))  # what is owed has only been asked for
    assert told == []


def test_a_kernel_that_owes_an_acknowledgement_is_one(stalls: Stalls, told: Told) -> None:
    stalls.look(sample(1.0, unacked_ms=1_200))
    assert told == ["Stalled"]


def test_what_comes_on_the_same_connection_ends_it(stalls: Stalls, told: Told) -> None:
    stalls.look(sample(1.0, heard_ms=MUTE_MS, unacked_ms=1_200))
    stalls.look(sample(1.5, heard_ms=MUTE_MS + 500))
    assert told == ["Stalled"]
    stalls.look(sample(2.0, heard_ms=100))
    assert told == ["Stalled", "Resumed"]


def test_another_connection_does_not_end_it_before_its_login(stalls: Stalls, told: Told) -> None:
    stalls.look(sample(1.0, unacked_ms=1_200))
    stalls.look(sample(2.0, heard_ms=10, connection=2))
    assert told == ["Stalled"]
    stalls.disconnected()
    stalls.look(sample(3.0, unacked_ms=1_200, connection=2))
    assert told == ["Stalled"], "it is not logged in: there is nothing that could stall"
    stalls.connected()
    stalls.look(sample(4.0, unacked_ms=1_200, connection=2))
    assert told == ["Stalled", "Stalled"]
