"""What `make chaos` prints of its figures."""

from __future__ import annotations

import json

from tests.chaos.faults_phase import Result
from tests.chaos.faults_table import as_json, is_missed
from tests.chaos.injecting import Figures


def test_a_gap_that_never_ends_is_null_in_json_and_missed() -> None:
    figures = Figures()
    figures.samples["gap"] = [0.1, float("inf")]
    printed = json.dumps(as_json({"standby": Result({"deploy": figures})}), allow_nan=False)
    assert json.loads(printed)["faults"]["deploy/standby"] == {
        "n": 2,
        "p50_s": 0.1,
        "p99_s": None,
        "worst_s": None,
        "goal_s": 0.5,
        "missed": True,
    }


def test_a_figure_is_missed_beyond_its_goal() -> None:
    assert is_missed([0.1, 0.6], 0.5)
    assert not is_missed([0.1, 0.5], 0.5)
    assert not is_missed([0.1, 0.6], None)
    assert is_missed([0.1, float("inf")], None)
