"""The functions as they are deployed: packaged by the script of the build, installed by plain pip, and asked something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from keepline_local.emulators import firestore_emulator
from keepline_local.ports import free_port

from .keepline import eventually

ROOT = Path(__file__).parents[2]
INSTALL_LIMIT_S = 110.0


def package(to: Path) -> Path:
    done = subprocess.run(
        [ROOT / "scripts" / "package-functions", to],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return to


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("package") / "functions")


def test_everything_that_the_functions_install_has_its_hash(packaged: Path) -> None:
    text = re.sub(r"\\\n\s*", " ", (packaged / "requirements.txt").read_text())
    wanted = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(wanted) > 40
    assert all("--hash=sha256:" in line for line in wanted)
    (wheel,) = packaged.glob("*.whl")
    assert wanted[-1].startswith(f"./{wheel.name} --hash=")
    assert {path.name for path in packaged.iterdir()} == {
        *("main.py", "keepline_functions", "requirements.txt", wheel.name),
    }


def test_the_same_source_makes_the_same_package(packaged: Path, tmp_path: Path) -> None:
    again = package(tmp_path / "again")
    for file in packaged.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (again / file.relative_to(packaged)).read_bytes(), file.name


@pytest.mark.timeout(180)
def test_the_package_installed_by_plain_pip_answers_a_request(packaged: Path, tmp_path: Path) -> None:
    made = tmp_path / "empty"
    venv.create(made, with_pip=True)
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KEEPLINE", "VIRTUAL"))
    }
    done = subprocess.run(
        [made / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes", "-r", "requirements.txt"],
        cwd=packaged,
        env=clean,
        capture_output=True,
        text=True,
        timeout=INSTALL_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with firestore_emulator() as firestore, served(made, packaged, clean, firestore, tmp_path) as address:
        found = eventually(lambda: answer(address, "/health"), "the function to answer")
        assert found.status_code == 200, found.text
        assert found.json()["status"] == "ok"
        refused = answer(address, "/api/sessions")
        assert refused is not None
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthenticated")


@contextmanager
def served(made: Path, packaged: Path, clean: dict[str, str], firestore: str, folder: Path) -> Iterator[str]:
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [made / "bin" / "functions-framework", "--target=api", f"--port={port}", "--host=127.0.0.1"],
            cwd=packaged,
            env={**clean, "KEEPLINE_PROJECT": "demo-package", "FIRESTORE_EMULATOR_HOST": firestore},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def answer(address: str, path: str) -> requests.Response | None:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(address + path, timeout=10)
        except requests.ConnectionError:
            return None  # It has not started yet.
