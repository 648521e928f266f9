"""Costs from counted operations: the arithmetic, and that the counts are those that the docs show."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from keepline.domain import costs
from keepline.domain.lease import EXTREME, NORMAL

ROOT = Path(__file__).parents[2]


def test_every_quantity_has_a_price_with_its_source() -> None:
    assert {field.name for field in fields(costs.Usage)} == set(costs.PRICES)
    for price in costs.PRICES.values():
        assert price.usd > 0
        assert price.source.startswith("https://cloud.google.com/")


def test_an_estimate_is_the_sum_of_its_lines() -> None:
    usage = costs.Usage(firestore_reads=1_000_000, firestore_writes=500_000)
    assert [(part.name, round(part.usd, 6)) for part in costs.estimate(usage)] == [
        ("firestore_writes", 0.9),
        ("firestore_reads", 0.6),
    ]
    assert costs.total_usd(usage) == pytest.approx(1.5)
    assert costs.total_usd(costs.Usage()) == 0
    assert costs.total_usd(usage + usage) == pytest.approx(costs.total_usd(usage.times(2)))


def test_heartbeats_cost_what_the_operations_page_says() -> None:
    """Two connectors at `extreme`: about 350,000 reads and 170,000 writes a day; at `normal` a fifth."""
    rounds = costs.day_without_messages(costs.Fleet(1, 0, 0, NORMAL))
    for profile, part in ((EXTREME, 1.0), (NORMAL, 0.2)):
        usage = costs.day_without_messages(costs.Fleet(1, 2, 2, profile))
        assert usage.firestore_reads - rounds.firestore_reads == pytest.approx(345_600 * part)
        assert usage.firestore_writes - rounds.firestore_writes == pytest.approx(172_800 * part)


def test_the_monitors_own_cost_is_that_of_the_function_which_is_deployed() -> None:
    functions = json.loads((ROOT / "infra" / "functions.json").read_text())["functions"]
    scheduled = [one["name"] for one in functions if one["trigger"]["type"] == "schedule"]
    (checks,) = (one["deploy"] for one in functions if one["name"] == "uptime-checks")
    day = costs.day_without_messages(costs.Fleet(1, 2, 2, NORMAL))
    assert day.function_cpu_s == pytest.approx(86_400 * float(checks["cpu"]))
    assert day.schedules * costs.MONTH_DAYS == len(scheduled)


def test_a_messages_documents_are_those_that_were_counted() -> None:
    told = re.search(r'"documents_per_message_idle": ([\d.]+)', (ROOT / "docs" / "reliability.md").read_text())
    assert told is not None
    # A message alone; on a busy machine its receipt may need one commit more.
    assert costs.SENT.writes == pytest.approx(float(told[1]), abs=1.5)


def test_an_account_costs_less_where_there_are_more_until_the_square_of_the_connectors_shows() -> None:
    each = [
        costs.account_month_usd(costs.sized(count, NORMAL, standby=False), 100, 100, 0) for count in (1, 10, 100, 1_000)
    ]
    assert each == sorted(each, reverse=True)
    calm, fast = (costs.account_month_usd(costs.sized(5_000, one, standby=True), 0, 0, 0) for one in (NORMAL, EXTREME))
    assert fast > 2 * calm


def test_the_cost_curve_ends_with_a_line_of_json() -> None:
    command = [sys.executable, str(ROOT / "bench" / "costs.py"), "--accounts", "1", "1000"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    told = json.loads(printed[-1])
    assert told["prices_of"] == costs.PRICES_OF
    assert {one["accounts"] for one in told["curve"]} == {1, 1_000}
    assert all(one["usd_per_account_month"] > 0 for one in told["curve"])
