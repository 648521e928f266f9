"""The comparison with the baseline: its arithmetic, its goals, its model of bans. The runs themselves are commands."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench import bans, compare
from bench.baseline.faults import SILENT, STRIKES
from bench.baseline.side import Side
from bench.fault_rates import A_MONTH, MONTH_S, uptime_percent
from keepline.domain import pacing
from tests.chaos.catalogue import FAULTS
from tests.chaos.checker import Sent, Verdict
from tests.chaos.footprint import Footprint, Sample, growing, summary

ASSUMPTIONS = Path(__file__).parents[2] / "docs" / "assumptions.md"


def test_every_fault_of_the_catalogue_is_done_to_the_baseline_too() -> None:
    under_load = {fault.name for fault in FAULTS} - {"nothing", "half_open_idle"}
    assert set(STRIKES) == under_load == set(A_MONTH)
    assert set(STRIKES) > SILENT


def test_the_rates_on_the_page_are_those_that_are_counted_with() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", ASSUMPTIONS.read_text(), re.MULTILINE)
    assert {name: float(rate) for name, rate in rows if name in A_MONTH} == {
        name: round(rate, 1) for name, rate in A_MONTH.items()
    }


def test_uptime_is_what_strikes_leave_of_a_month() -> None:
    assert uptime_percent({"reset": 0.0}) == 100.0
    day_down = {"connector_kill": MONTH_S / 30}
    assert uptime_percent(day_down) == pytest.approx(100 * 29 / 30)
    once, twice = (100 - uptime_percent({"deploy": 1.0}, times) for times in (1, 2))
    assert twice == pytest.approx(2 * once)


def test_what_is_beyond_its_goal_is_named_and_what_never_ended_is_null() -> None:
    lost = Verdict(accepted=2, lost=[Sent("m", "c", 1, "t")])
    ours = Side(
        gaps={"reset": [0.1], "deploy": [float("inf")]}, detections=[2.5], came_back=1, stayed_away=1, verdicts=[lost]
    )
    figures = compare.figures(ours, 2, 3.0)
    json.dumps(figures, allow_nan=False)
    assert figures["downtime_s"]["deploy"] == {"n": 1, "median": None, "worst": None}
    theirs = compare.figures(Side(gaps={"reset": [9.0]}, came_back=1), 1, 10.0)
    assert compare.missed(figures, theirs) == ["downtime deploy", "lost", "detection", "reconnect_success", "bans"]


def test_a_side_without_a_flaw_misses_nothing() -> None:
    ours = compare.figures(Side(gaps={"reset": [0.1]}, detections=[1.0], came_back=1), 2, 1.0)
    assert compare.missed(ours, {"bans_per_1000_account_days": 4.0}) == []


def test_the_model_of_bans_is_the_same_for_the_same_seed_and_has_keepline_at_a_quarter_at_most() -> None:
    found = bans.run(4, 30, 3)
    assert found == bans.run(4, 30, 3)
    assert found["baseline"]["bans_per_1000_account_days"] > 0
    assert found["ratio"] <= compare.BANS_RATIO_GOAL
    assert found["keepline"]["delivered"] > found["baseline"]["delivered"]


def test_the_model_of_bans_sees_a_policy_without_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bans, "NORMAL", pacing.OFF)
    monkeypatch.setattr(pacing.Pacing, "signal", lambda *_, **__: False)
    assert bans.run(4, 30, 3)["ratio"] > compare.BANS_RATIO_GOAL


def test_the_model_of_bans_counts_keep_alives_against_keepline() -> None:
    assert (
        bans.run(2, 30, 3, replace(bans.Assumptions(), pings_per_minute=15))["keepline"]["bans_per_1000_account_days"]
        > 0
    )


def grown(mb_per_sample: float, fds_per_sample: int) -> Footprint:
    samples = [Sample(3.0 * n, 1, 100 + n * mb_per_sample, 50 + n * fds_per_sample) for n in range(100)]
    found = summary(samples)
    assert found is not None
    return found


def test_a_part_that_stays_as_large_as_it_is_is_flat() -> None:
    flat = grown(0.01, 0)
    assert flat.rss_mb_per_h == pytest.approx(12.0)
    assert growing({"functions": flat}) == []


@pytest.mark.parametrize(("mb", "fds"), [(0.5, 0), (0.0, 1)])
def test_a_part_that_grows_is_named_unless_it_stands_in_for_the_cloud(mb: float, fds: int) -> None:
    [sentence] = growing({"connector-1": grown(mb, fds), "firestore": grown(mb, fds)})
    assert sentence.startswith("connector-1 grew")


def test_too_few_samples_say_nothing() -> None:
    assert summary([Sample(3.0 * n, 1, 100, 50) for n in range(4)]) is None
