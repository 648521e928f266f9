"""The supervisor's side of its cells, with stand-ins for the processes: what it makes of those that fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from keepline.adapters.system_clock import SystemClock
from keepline.domain.cell_recycling import RecycleLimits
from keepline.domain.link_events import Moved
from keepline.domain.link_settings import LinkSettings, Presence, Proxy
from keepline_connector.cell_link import CellLink
from keepline_connector.cell_process import CellProcess
from keepline_connector.cells import CellDied, CellPool
from keepline_connector.media_files import MediaFiles
from keepline_connector.metrics import LinkMetrics
from keepline_connector.recycling import Recycler

LIMIT_S = 20.0
# A cell: notes each command that wants an answer in a file, and answers as BEHAVIOUR says.
CELL = """
import json, pathlib, socket, struct, sys, threading
def follow_lease(end):
    while packet := end.recv(8):
        pathlib.Path(__file__).with_name("lease").write_text(str(struct.unpack("=d", packet)[0]))
lease = socket.socket(fileno=int(sys.argv[4]))
threading.Thread(target=follow_lease, args=(lease,), daemon=True).start()
link = socket.socket(fileno=int(sys.argv[2]))
told = pathlib.Path(__file__).with_name("told")
for line in link.makefile("rb"):
    command = json.loads(line)
    seen = told.read_text().split() if told.exists() else []
    told.write_text(" ".join([*seen, command["do"]]))
    answer = {"re": command["id"]}
    BEHAVIOUR
    link.sendall(json.dumps(answer).encode() + b"\\n")
"""

# The connector's own proxy.
OWN_WAY = Proxy("http", "127.0.0.1", 3128)

MakeLink = Callable[[str], tuple[CellPool, CellLink]]


def no_files(tmp_path: Path) -> MediaFiles:
    return MediaFiles(None, SystemClock(), timedelta(days=1), tmp_path / "media")


@pytest.fixture
def make_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeLink:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(behaviour: str) -> tuple[CellPool, CellLink]:
        (tmp_path / "standin_cell.py").write_text(CELL.replace("BEHAVIOUR", behaviour))
        pool = CellPool("standin_cell", CellProcess("standin_cell"), 25, Random(1))
        metrics = LinkMetrics(CollectorRegistry())
        return pool, CellLink(
            *(pool, "account_a", tmp_path / "account_a", OWN_WAY, no_files(tmp_path), metrics), private_proxies=False
        )

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
    assert len(pool.cells) == 1
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
    pool, link = make_link("link.sendall(b'nonsense\\n')")
    async with asyncio.timeout(LIMIT_S):
        cell = await pool.place("account_a", link)
        with pytest.raises(CellDied):
            await cell.call("account_a", "open")
        await pool.stop()


async def test_a_renewal_reaches_its_cell_while_the_event_loop_is_held_up(make_link: MakeLink, tmp_path: Path) -> None:
    pool, link = make_link("answer |= {'found': {}}")
    async with asyncio.timeout(LIMIT_S):
        await link.open()
    threading.Timer(0.1, pool.renew, (12.5,)).start()
    limit_s = time.monotonic() + LIMIT_S
    while (tmp_path / "lease").read_text() != "12.5":  # holds up the loop
        assert time.monotonic() < limit_s
    await pool.stop()


async def test_renewing_a_cell_that_is_gone_or_takes_nothing_does_not_wait(make_link: MakeLink) -> None:
    pool, link = make_link("answer |= {'found': {}}")
    async with asyncio.timeout(LIMIT_S):
        await link.open()
        cell = await pool.place("account_a", link)
        os.kill(cell.pid, signal.SIGSTOP)
        for deadline_s in range(10_000):
            pool.renew(float(deadline_s))
        os.kill(cell.pid, signal.SIGKILL)
        await cell.ended.wait()
        pool.renew(1.0)
        await pool.stop()


async def test_what_the_cells_say_of_their_egress_is_summed_up(make_link: MakeLink) -> None:
    said = {
        "connections": 2,
        "cut": 1,
        "sent_bytes": 10,
        "heard_bytes": 20,
        "failed_dials": {"unreachable": 3},
        "round_trip_ms_max": 40,
        "segments": 100,
        "segments_retransmitted": 5,
        "missing": ["TCP_INFO"],
    }
    pool, link = make_link(f"link.sendall((json.dumps({{'egress': {said}}}) + '\\n').encode())")
    async with asyncio.timeout(LIMIT_S):
        for account in ("one_a", "one_b"):  # each in a process of its own
            cell = await pool.place(account, link)
            await cell.call(account, "connect")
    doubled = {name: 2 * value for name, value in said.items() if isinstance(value, int)}
    others = {"failed_dials": {"unreachable": 6}, "round_trip_ms_max": 40, "missing": ("TCP_INFO",)}
    assert pool.egress.as_json() == {**doubled, **others}
    await pool.stop()


async def test_a_cell_is_told_the_way_and_the_presence_with_each_connection(
    make_link: MakeLink, tmp_path: Path
) -> None:
    pool, link = make_link("told.with_name(command['do']).write_text(json.dumps(command))")

    def command(do: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((tmp_path / do).read_text())
        return {name: found.get(name) for name in ("upstream", "public_only", "presence")}

    async with asyncio.timeout(LIMIT_S):
        await link.connect()
        assert command("connect") == {"upstream": OWN_WAY.url, "public_only": False, "presence": "unavailable"}
        proxy = Proxy("socks5", "proxy.example", 1080, "me", "secret")
        await link.use(LinkSettings(Presence.AVAILABLE, proxy))
        assert command("present")["presence"] == "available"
        await link.connect()
    assert command("connect") == {"upstream": proxy.url, "public_only": True, "presence": "available"}
    await pool.stop()


# Says that it has caught up whenever it is told to connect.
CATCHES_UP = """
    if command["do"] == "connect":
        told_event = {"device": command["device"], "event": {"type": "CaughtUp"}}
        link.sendall(json.dumps(told_event).encode() + b"\\n")
