"""What linked devices cost a connector: memory, time to connect them all, threads, file descriptors, idle CPU, latency.

Runs the demo on free ports with all accounts on one connector, real neonize in its cells. At 10, 100 and 200 devices the
connector is killed and starts again; measured then:

- `connect_all_s`: from the start of its process until WhatsApp has let in the last device
- after a rest, of the connector and its cells together: resident memory (`rss_mb`; pages that the cells share count in each),
  threads, open file descriptors, and the CPU time that they take while nothing happens (`idle_cpu`: share of one core)
- then one message after the other is sent by devices drawn at random: from its 202 until its stanza is at WhatsApp
  (`accept_to_wire_ms_p50`, `accept_to_wire_ms_p95`): as many devices as keep these fit into a connector; and what the store alone
  takes of it (`store_floor_ms_p50`, store_floor.py)

The last lines are JSON, one for each number of devices; the exit code is 1 if a session costs more than the goal.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import median, quantiles

from demo import Keepline, arrivals, until
from restore import frozen, process_start
from store_floor import floor_ms

from keepline_local.stack import NOBODY_RECOVERS, ROOMY, Stack
from simulator.client import SimulatorClient

CONNECTOR = "connector-1"
OTHER = "connector-2"
DEVICES = (10, 100, 200)
GOAL_MB_PER_SESSION = 5.0
LINKING_AT_ONCE = 4
LINK_LIMIT_S = 600.0
BACK_LIMIT_S = 300.0
REST_S = 20.0
IDLE_S = 20.0
LOOK_S = 0.1
MESSAGES = 60
FRIEND = "14155560199"
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
    accept_to_wire_ms_p50: float
    accept_to_wire_ms_p95: float
    store_floor_ms_p50: float


class SessionsBench:
    def __init__(self, stack: Stack, rest_s: float) -> None:
        assert stack.run.simulator is not None, "the demo has a simulator"
        self._stack = stack
        self._rest_s = rest_s
        self._whatsapp = SimulatorClient(stack.run.simulator)
        self._keepline = Keepline(stack)
        self._random = Random(1)  # noqa: S311 - which account is next
        self._devices = 0
        self._came_at: dict[str, float] = {}  # number → newest login
        self._cursor = 0

    def link(self, count: int) -> None:
        """Link accounts until there are so many."""
        for number in range(self._devices + 1, count + 1):
            # Created faster than they link they would queue up in the emulator, until it refuses the next one.
            linked = max(0, number - LINKING_AT_ONCE)
            until(
                lambda linked=linked: self._all_came(linked, 0.0),
                f"{linked} devices to be linked",
                LINK_LIMIT_S,
                LOOK_S,
            )
            self._keepline.create(_name(number))
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
        time.sleep(self._rest_s)
        processes = [pid, *_children(pid)]
        cpu_s, began_s = sum(map(_cpu_s, processes)), time.monotonic()
        time.sleep(min(IDLE_S, self._rest_s))
        idle_cpu = (sum(map(_cpu_s, processes)) - cpu_s) / (time.monotonic() - began_s)
        rss_mb = sum(_status_number(one, "VmRSS") for one in processes) / 1024
        sizes = {
            "threads": sum(_status_number(one, "Threads") for one in processes),
            "fds": sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in processes),
        }
        took_ms = self._accept_to_wire_ms()
        return Cost(
            devices=self._devices,
            rss_mb=round(rss_mb, 1),
            mb_per_session=round(rss_mb / self._devices, 2),
            connect_all_s=round(connect_all_s, 1),
            idle_cpu=round(idle_cpu, 3),
            accept_to_wire_ms_p50=round(median(took_ms), 1),
            accept_to_wire_ms_p95=round(quantiles(took_ms, n=20)[-1], 1),
            store_floor_ms_p50=round(floor_ms(self._stack), 1),
            **sizes,
        )

    def _accept_to_wire_ms(self) -> list[float]:
        """Of each message. The first ones are no samples: a device asks for its friend's keys then."""
        accepted_at: dict[str, float] = {}
        for number in range(MESSAGES):
            session = _name(self._random.randint(1, self._devices))
            for _ in range(2):
                message_id = self._keepline.send(session, FRIEND, f"message {number}")
                at = time.time()
                message = self._keepline.until_message(message_id, "delivered")
            accepted_at[message["wa_message_id"]] = at
        arrived = arrivals(self._whatsapp)
        return [1000 * (arrived[wa_id] - at) for wa_id, at in accepted_at.items()]

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
        return max(came, default=0.0) if len(came) >= count else None


def _name(number: int) -> str:
    return f"account-{number}"


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
    parser.add_argument("--rest-s", type=float, default=REST_S, help=f"until it is looked at (default {REST_S:.0f})")
    arguments = parser.parse_args()
    print("starting the demo …", flush=True)
    # The other connector takes no part: it stands still until the end, when it has to hear that it is to stop.
    with (
        Stack("demo", env={"KEEPLINE_PROFILE": "normal", **ROOMY, **NOBODY_RECOVERS}) as stack,
        frozen(stack.run.pids[OTHER]),
    ):
        bench = SessionsBench(stack, arguments.rest_s)
        costs = []
        for count in sorted(arguments.devices):
            bench.link(count)
            costs.append(bench.measure())
            print(_sentence(costs[-1]), flush=True)
    for cost in costs:
        print(json.dumps(asdict(cost)))
    return int(costs[-1].mb_per_session > GOAL_MB_PER_SESSION and costs[-1].devices >= max(DEVICES))


def _sentence(cost: Cost) -> str:
    return (
        f"{cost.devices} devices: {cost.rss_mb:.0f} MB ({cost.mb_per_session:.2f} MB each), all connected after"
        f" {cost.connect_all_s:.1f} s, {cost.threads} threads, {cost.fds} file descriptors, {cost.idle_cpu:.1%} of a core idle,"
        f" {cost.accept_to_wire_ms_p50:.1f} ms from the 202 to the wire (p95 {cost.accept_to_wire_ms_p95:.1f} ms),"
        f" {cost.store_floor_ms_p50:.1f} ms of it the store's"
    )


if __name__ == "__main__":
    sys.exit(main())
