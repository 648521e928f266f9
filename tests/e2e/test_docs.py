"""The docs name what the code has: error codes, reasons, settings, routes, links. No part of Keepline runs for this."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepline.domain import errors, views
from keepline.domain.alert_channels import SCHEMES
from keepline.domain.alert_rules import RULES, THRESHOLDS
from keepline.domain.events import EVENTS
from keepline.domain.message import MessageState
from keepline.domain.session import REASONS, SessionState

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("clients/*/*.md")])
SOURCES = [*(ROOT / "core" / "src" / "keepline").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]


def in_backticks(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def section(page: str, heading: str) -> str:
    """A section of a page of docs/, without its sub-sections' siblings."""
    text = (DOCS / page).read_text()
    level = heading.split()[0]
    return re.split(rf"^#{{1,{len(level)}}} ", text.split(f"\n{heading}\n", 1)[1], flags=re.MULTILINE)[0]


def codes_in_calls() -> Iterator[str]:
    """The code of every error that is raised anywhere, and of those that Flask's own errors become."""
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            # An error of its own class names its code where it calls the class that it is derived from.
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            derived = isinstance(node.func, ast.Attribute) and node.func.attr == "__init__"
            at = {"error_response": 1}.get(name, 0 if name in kinds or derived or name.endswith("NotReady") else -1)
            if at >= 0 and len(node.args) > at and isinstance(code := node.args[at], ast.Constant):
                yield str(code.value)
            if name == "check_linkable" and isinstance(code := node.args[1], ast.Constant):
                yield str(code.value)
    # Those that a table names instead of a call.
    table = (ROOT / "functions" / "keepline_functions" / "errors.py").read_text()
    yield from re.findall(r'\d{3}: \(\s*"(\w+)"', table)


def test_the_api_page_lists_every_error_code_and_no_other() -> None:
    table = section("api.md", "## Errors").split("### ")[0]
    listed = {code for row in re.findall(r"^\| \d{3} \| (.*?) \|", table, re.MULTILINE) for code in in_backticks(row)}
    assert listed == set(codes_in_calls())


def test_the_api_page_lists_every_error_of_a_message() -> None:
    listed = in_backticks(section("api.md", "### Why a message is not sent")) - {state.value for state in MessageState}
    states = {state.value for state in MessageState}  # `expired` is a state and its reason
    assert listed - {"error", "wa_…"} == set(views._MESSAGE_ERRORS) - states


def test_the_architecture_page_lists_every_state_and_reason() -> None:
    sessions = section("architecture.md", "## The states of a session")
    rows = re.findall(r"^\| `(\w+)` \|", sessions, re.MULTILINE)
    assert rows == [state.value for state in SessionState]
    assert set(REASONS) <= in_backticks(sessions.split("Codes:")[1])
    messages = section("architecture.md", "## The states of a message")
    named = {state for row in re.findall(r"^\| (`.*?) \|", messages, re.MULTILINE) for state in in_backticks(row)}
    assert named == {state.value for state in MessageState}


def test_the_api_page_and_the_readme_list_every_route() -> None:
    routes = set()
    for file in (ROOT / "functions" / "keepline_functions").glob("*_api.py"):
        for method, path in re.findall(r'@routes\.(get|post|patch|delete)\("([^"]+)"\)', file.read_text()):
            routes.add((method.upper(), re.sub(r"<(\w+)>", r"{}", path)))
    for page in (DOCS / "api.md", ROOT / "README.md"):
        listed = {
            (method, re.sub(r"\{\w+\}", "{}", path))
            for method, path in re.findall(r"`(GET|POST|PATCH|DELETE) (/[^`?\s]*)", page.read_text())
        }
        assert listed == routes, page.name


def test_the_operations_page_lists_every_setting() -> None:
    used: set[str] = set()
    for folder in ("core/src", "connector/src", "functions", "local/src"):
        for file in (ROOT / folder).rglob("*.py"):
            used.update(re.findall(r'"(KEEPLINE_[A-Z_]+)"', file.read_text()))
    listed = set(re.findall(r"`(KEEPLINE_[A-Z_]+)`", (DOCS / "operations.md").read_text()))
    # What the local run tells its own parts, and the one that the simulated cell is told.
    assert listed == used - {"KEEPLINE_SIMULATOR_DIR"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


def test_the_tests_that_the_security_page_names_are_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "security.md").read_text()))
    there = {
        name
        for file in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", file.read_text(), re.MULTILINE)
    }
    assert len(named) > 30
    assert named <= there, named - there


def test_the_page_of_alerts_lists_every_event_every_rule_and_every_threshold() -> None:
    def rows(heading: str) -> list[list[str]]:
        lines = re.findall(r"^\| (`.*) \|$", section("alerts.md", heading).split("\n### ")[0], re.MULTILINE)
        return [line.split(" | ") for line in lines]

    severities = [(row[0].strip("`"), row[1]) for row in rows("## Events")]
    assert severities == [(kind.value, words.severity.value) for kind, words in EVENTS.items()]
    rules = [(row[0].strip("`"), row[1], row[5]) for row in rows("## Rules")]
    assert rules == [(rule.value, words.severity.value, f"{words.clear_s:g} s") for rule, words in RULES.items()]
    bounds = [tuple(row) for row in rows("### Thresholds")]
    assert bounds == [
        (f"`{name}`", f"{one.usual:g}", f"{one.least:g} to {one.most:g}") for name, one in THRESHOLDS.items()
    ]
    named = in_backticks(section("alerts.md", "## Channels"))
    assert named >= SCHEMES
