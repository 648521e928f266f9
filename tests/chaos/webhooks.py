"""`make chaos-webhooks`: events through a receiver that is killed at random and misbehaves otherwise.

`python -m tests.chaos.webhooks --events 10000 --seed 7`. Messages are recorded as the connector does it; their triggers come in
any order, twice or late; wakes get lost; whoever delivers dies in the middle. The receiver is a process of its own, called over
real HTTP, that is killed with SIGKILL again and again. In the end everything must have arrived at least once, in each chat in its
order, and under one id.

The store is the one in memory, whose rules the contract tests hold to Firestore's, and waiting costs little: while nothing moves,
the clock jumps to what is due next. The last line is JSON. The exit code is 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import secrets
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keepline.adapters import webhook_http
from keepline.adapters.webhook_http import HttpWebhookCaller
from keepline.domain import webhook_policy
from keepline.domain.link_events import MessageHeard
from keepline.ports.documents import Query
from keepline.ports.webhook_calls import WakeFailed
from keepline.records import history
from keepline.records.webhooks import DELIVERIES, LANES, WEBHOOKS
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.usecases.webhook_delivering import Calling, WebhookDeliverer
from keepline.usecases.webhook_events import Rendering
from keepline.usecases.webhook_feeding import WebhookFeeder
from keepline.usecases.webhook_sealing import WebhookSealer
from keepline.usecases.webhooks import Wanted, Webhooks
from keepline_functions.views import message_json, rfc3339
from keepline_local.ports import free_port

EVENTS = 10_000
CHATS = 100
DELIVERERS = 48
BATCH_MAX = 40
WAKES_LOST = 0.02
TRIGGERS_LATE = 0.05
TRIGGERS_AT_ONCE = 8
DELIVERERS_KILLED = 0.15
# A receiver that hangs costs this much of real time.
CALL_TIMEOUT_S = 1.0
FIRST_PAUSE_S = 0.05
ALIVE_S = (0.1, 0.6)
DEAD_S = (0.05, 0.4)
READY_LIMIT_S = 20.0


@dataclass
class Report:
    """What was done, and what came of it. All of `broken` must be 0."""

    seed: int
    events: int
    receiver_kills: int = 0
    deliverer_kills: int = 0
    wakes_lost: int = 0
    triggers: int = 0
    arrivals: int = 0
    repeated: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    virtual_h: float = 0.0
    took_s: float = 0.0

    @property
    def is_good(self) -> bool:
        return not any(self.broken.values())


class JumpingClock:
    """The machine's time, and as much more as was skipped."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self.skipped_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.monotonic_s())

    def monotonic_s(self) -> float:
        return time.monotonic() - self._began_s + self.skipped_s


class Topic:
    """Wakes, some of which get lost, and some of which fail."""

    def __init__(self, chance: random.Random, report: Report) -> None:
        self.waiting: list[tuple[str, str]] = []
        self._chance = chance
        self._report = report

    async def wake(self, webhook: str, lane: str) -> None:
        if self._chance.random() < WAKES_LOST:
            self._report.wakes_lost += 1
            if self._chance.random() < 0.5:
                raise WakeFailed("lost")
            return
        self.waiting.append((webhook, lane))


class Receiver:
    """The process that takes the events, and whoever kills it."""

    def __init__(self, chance: random.Random, log: Path, report: Report) -> None:
        self.port = free_port()
        self.alive = asyncio.Event()
        self._chance = chance
        self._log = log
        self._report = report

    async def live_and_die(self) -> None:
        """Until cancelled."""
        for life in itertools.count():
            command = ("-m", "tests.chaos.webhook_receiver", str(self.port), str(self._log), str(life))
            process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
            try:
                assert process.stdout is not None
                await asyncio.wait_for(process.stdout.readline(), READY_LIMIT_S)
                self.alive.set()
                await asyncio.sleep(self._chance.uniform(*ALIVE_S))
            finally:
                self.alive.clear()
                process.kill()
                await process.wait()
            self._report.receiver_kills += 1
            await asyncio.sleep(self._chance.uniform(*DEAD_S))


