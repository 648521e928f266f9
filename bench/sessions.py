"""What linked devices cost a connector: memory, time to connect them all, threads, file descriptors, idle CPU.

Runs the demo on free ports with all accounts on one connector, real neonize in its cells. At 10, 100 and 200 devices the
connector is killed and starts again; measured then:

- `connect_all_s`: from the start of its process until WhatsApp has let in the last device
- after a rest, of the connector and its cells together: resident memory (`rss_mb`; pages that the cells share count in each),
  threads, open file descriptors, and the CPU time that they take while nothing happens (`idle_cpu`: share of one core)

The last line is JSON, for the largest number of devices; the exit code is 1 if a session costs more than the goal.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from demo import Keepline, until
from restore import frozen, process_start

from keepline_local.stack import NOBODY_RECOVERS, ROOMY, Stack
from simulator.client import SimulatorClient

CONNECTOR = "connector-1"
OTHER = "connector-2"
DEVICES = (10, 100, 200)
GOAL_MB_PER_SESSION = 5.0
CREATED_AT_ONCE = 4
LINK_LIMIT_S = 600.0
BACK_LIMIT_S = 300.0
REST_S = 20.0
IDLE_S = 20.0
LOOK_S = 0.1
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    devices: int
    rss_mb: float
    mb_per_session: float
    connect_all_s: float
    threads: int
    fds: int
    idle_cpu: float


class SessionsBench:
    def __init__(self, stack: Stack) -> None:
        assert stack.run.simulator is not None, "the demo has a simulator"
        self._stack = stack
        self._whatsapp = SimulatorClient(stack.run.simulator)
        self._devices = 0
        self._came_at: dict[str, float] = {}  # number → newest login
        self._cursor = 0

    def link(self, count: int) -> None:
        """Link accounts until there are so many."""
        names = [f"account-{number}" for number in range(self._devices + 1, count + 1)]
        with ThreadPoolExecutor(CREATED_AT_ONCE) as pool:
            list(pool.map(lambda name: Keepline(self._stack).create(name), names))
        until(lambda: self._all_came(count, 0.0), f"{count} devices to be linked", LINK_LIMIT_S, LOOK_S)
        self._devices = count

    def measure(self) -> Cost:
        before = self._stack.run.pids[CONNECTOR]
        killed_at = time.time()
        os.killpg(before, signal.SIGKILL)
        pid = until(lambda: self._successor(before), "the connector to be started again", BACK_LIMIT_S, LOOK_S)
        last_at = until(
            lambda: self._all_came(self._devices, killed_at), "all devices to connect", BACK_LIMIT_S, LOOK_S
        )
        connect_all_s = last_at - process_start(pid)
        time.sleep(REST_S)
        processes = [pid, *_children(pid)]
        cpu_s, began_s = sum(map(_cpu_s, processes)), time.monotonic()
        time.sleep(IDLE_S)
        idle_cpu = (sum(map(_cpu_s, processes)) - cpu_s) / (time.monotonic() - began_s)
        rss_mb = sum(_status_number(one, "VmRSS") for one in processes) / 1024
        return Cost(
            devices=self._devices,
            rss_mb=round(rss_mb, 1),
            mb_per_session=round(rss_mb / self._devices, 2),
            connect_all_s=round(connect_all_s, 1),
            threads=sum(_status_number(one, "Threads") for one in processes),
            fds=sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in processes),
            idle_cpu=round(idle_cpu, 3),
        )

    def _successor(self, before: int) -> int | None:
        pid = self._stack.run.pids[CONNECTOR]
        return pid if pid != before else None

    def _all_came(self, count: int, since: float) -> float | None:
        """When the last of so many devices logged in after `since`, once all have."""
        while True:
            events, self._cursor = self._whatsapp.log(self._cursor, "login")
            if not events:
                break
            for event in events:
                self._came_at[event["number"]] = event["at"]
        came = [at for at in self._came_at.values() if at > since]
        return max(came) if len(came) >= count else None


def _children(parent: int) -> list[int]:
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    children = [int(pid) for pid in text.split()]
    return [one for child in children for one in (child, *_children(child))]


def _cpu_s(pid: int) -> float:
    """User and system time (proc(5), stat: fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _status_number(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=DEVICES, help="how many, step by step (10 100 200)")
    arguments = parser.parse_args()
    print("starting the demo …", flush=True)
    # The other connector takes no part: it stands still until the end, when it has to hear that it is to stop.
    with (
        Stack("demo", env={"KEEPLINE_PROFILE": "normal", **ROOMY, **NOBODY_RECOVERS}) as stack,
        frozen(stack.run.pids[OTHER]),
    ):
        bench = SessionsBench(stack)
        costs = []
        for count in sorted(arguments.devices):
            bench.link(count)
            costs.append(bench.measure())
            print(_sentence(costs[-1]), flush=True)
    print(json.dumps(asdict(costs[-1])))
    return int(costs[-1].mb_per_session > GOAL_MB_PER_SESSION and costs[-1].devices >= max(DEVICES))


def _sentence(cost: Cost) -> str:
    return (
        f"{cost.devices} devices: {cost.rss_mb:.0f} MB ({cost.mb_per_session:.2f} MB each), all connected after"
        f" {cost.connect_all_s:.1f} s, {cost.threads} threads, {cost.fds} file descriptors, {cost.idle_cpu:.1%} of a core idle"
    )


if __name__ == "__main__":
    sys.exit(main())
