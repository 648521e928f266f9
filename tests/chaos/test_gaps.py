"""The measuring itself: gaps and voices that are planted are found, and a sound history has none."""

from __future__ import annotations

from tests.chaos.gaps import Acceptance, Take, gap_s, quantile, two_voices

STEADY = [n / 10 for n in range(1000)]


def test_a_steady_flow_has_no_gap() -> None:
    assert gap_s(STEADY, 50.0, 60.0) < 0.01


def test_a_hole_is_measured_less_the_usual_spacing() -> None:
    times = [at for at in STEADY if not 50.05 < at < 52.45]
    assert abs(gap_s(times, 50.05, 60.0) - 2.4) < 0.01


def test_a_second_hole_before_all_is_whole_counts() -> None:
    times = [at for at in STEADY if not 50.05 < at < 50.35 and not 55.05 < at < 58.15]
    assert abs(gap_s(times, 50.05, 60.0) - 3.1) < 0.01
    assert abs(gap_s(times, 50.05, 52.0) - 0.3) < 0.01


def test_silence_for_ever_is_no_short_gap() -> None:
    assert gap_s([at for at in STEADY if at < 50], 50.0, 60.0) == float("inf")


def test_quantiles_of_few_are_the_worst() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert quantile([float(n) for n in range(1, 201)], 0.99) == 198.0


def heard(*voices: tuple[float, int]) -> list[Acceptance]:
    return [Acceptance(at, device, f"{at}") for at, device in voices]


TAKES = [Take(1, 1, 0.0), Take(2, 2, 9.9), Take(3, 2, 12.0), Take(4, 1, 20.0)]


def test_one_voice_after_the_other() -> None:
    assert two_voices(heard((1, 1), (9, 1), (10, 2), (13, 2), (21, 1)), TAKES) == []


def test_the_earlier_voice_after_the_later_one() -> None:
    found = two_voices(heard((1, 1), (10, 2), (11, 1), (13, 2), (21, 1)), TAKES)
    assert [one.at for one in found] == [11]


def test_a_voice_before_its_generation() -> None:
    assert [one.at for one in two_voices(heard((1, 1), (5, 2), (10, 2)), TAKES)] == [5]


def test_a_generation_that_nobody_saw_may_have_been_anybodys() -> None:
    assert two_voices(heard((1, 1), (10, 2), (11, 1)), [Take(1, 1, 0.0), Take(3, 1, 10.5)]) == []
