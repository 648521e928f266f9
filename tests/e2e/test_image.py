"""The connector's image, built without Docker (infra/checks/dry_build.py): it starts from its own files, and stops in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.checks.dry_build import DryBuild
from infra.checks.run_image import STOP_LIMIT_S

ROOT = Path(__file__).parents[2]
RUN_LIMIT_S = 90.0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> DryBuild:
    """The image's files. They come from the package index that this machine's pip has, as in `make install`."""
    build = DryBuild(tmp_path_factory.mktemp("image") / "dist")
    build.run()
    return build


def paths(image: DryBuild) -> list[str]:
    return [line.split(maxsplit=2)[2] for line in (image.out / "files.txt").read_text().splitlines()]


def test_the_image_has_the_connector_and_nothing_of_the_build_tests_or_simulator(image: DryBuild) -> None:
    found = paths(image)
    assert {path.split("/")[1] for path in found} == {"opt"}
    for package in ("keepline_connector", "keepline", "neonize"):
        assert any(f"/site-packages/{package}/__init__.py" in path for path in found)
    others = ("/simulator/", "/keepline_local/", "/keepline_functions/", "/pytest/", "/pip/", "/uv/")
    assert not [path for path in found if any(other in path for other in others)]
    assert not [path for path in found if path.endswith(("uv_cache.json", ".key", "session_keys.json"))]


def test_what_is_in_the_image_is_compiled(image: DryBuild) -> None:
    """A read-only image cannot keep what Python compiles, so each start would compile everything anew."""
    found = set(paths(image))
    ours = [path for path in found if "/site-packages/keepline" in path and path.endswith(".py")]
    assert len(ours) > 100
    for path in ours:
        folder, _, name = path.rpartition("/")
        assert any(one.startswith(f"{folder}/__pycache__/{name[:-3]}.cpython-") for one in found), path


def test_the_image_starts_from_its_files_alone_with_no_network_and_stops_within_10_s(image: DryBuild) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.checks.run_image", str(image.out)],
        cwd=ROOT,
        # The checkout is ours, not the connector's: it gets nothing of this environment.
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"isolation: {said['isolation']}")
    assert said["exit_code"] == 0
    assert said["stopped_s"] <= STOP_LIMIT_S
    assert said["changed"] == []
    assert said["beyond_loopback"] == []
    if said["isolation"] == "namespaces" and os.getuid() == 0:
        assert said["user"] == 10001


@pytest.mark.slow
def test_the_same_source_makes_the_same_files(image: DryBuild) -> None:
    before = (image.out / "files.txt").read_text()
    image.run()
    assert (image.out / "files.txt").read_text() == before