"""
AT_ONCE = RecycleLimits(device_mb_max=1, age_max_s=0)


async def run_device(link: CellLink) -> None:
    """What a device's runner does."""
    await link.open()
    await link.connect()
    async for event in link.events():
        if isinstance(event, Moved):
            await link.connect()


async def test_a_new_cell_is_ready_before_a_device_leaves_the_old_one(make_link: MakeLink, tmp_path: Path) -> None:
    pool, link = make_link(CATCHES_UP)
    stepped_aside: list[str] = []

    async def step_aside(device: str) -> None:
        assert told(tmp_path)[-1] == "greet"
        stepped_aside.append(device)

    running = asyncio.create_task(run_device(link))
    await until_told(tmp_path, "connect")
    [old] = pool.cells
    recycler = Recycler(pool, AT_ONCE, step_aside)
    async with asyncio.timeout(LIMIT_S):
        await recycler.look()
    assert told(tmp_path) == ["open", "find_tried", "connect", "greet", "close", "open", "connect"]
    assert stepped_aside == ["account_a"]
    assert old.ended.is_set()
    assert [cell["devices"] for cell in recycler.report()] == [1]
    assert recycler.recycled == 1
    running.cancel()
    await pool.stop()


async def test_a_device_stays_where_it_is_while_no_new_cell_can_be_started(make_link: MakeLink, tmp_path: Path) -> None:
    pool, link = make_link(CATCHES_UP + "\n    if command['do'] == 'greet': sys.exit(1)")

    async def step_aside(device: str) -> None:
        raise AssertionError("nobody need step aside")

    running = asyncio.create_task(run_device(link))
    await until_told(tmp_path, "connect")
    async with asyncio.timeout(LIMIT_S):
        recycler = Recycler(pool, AT_ONCE, step_aside)
        await recycler.look()
    assert told(tmp_path) == ["open", "find_tried", "connect", "greet"]
    assert recycler.recycled == 0
    assert len(pool.cells) == 1
    running.cancel()
    await pool.stop()


async def test_what_a_device_says_last_in_the_cell_that_it_leaves_is_no_trouble(
    make_link: MakeLink, tmp_path: Path
) -> None:
    last_words = CATCHES_UP.replace('"connect"', '"close"').replace("CaughtUp", "Disconnected")
    pool, link = make_link(last_words)
    await link.open()
    async with asyncio.timeout(LIMIT_S):
        await link.leave(await pool.add_loaded())
        assert await anext(link.events()) == Moved()
        await link.open()
    assert told(tmp_path) == ["open", "find_tried", "greet", "close", "open", "find_tried"]
    await pool.stop()


async def test_a_cell_that_retires_takes_no_more_devices(make_link: MakeLink, tmp_path: Path) -> None:
    pool, link = make_link("pass")
    first = await pool.place("account_a", link)
    assert await pool.place("account2_a", link) is first
    first.retiring = True
    assert await pool.place("account3_a", link) is not first
    await pool.stop()


async def test_a_cell_takes_no_more_devices_than_it_may(make_link: MakeLink) -> None:
    pool, link = make_link("pass")
    placed = [await pool.place(f"account{number}_a", link) for number in range(26)]
    assert len(set(placed)) == 2
    assert max(map(placed.count, placed)) == 25
    await pool.stop()
