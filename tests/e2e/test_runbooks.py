"""The pages for bad days fit the code: their shape, their codes, their commands. No part of Keepline runs for this."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from keepline.domain.session import REASONS, SessionState

ROOT = Path(__file__).parents[2]
RUNBOOKS = sorted(set((ROOT / "docs" / "runbooks").glob("*.md")) - {ROOT / "docs" / "runbooks" / "README.md"})
OTHERS = [ROOT / "docs" / name for name in ("single-host.md", "scale.md", "runbooks/README.md")]
# What issue and people ask for; a page more is welcome.
NEEDED = (
    *("logged-out", "banned", "outdated-client", "restore-failure", "region-loss", "key-rotation", "firestore-backup"),
    *("moving-a-tenant", "upgrade-and-rollback", "queue-backs-up", "connector-flapping"),
)


def routes() -> set[tuple[str, str]]:
    """Method and path of each route, its parameters as `{}`."""
    found = set()
    for file in (ROOT / "functions" / "keepline_functions").glob("*_api.py"):
        for method, path in re.findall(r'@routes\.(get|post|patch|delete)\("([^"]+)"\)', file.read_text()):
            found.add((method.upper(), re.sub(r"<\w+>", "{}", path)))
    return found


def commands(page: Path) -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def test_there_is_a_page_for_each_bad_day_and_the_list_leads_to_it() -> None:
    listed = set(re.findall(r"\]\(([\w-]+)\.md\)", (ROOT / "docs" / "runbooks" / "README.md").read_text()))
    assert set(NEEDED) <= listed
    assert listed == {page.stem for page in RUNBOOKS}


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_a_page_says_what_is_seen_why_what_to_do_and_when_it_is_over(page: Path) -> None:
    headings = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
    assert headings == ["What you see", "Why", "What to do", "How to know it is over"]


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_the_codes_of_a_page_are_in_the_code(page: Path) -> None:
    """Whatever looks like the code of a session or a state of one is one."""
    named = set(re.findall(r"`(session_[a-z_]+|[a-z]+_silent|waiting_for_\w+|poor_\w+)`", page.read_text()))
    fields_and_statuses = {"session_", "firestore_silent"}
    assert named - fields_and_statuses <= set(REASONS) | {state.value for state in SessionState}


@pytest.mark.parametrize("page", [*RUNBOOKS, *OTHERS], ids=lambda page: page.stem)
def test_the_commands_of_a_page_can_be_read(page: Path) -> None:
    paths = {path for _, path in routes()}
    for block in commands(page):
        done = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        for path in re.findall(r'"\$API(/[^"?\s]*)', block):
            assert path.replace("$SESSION", "{}") in paths, path
        for file in re.findall(r"(?:^|\s)((?:infra|scripts|connector)/[\w./@-]+)", block):
            made_by_the_page = ("google.json", "keepline.env")
            assert (ROOT / file).exists() or file.endswith(made_by_the_page) or file.startswith("dist/"), file


@pytest.mark.parametrize("page", [*RUNBOOKS, *OTHERS], ids=lambda page: page.stem)
def test_the_routes_of_a_page_exist(page: Path) -> None:
    named = re.findall(r"`(GET|POST|PATCH|DELETE) (/[^`?\s]*)", page.read_text())
    assert {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in named} <= routes()
