"""The HTTP API under load: 100 and then 1,000 clients at once, through the functions host, with Google's Firestore emulator.

For each load it starts an emulator and a functions host of its own on free ports, gives ten users to each tenant, two sessions to
each tenant, and lets locust (api_locustfile.py) be the users: programs that wait 1 to 3 s between two calls. Of their calls 60 %
send a message with an Idempotency-Key (one in ten repeats an earlier key), 20 % look at a message, 10 % list, 10 % look at a
session. Four tenants of five have high limits of their own, the fifth has the usual 60 messages a minute and meets it.

Counted once all users are there. 429 answers are `limited`: neither success nor failure, and their times are left out, because
they are short. `success` is the share of good answers among all other calls; no answer is no good one. Afterwards Firestore is
read: `twice` counts messages that have more than one row, or whose answers named more than one id. What a 202 has promised must
be there.

No connector runs, so that every row stays queued and nothing else takes the machine; triggers are functions of their own in the
cloud, and do not run either. The same users first ask an empty server for nothing: what the machine and the load generator take.

The last lines are JSON, one for each load. The exit code is 1 if something was accepted twice or lost, or 100 users miss a goal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from google.cloud import firestore

from keepline.adapters.firestore import FirestoreDocuments
from keepline.ports.documents import Put
from keepline.records import api_keys, rate_limits
from keepline.records.outbox import OUTBOX
from keepline_local import loopback_http
from keepline_local.emulators import firestore_emulator
from keepline_local.plan import PROJECT
from keepline_local.ports import LOOPBACK, free_port
from keepline_local.processes import Child, spawn, wait_ready
from keepline_local.stack import ROOMY

LOADS = (100, 1_000)
SECONDS = 60
RAMP_S = 10
NULL_S = 10
USERS_OF_TENANT = 10
SESSIONS_OF_TENANT = 2
# One tenant in so many has the usual limits, which its users pass together: ten times 18 messages a minute.
USUAL_EVERY = 5
# Of all others, in the words of `tenants/{tenant}` (docs/architecture.md).
HIGH = {"count": 1_200, "period_s": 60.0, "burst": 200}
READY_LIMIT_S = 60.0
# After so long every user has noticed that it is over, and calls that are still on their way are waited for.
THINK_S_MAX = 4
LAST_CALLS_S = 30
LIMITED = 429

GOAL_USERS = 100
GOAL_SUCCESS = 0.999
GOAL_AVG_MS = 100.0
GOAL_P99_MS = 500.0

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Figures:
    """The last line of a load. Times are of all answers but the limited."""

    users: int
    success: float
    avg_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    limited: int
    twice: int

    def met(self) -> bool:
        return self.success >= GOAL_SUCCESS and self.avg_ms < GOAL_AVG_MS and self.p99_ms < GOAL_P99_MS


@dataclass(frozen=True)
class Server:
    """A server under load."""

    url: str
    process: Child


@contextmanager
def keepline(folder: Path) -> Iterator[Server]:
    """A functions host with a Firestore of its own."""
    with firestore_emulator() as store:
        os.environ["FIRESTORE_EMULATOR_HOST"] = store
        api, functions = free_port(), free_port()
        environment = {
            "KEEPLINE_PROJECT": PROJECT,
            "PUBSUB_EMULATOR_HOST": f"{LOOPBACK}:{free_port()}",  # never called: no webhooks
            **ROOMY,
        }
        line = [sys.executable, "-m", "keepline_local.functions_host"]
        line += ["--api-port", str(api), "--events-port", str(functions)]
        host = spawn("functions", line, folder / "functions.log", env=environment)
        try:
            url = f"http://{LOOPBACK}:{api}"
            wait_ready(host, lambda: loopback_http.answers(f"{url}/health"), READY_LIMIT_S)
            yield Server(url, host)
        finally:
            host.stop()


@contextmanager
def empty(folder: Path) -> Iterator[Server]:
    """A server like the functions host's that answers everybody with nothing."""
    port = free_port()
    host = spawn("empty server", [sys.executable, str(_HERE / "empty_server.py"), str(port)], folder / "empty.log")
    try:
        url = f"http://{LOOPBACK}:{port}"
        wait_ready(host, lambda: loopback_http.answers(url), READY_LIMIT_S)
        yield Server(url, host)
    finally:
        host.stop()


