"""Nothing is left behind."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from keepline_local.stack import Stack

from .keepline import Api, eventually

STOP_LIMIT_S = 20.0

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")


def processes_with(mark: str) -> dict[int, str]:
    """Every process that has `mark` in its environment, as all parts of a run have its state folder; with its command."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # It has just ended, or is somebody else's.
    return found


def listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


def test_everything_stops_and_leaves_no_process(stack: Stack, api: Api) -> None:
    """This one stops the run that the others have used, with the sessions they have left connected (see conftest.py)."""
    api.create("until-the-end")
    api.wait_for_state("until-the-end", "connected")
    run, mark = stack.run, str(stack.state.root)
    at_work = processes_with(mark)
    assert set(run.pids.values()) <= set(at_work)
    assert any("cell" in command for command in at_work.values()), "the cells are counted as well"
    urls = [url for url in (run.api, run.console, run.simulator, *run.health.values()) if url]
    assert all(map(listens, urls))

    assert stack.stop(STOP_LIMIT_S) == 0, stack.output()
    eventually(lambda: not processes_with(mark), f"nothing of {sorted(at_work.values())} is left", 5.0)
    assert not any(map(listens, urls))
    assert not stack.state.run_json.exists()
    # They were asked to, and not just killed.
    for connector in run.health:
        assert f"connector {connector} stops" in stack.log(connector).read_text()