class Run:
    """One seed's worth."""

    def __init__(self, events: int, seed: int, folder: Path) -> None:
        self.report = Report(seed, events)
        self._chance = random.Random(seed)
        self._clock = JumpingClock()
        self._store = MemoryDocuments(self._clock)
        self._topic = Topic(self._chance, self.report)
        self._log = folder / "taken.jsonl"
        self._receiver = Receiver(random.Random(seed + 1), self._log, self.report)
        entropy = random.Random(seed + 2).randbytes
        sealer = WebhookSealer(MemoryKeys(), entropy)
        calling = Calling(HttpWebhookCaller(private_allowed=True), sealer, self._clock)
        rendering = Rendering(message_json, rfc3339)
        self._deliverer = WebhookDeliverer(self._store, self._clock, entropy, calling, self._topic)
        self._feeder = WebhookFeeder(self._store, self._clock, self._topic, rendering)
        self._webhooks = Webhooks(
            *(self._store, self._clock, entropy, sealer, calling, self._deliverer, self._topic, rendering),
            private_allowed=True,
        )
        self._sent: dict[str, list[str]] = defaultdict(list)
        self._triggers: list[str] = []
        self._running: set[asyncio.Task[None]] = set()
        self._fed = 0

    async def go(self) -> Report:
        began_s = time.monotonic()
        url = f"http://127.0.0.1:{self._receiver.port}/hook"
        made = await self._webhooks.create("anna", Wanted(url, ["message"], None, {}))
        living = asyncio.create_task(self._receiver.live_and_die())
        try:
            await self._until_all_is_told()
        finally:
            living.cancel()
            for task in self._running:
                task.cancel()
            await asyncio.gather(living, *self._running, return_exceptions=True)
        self._compare(made.webhook.id)
        self.report.took_s = round(time.monotonic() - began_s, 1)
        self.report.virtual_h = round(self._clock.monotonic_s() / 3600, 1)
        return self.report

    async def _until_all_is_told(self) -> None:
        while True:
            if self._fed < self.report.events:
                await self._record()
            await self._trigger(all_of_them=self._fed >= self.report.events)
            self._deliver()
            if self._running:
                await asyncio.wait(self._running, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
            elif self._fed >= self.report.events and not (self._topic.waiting or self._triggers or await self._skip()):
                return

    async def _record(self) -> None:
        """One commit of what WhatsApp brought, as the connector writes it."""
        count = min(self._chance.randint(1, BATCH_MAX), self.report.events - self._fed)
        writes = []
        for seq in range(count):
            chat = f"1415555{self._chance.randrange(CHATS):04}@s.whatsapp.net"
            name = f"{self._chance.randrange(10**9)}-{self._fed + seq}"
            at = self._clock.now().replace(microsecond=0)
            heard = MessageHeard(self._fed + seq, name, chat, chat[:11], None, False, "text", name, at)
            writes.append(history.heard_message("anna_shop", "anna", "shop", heard))
            self._sent[chat].append(name)
        await self._store.commit(writes)
        self._fed += count
        self._triggers += [write.path for write in writes]
        self._triggers += [write.path for write in writes if self._chance.random() < 0.1]

    async def _trigger(self, *, all_of_them: bool) -> None:
        """Triggers in any order; some stay for a later round, and one that fails comes again."""
        self._chance.shuffle(self._triggers)
        now, later = [], []
        for path in self._triggers:
            (later if not all_of_them and self._chance.random() < TRIGGERS_LATE else now).append(path)
        self._triggers = later
        for start in range(0, len(now), TRIGGERS_AT_ONCE):
            group = now[start : start + TRIGGERS_AT_ONCE]
            self.report.triggers += len(group)
            done = await asyncio.gather(
                *(self._feeder.message_changed("anna", path) for path in group), return_exceptions=True
            )
            for path, error in zip(group, done, strict=True):
                if isinstance(error, WakeFailed):
                    self._triggers.append(path)
                elif error is not None:
                    raise error

    def _deliver(self) -> None:
        self._chance.shuffle(self._topic.waiting)
        while self._topic.waiting and len(self._running) < DELIVERERS:
            task = asyncio.create_task(self._deliver_one(*self._topic.waiting.pop()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _deliver_one(self, webhook: str, lane: str) -> None:
        killed = self._chance.random() < DELIVERERS_KILLED
        self.report.deliverer_kills += killed
        with contextlib.suppress(WakeFailed, TimeoutError):
            async with asyncio.timeout(self._chance.uniform(0, 0.3) if killed else None):
                await self._deliverer.deliver(webhook, lane)

    async def _skip(self) -> bool:
        """Jump to what is due next; False when nothing is. Nobody delivers at this moment, so nobody's lease is cut short."""
        lanes = self._store.run_query(Query(LANES, limit=100_000, group=True))
        due = [lane.fields["due_at"] for lane in lanes if lane.fields["due_at"] is not None]
        if not due:
            return False
        await self._receiver.alive.wait()
        self._clock.skipped_s += max(0.0, (min(due) - self._clock.now()).total_seconds())
        with contextlib.suppress(WakeFailed):
            await self._deliverer.wake_due()
        return True

    def _compare(self, webhook: str) -> None:
        taken = [json.loads(line) for line in self._log.read_text().splitlines()]
        ids: dict[str, set[str]] = defaultdict(set)
        # A call that was given up can still be read by a slow receiver, after later events: what comes first keeps the order.
        arrived: dict[str, list[str]] = defaultdict(list)
        for one in taken:
            if one["text"] not in ids:
                arrived[one["chat"]].append(one["text"])
            ids[one["text"]].add(one["id"])
        deliveries = self._store.run_query(Query(f"{WEBHOOKS}/{webhook}/{DELIVERIES}", limit=10**6))
        states = Counter(one.fields["state"] for one in deliveries)
        self.report.arrivals = len(taken)
        self.report.repeated = len(taken) - len(ids)
        self.report.broken = {
            "lost": sum(text not in ids for texts in self._sent.values() for text in texts),
            "chats_out_of_order": sum(arrived[chat] != texts for chat, texts in self._sent.items()),
            "events_with_two_ids": sum(len(found) > 1 for found in ids.values()),
            "not_delivered": len(deliveries) - states["delivered"],
            "deliveries_too_many": len(deliveries) - self.report.events,
        }


async def run(events: int, seed: int) -> Report:
    """The whole of it. Slow calls are cut after `CALL_TIMEOUT_S`, and the first pause is short: what is shown is not waiting."""
    usual_s, usual_pauses_s = webhook_http.TOTAL_TIMEOUT_S, webhook_policy.PAUSES_S
    webhook_http.TOTAL_TIMEOUT_S = CALL_TIMEOUT_S
    webhook_policy.PAUSES_S = (FIRST_PAUSE_S, *usual_pauses_s[1:])
    try:
        with tempfile.TemporaryDirectory(prefix="keepline-") as folder:
            return await Run(events, seed, Path(folder)).go()
    finally:
        webhook_http.TOTAL_TIMEOUT_S, webhook_policy.PAUSES_S = usual_s, usual_pauses_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS, help=f"messages that come in (default {EVENTS})")
    parser.add_argument("--seed", type=int, default=None, help="by default a new one each time")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    report = asyncio.run(run(arguments.events, seed))
    print(json.dumps(asdict(report)))
    return 0 if report.is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