def tenants(url: str, count: int) -> list[dict[str, Any]]:
    """Keys, limits and sessions."""
    made = [(f"tenant-{n}", api_keys.new_key(secrets.token_bytes(32)), n % USUAL_EVERY == 0) for n in range(count)]
    asyncio.run(_register(made))
    return [{"name": name, "key": key, "sessions": _sessions(url, key)} for name, key, _ in made]


async def _register(made: Sequence[tuple[str, str, bool]]) -> None:
    store = FirestoreDocuments(PROJECT)
    for tenant, key, usual in made:
        await store.commit([api_keys.add_key(key, tenant=tenant, name="bench")])
        if not usual:
            await store.commit([Put(rate_limits.tenant_path(tenant), {"limits": {"messages": HIGH}})])
    await store.close()


def _sessions(url: str, key: str) -> list[str]:
    made = []
    for number in range(SESSIONS_OF_TENANT):
        answer = loopback_http.send(
            "POST",
            f"{url}/api/sessions/create",
            json.dumps({"session_id": f"shop-{number}"}).encode(),
            {"X-Api-Key": key, "Content-Type": "application/json"},
        )
        assert answer.status == 201, answer.text
        made.append(answer.json()["session_id"])
    return made


@dataclass(frozen=True)
class Cpu:
    """Seconds of CPU time until now: of the server, of children that have ended (locust), of the machine and everything on it."""

    at_s: float
    server_s: float
    ended_s: float
    machine_s: float

    @classmethod
    def now(cls, server: int) -> Cpu:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
        busy = user + nice + system + irq + softirq
        ticks = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
        return cls(
            at_s=time.monotonic(),
            server_s=(int(ticks[11]) + int(ticks[12])) / _TICKS_PER_SECOND,
            ended_s=ended.ru_utime + ended.ru_stime,
            machine_s=busy / _TICKS_PER_SECOND,
        )

    def told_since(self, before: Cpu, server: str) -> str:
        """How many cores each took."""
        took_s = self.at_s - before.at_s
        server_cores = (self.server_s - before.server_s) / took_s
        locust_cores = (self.ended_s - before.ended_s) / took_s
        others = (self.machine_s - before.machine_s) / took_s - server_cores - locust_cores
        return f"{server} {server_cores:.2f} cores, load generator {locust_cores:.2f}, all else {others:.2f}"


def load(server: Server, plan: dict[str, Any], users: int, seconds: int, folder: Path, *, null: bool) -> dict[str, Any]:
    """Let the users work, and tell who took the machine: what they have seen (api_locustfile.py's Record)."""
    plan_file, result = folder / "plan.json", folder / "result.json"
    plan_file.write_text(json.dumps(plan | {"url": server.url, "seconds": seconds}))
    line = [sys.executable, "-m", "locust", "--headless", "--skip-log-setup"]
    line += ["--locustfile", str(_HERE / "api_locustfile.py"), "--stop-timeout", str(LAST_CALLS_S)]
    line += [
        "--users",
        str(users),
        "--spawn-rate",
        str(users / RAMP_S),
        "--run-time",
        f"{RAMP_S + seconds + THINK_S_MAX}s",
    ]
    environment = {"LOAD_PLAN": str(plan_file), "LOAD_RESULT": str(result), "LOAD_NULL": str(int(null))}
    before = Cpu.now(server.process.pid)
    # Its exit code says whether a call has failed, which is told below.
    subprocess.run(line, env={**os.environ, **environment}, check=False)
    print(f"  {Cpu.now(server.process.pid).told_since(before, server.process.name)}", flush=True)
    seen: dict[str, Any] = json.loads(result.read_text())
    return seen


def times_ms(seen: dict[str, Any], what: str | None = None) -> list[float]:
    """Of all answers but the limited, shortest first."""
    return sorted(ms for kind, status, ms in seen["answers"] if status != LIMITED and what in (None, kind))


