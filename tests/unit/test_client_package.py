"""The client's package: its two halves are one, and what it says of itself is so."""

from __future__ import annotations

import importlib.util
import inspect
import re
import tomllib
from pathlib import Path

import keepline_client
from keepline_client import Keepline

PACKAGE = Path(__file__).parents[2] / "clients" / "python"


def test_the_half_without_await_is_made_of_the_other_one() -> None:
    spec = importlib.util.spec_from_file_location("make_sync", PACKAGE / "make_sync.py")
    assert spec is not None
    assert spec.loader is not None
    make_sync = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_sync)
    there = {file.name: file.read_text() for file in (PACKAGE / "src" / "keepline_client" / "_sync").glob("*.py")}
    assert there == make_sync.sync_files(), "run `make client`"


def test_its_version_is_that_of_its_package() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    assert project["version"] == keepline_client.__version__


def test_it_has_types_for_those_who_use_it() -> None:
    assert (PACKAGE / "src" / "keepline_client" / "py.typed").exists()


def test_its_readme_lists_every_method_and_no_other() -> None:
    readme = (PACKAGE / "README.md").read_text()
    keepline = Keepline("http://127.0.0.1:1", "kl_key")
    owners = {"keepline": keepline} | {
        f"keepline.{name}": part for name, part in vars(keepline).items() if not name.startswith("_")
    }
    keepline.close()
    listed = {
        owner: set(re.findall(r"`(\w+)`", names))
        for owner, names in re.findall(r"^\| `(keepline[.\w]*)` \| (.*) \|$", readme, re.MULTILINE)
    }
    assert listed == {
        owner: {name for name, _ in inspect.getmembers(part, inspect.ismethod) if not name.startswith("_")}
        for owner, part in owners.items()
    }
