"""The report: pages come from kept results alone, the same figures give the same bytes, and a regression is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.report import history, pages, plots, summary
from bench.report.results import Machine, Result, json_lines, kept
from bench.report.runs import RUNS

ROOT = Path(__file__).parents[2]


def result(name: str, figures: Any) -> Result:
    machine = Machine(cores=2, memory_gib=8, cpu="a processor", python="3.11")
    return Result(name, f"python -m {name}", True, 7, "2026-11-22", "abc1234", machine, 1.0, 0, figures)


def side(**changes: Any) -> dict[str, Any]:
    usual = {
        "downtime_s": {
            "reset": {"n": 2, "median": 0.05, "worst": 0.08},
            "deploy": {"n": 1, "median": 0.04, "worst": 0.04},
        },
        "lost": 0,
        "duplicated": 0,
        "out_of_order": 0,
        "accepted": 900,
        "incoming": 180,
        "incoming_lost": 0,
        "detection_s_median": 1.3,
        "detection_s_worst": 1.9,
        "reconnect_success": 1.0,
        "reconnects": 24,
        "second_qr": 0,
        "operator_restarts": 0,
        "uptime_percent": 99.995,
        "bans_per_1000_account_days": 0.4,
    }
    return usual | changes


@pytest.fixture
def compared() -> dict[str, Result]:
    never = {"reset": {"n": 2, "median": 5.1, "worst": 5.2}, "deploy": {"n": 1, "median": None, "worst": None}}
    theirs = side(lost=31, duplicated=4, downtime_s=never, bans_per_1000_account_days=9.0, detection_s_worst=None)
    figures = {
        "seed": 7,
        "keepline": side(),
        "baseline": theirs,
        "goals": {"downtime_s_max": 0.5, "bans_ratio_max": 0.25},
    }
    return {"compare": result("compare", figures)}


def test_the_page_and_the_summary_are_what_make_report_writes_from_the_kept_results(tmp_path: Path) -> None:
    results = kept()
    assert results, "no results are kept"
    page, readme = tmp_path / "reliability.md", tmp_path / "README.md"
    readme.write_text((ROOT / "README.md").read_text())
    pages.write(results, page, readme)
    assert page.read_text() == pages.PAGE.read_text(), (
        "docs/reliability.md was changed by hand, or `make report` has to be run"
    )
    assert readme.read_text() == pages.README.read_text()


def test_every_fault_of_the_comparison_has_a_row_with_both_sides_and_the_line_has_them_all(
    compared: dict[str, Result],
) -> None:
    line = summary.line(compared, [])
    assert line["keepline"]["downtime_reset_s"] == 0.05 and line["baseline"]["downtime_reset_s"] == 5.1
    assert line["baseline"]["downtime_deploy_s"] is None
    assert (line["keepline"]["lost"], line["baseline"]["lost"]) == (0, 31)
    assert line["missed"] == []
    assert line["keepline"].keys() == {row.key for row in summary.rows(compared)}
    text = pages.rendered(compared)
    assert "| reset | 0.05 s (0.08, 2) | 5.1 s (5.2, 2) |" in text
    assert "never ended" in text


def test_a_missed_goal_is_said(compared: dict[str, Result]) -> None:
    figures = compared["compare"].figures | {"keepline": side(lost=1, bans_per_1000_account_days=3.0)}
    results = {"compare": replace(compared["compare"], figures=figures)}
    assert summary.line(results, [])["missed"] == ["lost", "bans_per_1000_account_days"]
    assert "| accepted messages lost | 1 | 0 | 0 | **no** |" in pages.rendered(
        {"compare": replace(results["compare"], figures=figures | {"baseline": side()})}
    )


def test_what_was_not_run_is_said(compared: dict[str, Result]) -> None:
    text = pages.rendered(compared)
    missing = [run for run in RUNS if run.name != "compare"]
    assert all(f"{run.name} ({run.what})" in text for run in missing)


def test_the_same_figures_give_the_same_plots(tmp_path: Path, compared: dict[str, Result]) -> None:
    results = kept() | compared
    plots.draw(results, tmp_path / "one")
    plots.draw(results, tmp_path / "two")
    first = {file.name: file.read_bytes() for file in (tmp_path / "one").iterdir()}
    assert first and first == {file.name: file.read_bytes() for file in (tmp_path / "two").iterdir()}
    assert b"<text" in first["downtime.svg"]


def test_the_last_lines_of_a_run_are_its_figures() -> None:
    assert json_lines('starting\n{"a": 1}\n') == {"a": 1}
    assert json_lines('{"users": 100}\n{"users": 1000}\n') == [{"users": 100}, {"users": 1000}]
    assert json_lines("it failed\n") is None


def test_a_regression_is_found_in_either_direction_and_only_beyond_its_tolerance() -> None:
    before = {"accept_to_wire_ratio": 6.0, "api_100_users_success": 1.0, "lost": 0.0, "mb_per_session_200": 3.5}
    assert history.regressions(before, before) == []
    assert history.regressions(before | {"accept_to_wire_ratio": 7.7}, before) == []
    assert history.regressions({"accept_to_wire_ratio": 2.0}, before) == []
    for key, value in (
        ("accept_to_wire_ratio", 8.0),
        ("api_100_users_success", 0.99),
        ("lost", 1.0),
        ("mb_per_session_200", 4.2),
    ):
        (problem,) = history.regressions(before | {key: value}, before)
        assert problem.startswith(key)


def test_it_is_compared_with_the_last_release_and_not_with_the_last_line() -> None:
    lines: list[dict[str, Any]] = [{"release": "0.1.0"}, {"release": "0.2.0"}, {"release": None}]
    assert history.last_release(lines) == {"release": "0.2.0"}
    assert history.last_release(lines[2:]) is None


def test_every_result_that_is_kept_says_where_it_comes_from() -> None:
    for file in (ROOT / "bench" / "results").glob("*.json"):
        found = json.loads(file.read_text())
        assert found["figures"] and found["date"] and found["commit"] and found["machine"]["cores"]
