"""The supervisor's side of its cells, with stand-ins for the processes: what it makes of those that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from keepline_connector.cell_link import CellLink
from keepline_connector.cell_process import CellProcess
from keepline_connector.cells import CellDied, CellPool

LIMIT_S = 20.0
# A cell: notes each command that wants an answer in a file, and answers as BEHAVIOUR says.
CELL = """
import json, pathlib, socket, sys
link = socket.socket(fileno=int(sys.argv[2]))
told = pathlib.Path(__file__).with_name("told")
for line in link.makefile("rb"):
    command = json.loads(line)
    if command["do"] == "renew":
        continue
    seen = told.read_text().split() if told.exists() else []
    told.write_text(" ".join([*seen, command["do"]]))
    answer = {"re": command["id"]}
    BEHAVIOUR
    link.sendall(json.dumps(answer).encode() + b"\\n")
"""

MakeLink = Callable[[str], tuple[CellPool, CellLink]]


@pytest.fixture
def make_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeLink:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(behaviour: str) -> tuple[CellPool, CellLink]:
        (tmp_path / "standin_cell.py").write_text(CELL.replace("BEHAVIOUR", behaviour))
        pool = CellPool("standin_cell", CellProcess("standin_cell"), 25)
        return pool, CellLink(pool, "account_a", tmp_path / "account_a", None)

    return make


def told(folder: Path) -> list[str]:
    found = folder / "told"
    return found.read_text().split() if found.exists() else []


async def until_told(folder: Path, what: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while what not in told(folder):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)


async def test_what_a_cell_could_not_do_is_tried_again(make_link: MakeLink, tmp_path: Path) -> None:
    pool, link = make_link("answer |= {'error': 'FolderHeld'} if len(seen) < 2 else {'found': {}}")
    async with asyncio.timeout(LIMIT_S):
        await link.open()
    assert told(tmp_path) == ["open", "open", "open", "find_tried"]
    await pool.stop()


async def test_a_cell_that_dies_is_followed_by_another(make_link: MakeLink, tmp_path: Path) -> None:
    pool, link = make_link("if len(seen) < 2: sys.exit(1)")
    async with asyncio.timeout(LIMIT_S):
        await link.open()
    assert told(tmp_path) == ["open", "open", "open", "find_tried"]
    assert pool.processes == 1
    await pool.stop()


async def test_a_device_given_up_while_it_opens_is_closed_in_its_cell(make_link: MakeLink, tmp_path: Path) -> None:
    pool, link = make_link("if command['do'] == 'open': continue")
    opening = asyncio.create_task(link.open())
    await until_told(tmp_path, "open")
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    async with asyncio.timeout(LIMIT_S):
        await link.close()
    assert told(tmp_path) == ["open", "close"]
    await pool.stop()


async def test_nobody_waits_for_a_cell_that_talks_nonsense(make_link: MakeLink) -> None:
    pool, _ = make_link("link.sendall(b'nonsense\\n')")
    async with asyncio.timeout(LIMIT_S):
        cell = await pool.place("account_a", lambda event: None)
        with pytest.raises(CellDied):
            await cell.call("account_a", "open")
        await pool.stop()
