"""The local key file: closed to others, never half written, and old keys stay when it is rotated."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keepline.adapters.key_file import LocalKeyFile, create_key_file, rotate_key_file
from keepline.ports.keys import KeyRefused, KeyUnavailable, Unwrapped

KEY = bytes(range(32))
CONTEXT = b"demo_s1 a"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_key_file(tmp_path / "keys.json")
    return tmp_path / "keys.json"


def wrap(path: Path) -> bytes:
    return asyncio.run(LocalKeyFile(path).wrap(KEY, CONTEXT))


def unwrap(path: Path, wrapped: bytes) -> Unwrapped:
    return asyncio.run(LocalKeyFile(path).unwrap(wrapped, CONTEXT))


def only_file_in(folder: Path) -> str:
    [name] = [found.name for found in folder.iterdir()]
    return name


def test_a_new_file_is_its_owners_alone_and_leaves_nothing_beside_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert only_file_in(path.parent) == "keys.json"


def test_a_key_file_is_never_overwritten(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        create_key_file(path)
    assert path.read_bytes() == before
    assert only_file_in(path.parent) == "keys.json"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_open_is_refused(path: Path, mode: int) -> None:
    wrapped = wrap(path)
    path.chmod(mode)
    with pytest.raises(KeyRefused, match="chmod 600"):
        unwrap(path, wrapped)
    with pytest.raises(KeyRefused, match="chmod 600"):
        wrap(path)
    with pytest.raises(KeyRefused, match="chmod 600"):
        rotate_key_file(path)


def test_a_rotation_keeps_the_old_keys_and_the_mode(path: Path) -> None:
    keys = LocalKeyFile(path)
    wrapped = asyncio.run(keys.wrap(KEY, CONTEXT))
    before = json.loads(path.read_text())
    rotate_key_file(path)
    after = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert only_file_in(path.parent) == "keys.json"
    assert before["keys"].items() < after["keys"].items()
    assert after["primary"] not in before["keys"]
    # The same object: a rotation needs no restart.
    assert asyncio.run(keys.unwrap(wrapped, CONTEXT)) == Unwrapped(KEY, current=False)


def test_a_file_that_is_not_there_may_come(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable):
        wrap(tmp_path / "keys.json")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"primary": "a", "keys": {}}',
        '{"primary": "a", "keys": {"a": "c2hvcnQ="}}',
        '{"primary": "a", "keys": {"a": "not base64!"}}',
        '{"primary": "a", "keys": {"a": 7}}',
        '{"primary": ["a"], "keys": {}}',
    ],
)
def test_a_file_of_another_form_is_refused_without_a_word_of_it(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(KeyRefused) as caught:
        wrap(path)
    assert "c2hvcnQ" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_of_another_file_is_refused(path: Path, tmp_path: Path) -> None:
    wrapped = wrap(path)
    create_key_file(tmp_path / "other.json")
    with pytest.raises(KeyRefused):
        unwrap(tmp_path / "other.json", wrapped)


async def test_every_changed_bit_of_a_wrapped_key_is_refused(path: Path) -> None:
    keys = LocalKeyFile(path)
    wrapped = await keys.wrap(KEY, CONTEXT)
    for bit in range(len(wrapped) * 8):
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(KeyRefused):
            await keys.unwrap(bytes(changed), CONTEXT)
    for length in range(len(wrapped)):
        with pytest.raises(KeyRefused):
            await keys.unwrap(wrapped[:length], CONTEXT)


def test_the_command_makes_and_rotates_a_file_and_leaves_an_existing_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "made.json"

    def run(action: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "keepline_connector.key_file", action, str(path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert run("rotate").returncode == 1
    assert run("create").returncode == 0
    before = path.read_text()
    again = run("create")
    assert (again.returncode, path.read_text()) == (1, before)
    assert "exists already" in again.stderr
    assert run("rotate").returncode == 0
    assert len(json.loads(path.read_text())["keys"]) == 2