def share(times: Sequence[float], of: float) -> float:
    """The time within which this share of them was (nearest rank)."""
    return times[max(0, math.ceil(of * len(times)) - 1)]


def told(times: Sequence[float]) -> str:
    p50, p95, p99 = (share(times, of) for of in (0.5, 0.95, 0.99))
    return f"average {fmean(times):.1f} ms, p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ({len(times)} answers)"


@dataclass(frozen=True)
class Stored:
    """What Firestore has against what was answered. `twice`: messages with two rows or ids; `lost`: 202s without a row."""

    rows: int
    twice: int
    lost: int


def compare(seen: dict[str, Any]) -> Stored:
    """Read every row. A message is known by its user and its text, which nothing else has: not by its id, which is under test."""
    client = firestore.Client(project=PROJECT)
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in client.collection(OUTBOX).stream():
        ids[row.get("tenant"), row.get("content")["text"]].add(row.id)
    client.close()  # type: ignore[no-untyped-call]
    rows = sum(map(len, ids.values()))
    stored = {message_id for found in ids.values() for message_id in found}
    lost = {message_id for _, _, message_id in seen["accepted"]} - stored
    for tenant, text, message_id in seen["accepted"]:
        ids[tenant, text].add(message_id)
    return Stored(rows, sum(len(found) > 1 for found in ids.values()), len(lost))


def measure(users: int, seconds: int) -> tuple[Figures, bool]:
    """One load. Whether every 202 has its row comes with it."""
    print(f"{users} users, each with 1 to 3 s between two calls; counted for {seconds} s after {RAMP_S} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="keepline-load-") as name:
        folder = Path(name)
        with empty(folder) as server:
            seen = load(
                server,
                {"tenants": [{"name": "-", "key": "-", "sessions": []}]},
                users,
                min(seconds, NULL_S),
                folder,
                null=True,
            )
            print(f"  the machine by itself, asked for nothing: {told(times_ms(seen))}", flush=True)
        with keepline(folder) as server:
            plan = {"tenants": tenants(server.url, math.ceil(users / USERS_OF_TENANT))}
            seen = load(server, plan, users, seconds, folder, null=False)
            stored = compare(seen)
    for what in ("send", "message", "list", "status"):
        if times := times_ms(seen, what):
            print(f"  {what}: {told(times)}")
    for error, count in seen["errors"]:
        print(f"  {count} times {error}")
    if seen["unanswered"]:
        print(f"  {seen['unanswered']} calls had no answer {LAST_CALLS_S} s after the end")
    statuses = [status for _, status, _ in seen["answers"]]
    limited = statuses.count(LIMITED)
    good = sum(200 <= status < 300 for status in statuses)
    replays = len(seen["accepted"]) - len({(tenant, text) for tenant, text, _ in seen["accepted"]})
    print(
        f"  {len(statuses) / seconds:.0f} answers a second; {len(seen['accepted'])} times 202, {replays} of them to repeats;"
        f" {stored.rows} rows, {stored.lost} lost, {stored.twice} twice",
        flush=True,
    )
    times = times_ms(seen)
    figures = Figures(
        users=users,
        success=round(good / (len(statuses) + seen["unanswered"] - limited), 5),
        avg_ms=round(fmean(times), 1),
        p50_ms=round(share(times, 0.5), 1),
        p95_ms=round(share(times, 0.95), 1),
        p99_ms=round(share(times, 0.99), 1),
        limited=limited,
        twice=stored.twice,
    )
    return figures, stored.lost == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = " ".join(map(str, LOADS))
    parser.add_argument("--users", type=int, nargs="+", default=LOADS, help=f"one load for each (default {usual})")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"how long each is counted (default {SECONDS})")
    arguments = parser.parse_args()
    # A connection is an open file of each server, and shells usually allow 1,024. Children inherit it.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    measured = [measure(users, arguments.seconds) for users in arguments.users]
    good = True
    for figures, all_there in measured:
        good &= all_there and not figures.twice and (figures.users != GOAL_USERS or figures.met())
        print(json.dumps(asdict(figures)))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
