"""How long until a number is back when its connector and the connector's disk are lost.

Runs the whole demo on free ports, with all accounts on one connector. The connector is killed with SIGKILL and its data folder
deleted, as a container goes that has its disk in memory; then it is started again with nothing. Measured from its process's
start, until WhatsApp has let every account in again and the API says `connected` on fresh evidence:

- with one account, in rounds: each round writes both ways and strikes the moment the API has said that all of it is settled;
  every second round strikes with one more message on its way. While the connector is gone, more is written both ways.
- with all accounts at once, three times.

The figures are medians. The last line is JSON. `second_qr` counts linkings beyond each account's first (the demo's phone scans
whatever is offered); `unreadable` what a phone could not show in the end, or what never reached the API. The exit code is 1 if
either is not 0. `shown_twice` counts what was sent again in doubt (`on_doubt: resend`): without a standby device nothing tells
whether a message that was on its way when the disk went had left.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from demo import Keepline, until

from keepline_local.stack import NOBODY_RECOVERS, ROOMY, Stack
from simulator.client import SimulatorClient

CONNECTOR = "connector-1"
OTHER = "connector-2"
ACCOUNTS = 100
ROUNDS = 50
LOSSES_OF_ALL = 3
FRIEND = "14155560123"
CREATED_AT_ONCE = 8
LINK_LIMIT_S = 300.0
BACK_LIMIT_S = 120.0
HEAL_LIMIT_S = 60.0
API_LOOK_S = 0.03
SETTLED = ("delivered", "read")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Written:
    """Every message of the rounds, by its text."""

    sent: dict[str, str] = field(default_factory=dict)  # text -> message id
    said: dict[str, str] = field(default_factory=dict)  # text -> WhatsApp id


@dataclass
class Connections:
    """What the simulator has seen of linked devices."""

    logged_in_at: dict[str, float] = field(default_factory=dict)  # number -> Unix time of its newest login
    linkings: int = 0


class RestoreBench:
    def __init__(self, stack: Stack) -> None:
        run = stack.run
        assert run.simulator is not None, "the demo has a simulator"
        self._stack = stack
        self._whatsapp = SimulatorClient(run.simulator)
        self._keepline = Keepline(stack)
        self._phones: dict[str, str] = {}  # session -> number
        self._written = Written()
        self._seen = Connections()
        self._cursor = 0

    def link(self, count: int) -> None:
        """Link accounts until there are so many."""
        names = [f"account-{number}" for number in range(len(self._phones) + 1, count + 1)]
        with ThreadPoolExecutor(CREATED_AT_ONCE) as pool:
            list(pool.map(lambda name: Keepline(self._stack).create(name), names))

        def all_connected() -> dict[str, dict[str, Any]] | None:
            statuses = self._keepline.statuses()
            return statuses if all(statuses[name]["state"] == "connected" for name in names) else None

        statuses = until(all_connected, f"{count} accounts to be linked", LINK_LIMIT_S, API_LOOK_S)
        self._phones |= {name: statuses[name]["phone"] for name in names}
        holders = {device["connector"] for status in statuses.values() for device in status["devices"]}
        assert holders == {CONNECTOR}, f"the accounts are with {holders}"

    def rounds(self, count: int) -> list[float]:
        """Seconds until the one account was back, each time."""
        [(session, phone)] = self._phones.items()
        took = []
        for number in range(count):
            self._write(session, phone, f"round {number}, settled")
            on_its_way = f"round {number}, on its way" if number % 2 else None
            took.append(self.lose(session, phone, on_its_way, f"round {number}, while away"))
        return took

    def second_qr(self) -> int:
        self._look()
        return self._seen.linkings - len(self._phones)

    def unreadable(self) -> int:
        """Messages of the rounds that are not where they should be when what heals has healed."""
        session = next(iter(self._phones))
        missing: list[str] = []

        def none_missing() -> bool | None:
            missing[:] = self._missing(session)
            return None if missing else True

        try:
            until(none_missing, "every message to be readable", HEAL_LIMIT_S, API_LOOK_S)
        except SystemExit as in_vain:
            print(f"{in_vain}: {', '.join(map(repr, missing))}")
        return len(missing)

    def shown_twice(self) -> int:
        """Messages of the rounds that their recipient got once more."""
        again = [text for text, count in Counter(self._shown()).items() if count > 1]
        if again:
            print(f"shown twice, after a doubt about what was on its way: {', '.join(map(repr, again))}")
        return len(again)

    def lose(
        self,
        session: str | None = None,
        phone: str | None = None,
        on_its_way: str | None = None,
        away: str | None = None,
    ) -> float:
        """Kill the connector, delete its disk, and wait until every account is back: seconds from the new process's start."""
        before = self._stack.run.pids[CONNECTOR]
        with frozen(self._stack.run.pids["runner"]):  # It would start the connector while its disk is still there.
            if session and on_its_way:
                self._written.sent[on_its_way] = self._keepline.send(session, FRIEND, on_its_way)
            killed_at = time.time()
            os.killpg(before, signal.SIGKILL)  # its cells too, as a container ends
            shutil.rmtree(self._stack.state.kind("demo") / CONNECTOR)
            if session and phone and away:
                self._written.sent[away] = self._keepline.send(session, FRIEND, away)
                self._written.said[away] = self._whatsapp.send(FRIEND, phone, away)
        pid = until(lambda: self._successor(before), "the connector to be started again", BACK_LIMIT_S)
        started_at = process_start(pid)
        until(lambda: self._all_back(killed_at), "every account to be back", BACK_LIMIT_S, API_LOOK_S)
        back_at = time.time()
        logged_in_s = max(self._seen.logged_in_at.values()) - started_at
        print(
            f"  {back_at - started_at:.2f} s ({back_at - killed_at:.2f} s from the kill),"
            f" the last login after {logged_in_s:.2f} s",
            flush=True,
        )
        return back_at - started_at

    def _write(self, session: str, phone: str, text: str) -> None:
        """A message each way, until the API says that they are settled."""
        self._written.said[text] = heard = self._whatsapp.send(FRIEND, phone, text)
        self._written.sent[text] = message_id = self._keepline.send(session, FRIEND, text)
        self._keepline.until_message(message_id, *SETTLED)
        until(lambda: (heard in self._recorded(session)) or None, f"{text!r} to be recorded")

    def _missing(self, session: str) -> list[str]:
        shown, recorded = set(self._shown()), self._recorded(session)
        return [f"to the friend: {text}" for text in self._written.sent if text not in shown] + [
            f"from the friend: {text}" for text, wa_id in self._written.said.items() if wa_id not in recorded
        ]

    def _shown(self) -> list[str]:
        return [message["text"] for message in self._whatsapp.inbox(FRIEND) if not message["waiting"]]

    def _recorded(self, session: str) -> set[str]:
        return {one["wa_message_id"] for one in self._keepline.messages(session) if one["direction"] == "in"}

    def _successor(self, before: int) -> int | None:
        pid = self._stack.run.pids[CONNECTOR]
        return pid if pid != before else None

    def _all_back(self, since: float) -> bool | None:
        """Logged in, and shown as connected on evidence from after the kill."""
        self._look()
        if any(self._seen.logged_in_at.get(phone, 0.0) < since for phone in self._phones.values()):
            return None
        for status in self._keepline.statuses().values():
            evidence = status["evidence"]
            if status["state"] != "connected" or datetime.fromisoformat(evidence["at"]).timestamp() < since:
                return None
        return True

    def _look(self) -> None:
        while True:
            events, self._cursor = self._whatsapp.log(self._cursor)
            if not events:
                return
            for event in events:
                if event["kind"] == "login":
                    self._seen.logged_in_at[event["number"]] = event["at"]
                self._seen.linkings += event["kind"] == "paired"


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that stands still for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def process_start(pid: int) -> float:
    """Unix time of a process's start (proc(5), stat: field 22, in ticks since boot)."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / _TICKS_PER_SECOND)


def compiled(folder: str) -> dict[str, str]:
    """As the container image has it: compiled Python. On a machine that is told to keep none it goes into `folder`."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder} if sys.dont_write_bytecode else {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS, help=f"linked numbers (default {ACCOUNTS})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"losses with one account (default {ROUNDS})")
    arguments = parser.parse_args()
    print("starting the demo …", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="keepline-") as folder,
        Stack("demo", env=compiled(folder) | ROOMY | NOBODY_RECOVERS) as stack,
        # The other connector takes no part: it stands still until the end, when it has to hear that it is to stop.
        frozen(stack.run.pids[OTHER]),
    ):
        bench = RestoreBench(stack)
        bench.link(1)
        print(f"one account, {arguments.rounds} times:", flush=True)
        one_s = bench.rounds(arguments.rounds)
        unreadable, shown_twice = bench.unreadable(), bench.shown_twice()
        print(f"linking {arguments.accounts} accounts …", flush=True)
        bench.link(arguments.accounts)
        print(f"{arguments.accounts} accounts, {LOSSES_OF_ALL} times:", flush=True)
        all_s = [bench.lose() for _ in range(LOSSES_OF_ALL)]
        second_qr = bench.second_qr()
    for what, took_s in (("one account", one_s), (f"all {arguments.accounts} accounts", all_s)):
        print(f"{what}: median {median(took_s):.2f} s, worst {max(took_s):.2f} s from the connector's start")
    figures = {
        "one_account_s": round(median(one_s), 2),
        "one_account_worst_s": round(max(one_s), 2),
        "accounts": arguments.accounts,
        "all_s": round(median(all_s), 2),
        "all_worst_s": round(max(all_s), 2),
        "rounds": arguments.rounds,
        "second_qr": second_qr,
        "unreadable": unreadable,
        "shown_twice": shown_twice,
    }
    print(json.dumps(figures))
    return int(bool(second_qr or unreadable))


if __name__ == "__main__":
    sys.exit(main())
