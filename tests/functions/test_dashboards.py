"""What the dashboard and the alert rules ask for is what the code exports, with words to each."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from keepline.domain import link_events as link
from keepline_connector.egress_status import EgressStatus
from keepline_connector.metrics import ConnectorMetrics, LinkMetrics

from .support import METRICS_TOKEN, NOON, World

ROOT = Path(__file__).parents[2]
# What a histogram and a counter are asked for by.
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
# The labels that Prometheus adds.
GIVEN = {"instance", "le"}


def connector_text() -> str:
    egress = EgressStatus(2, 1, 10, 20, {"unreachable": 3}, 41, 1_000, 7)
    metrics = ConnectorMetrics(
        lambda: {
            "devices": 4,
            "devices_max": 200,
            "draining": False,
            "hangs": False,
            "last_beat_s": time.monotonic(),
            "sessions_opened": {"new": 1, "restored": 2},
            "cells_recycled": 0,
            "egress": egress.as_json(),
            "cells": [{"name": "c", "age_s": 1, "rss_mb": 90, "devices": 4}],
            "store": {"commits": 5, "documents": 9},
        }
    )
    metrics.links.sent(link.SendOutcome("sent", "W"), 0.2)
    metrics.links.connecting()
    metrics.links.told("a", link.Disconnected())
    return metrics.text().decode()


def families(text: str) -> dict[str, Any]:
    found = {family.name: family for family in text_string_to_metric_families(text)}
    return {name: family for name, family in found.items() if not name.endswith("_created")}


@pytest.fixture
def exported(world: World) -> dict[str, Any]:
    world.add_session()
    world.beat("anna_shop")
    world.get("/api/sessions")
    text = world.get("/metrics", {"Authorization": f"Bearer {METRICS_TOKEN}"}).get_data(as_text=True)
    return families(text) | families(connector_text())


def asked() -> list[tuple[str, str]]:
    """Every expression, with where it stands."""
    dashboard = json.loads((ROOT / "infra" / "grafana" / "keepline.json").read_text())
    rules = yaml.safe_load((ROOT / "infra" / "prometheus" / "alerts.yml").read_text())
    found = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]
    return found + [(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]


def test_every_metric_has_words(exported: dict[str, Any]) -> None:
    for name, family in exported.items():
        assert name.startswith("keepline_")
        assert family.documentation.endswith(".") and len(family.documentation.split()) >= 3, name


def test_what_is_asked_for_is_exported(exported: dict[str, Any]) -> None:
    names = {name + suffix: family for name, family in exported.items() for suffix in SUFFIXES[family.type]}
    for title, expression in asked():
        used = re.findall(r"\b(keepline_\w+)", expression)
        assert used, title
        for name in used:
            assert name in names, f"{title}: nobody exports {name}"


def test_every_metric_of_ours_is_on_the_dashboard_or_in_a_rule(exported: dict[str, Any]) -> None:
    text = " ".join(expression for _, expression in asked())
    # What is for a look at one connector: its health page has the same.
    others = {"draining", "devices_max", "cells", "cells_recycled", "egress_connections", "egress_cut", "rate_signals"}
    others |= {"connector_draining", "connector_stopped"}
    for name in exported:
        short = name.removeprefix("keepline_")
        if not short.startswith("process_") and short not in others:
            assert re.search(rf"\b{name}(_total|_bucket|_count|_sum)?\b", text), name


@pytest.mark.parametrize(("title", "expression"), asked())
def test_an_expression_makes_sense(exported: dict[str, Any], title: str, expression: str) -> None:
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)
    counted = [name + "_total" for name, family in exported.items() if family.type == "counter"]
    counted += [name + "_bucket" for name, family in exported.items() if family.type == "histogram"]
    for name in re.findall(r"\b(keepline_\w+)", expression):
        # What only rises is asked for its rise, over a time; what stands is not.
        rises = re.search(rf"(rate|increase)\({name}(\{{[^}}]*\}})?\[\w+\]\)", expression) is not None
        assert rises == (name in counted), name
    for grouped in re.findall(r"histogram_quantile\([\d.]+, sum by \(([\w, ]+)\) \(rate\(\w+_bucket", expression):
        assert "le" in grouped.split(", ")
    assert expression.count("histogram_quantile") == len(re.findall(r"_bucket\b", expression))
    labels = {label for family in exported.values() for sample in family.samples for label in sample.labels} | GIVEN
    for named in re.findall(r"by \(([\w, ]+)\)|\{(\w+)[=~]", expression):
        assert set("".join(named).split(", ")) <= labels, title


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "infra" / "prometheus" / "alerts.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")
        assert len(rule["annotations"]["description"].split()) >= 5


def test_panels_do_not_overlap() -> None:
    panels = json.loads((ROOT / "infra" / "grafana" / "keepline.json").read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_what_a_journal_has_waits_until_firestore_has_it() -> None:
    now = 100.0
    links = LinkMetrics(CollectorRegistry(), lambda: now)
    for seq in (1, 2):
        links.told("a", link.ReceiptHeard(seq, ("W",), "read", NOON))
    now = 130.0
    assert links.journal_lag() == (2, 30.0)
    links.written("a", [1])
    links.told("a", link.ReceiptHeard(2, ("W",), "read", NOON))
    assert links.journal_lag() == (1, 30.0)
    links.let_go("a")
    assert links.journal_lag() == (0, 0.0)
