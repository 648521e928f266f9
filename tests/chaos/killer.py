"""Kills cells and connectors at random instants, seeded; what is dead comes back by itself, as a platform would have it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from keepline_local.stack import Stack
from simulator.client import SimulatorClient

CONNECTORS = ("connector-1", "connector-2")
VICTIM_WAIT_S = 30.0
VICTIM_LOOK_S = 0.02
# Some kills come at any moment; some in the moments after an acceptance, when a message is most likely on its way; some soon
# after a login, when a device that was away is given everything at once.
AIMS = ("nothing", "acceptance", "login")
AIM_WAIT_S = 5.0
ACCEPTANCE_SPREAD_S = 0.08
LOGIN_SPREAD_S = 0.4


@dataclass(frozen=True)
class Kill:
    """One SIGKILL that met a living process."""

    at: float  # Unix time
    part: str
    connector: str
    pid: int


class Killer:
    """`accepted` is set whenever the API has accepted a message; `progress` hears of each kill."""

    def __init__(self, stack: Stack, seed: str, accepted: threading.Event, progress: Callable[[int], None]) -> None:
        self._stack = stack
        assert stack.run.simulator is not None, "the demo has a simulator"
        self._whatsapp = SimulatorClient(stack.run.simulator)
        self._cursor = 0
        self._random = Random(f"{seed} kills")
        self._accepted = accepted
        self._progress = progress
        self.kills: list[Kill] = []

    def run(self, count: int, seconds: float) -> None:
        """`count` kills, spread over about so many seconds."""
        while len(self.kills) < count:
            time.sleep(self._random.expovariate(count / seconds))
            self._aim(self._random.choice(AIMS))
            self._strike("cell" if self._random.random() < 0.5 else "connector")
            self._progress(len(self.kills))

    def _aim(self, at: str) -> None:
        """Wait for the moment; after 5 s any moment is as good."""
        if at == "acceptance":
            self._accepted.clear()
            self._accepted.wait(AIM_WAIT_S)
            time.sleep(self._random.uniform(0, ACCEPTANCE_SPREAD_S))
        elif at == "login":
            _, cursor = self._whatsapp.log(self._cursor, "login")
            deadline = time.monotonic() + AIM_WAIT_S
            logins: list[dict[str, Any]] = []
            while not logins and time.monotonic() < deadline:
                time.sleep(VICTIM_LOOK_S)
                logins, cursor = self._whatsapp.log(cursor, "login")
            self._cursor = cursor
            time.sleep(self._random.uniform(0, LOGIN_SPREAD_S))

    def _strike(self, part: str) -> None:
        deadline = time.monotonic() + VICTIM_WAIT_S
        while time.monotonic() < deadline:
            victims = [
                (connector, pid)
                for connector in CONNECTORS
                for pid in (living(self._stack, connector) if part == "connector" else cells(self._stack, connector))
            ]
            if victims:
                connector, pid = self._random.choice(victims)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.kills.append(Kill(time.time(), part, connector, pid))
                return
            time.sleep(VICTIM_LOOK_S)
        raise AssertionError(f"no {part} came back within {VICTIM_WAIT_S:.0f} s\n{self._stack.output()}")


def living(stack: Stack, connector: str) -> list[int]:
    """The process of a connector, if it lives: run.json names the one before until the next has started."""
    pid = stack.run.pids[connector]
    return [pid] if "connector" in _command(pid) else []


def cells(stack: Stack, connector: str) -> list[int]:
    """The cell processes of a connector."""
    [*parents] = living(stack, connector)
    return [pid for pid in _children(parents) if "cell" in _command(pid)]


def _children(parents: list[int]) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # proc(5): the fields after the command's closing parenthesis are state and parent.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) in parents and state != "Z":
            found.append(int(folder.name))
    return found


def _command(pid: int) -> str:
    """Empty for a process that has ended, also while nobody has taken note of its end."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
