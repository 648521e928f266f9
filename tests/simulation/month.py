"""A month of faults at the rates that are assumed below: for how long can an accepted message not leave?

`python -m tests.simulation.month` prints one line of JSON (goal: 99.99 % of the time, 4.3 minutes a month at most).

A month is mostly quiet, so quiet is skipped: each kind of fault strikes several times in virtual time, while each account is
given a message every second. A moment counts as down if the message that was accepted in it had to wait longer than LATE_S
until it was at WhatsApp. What a kind costs when it strikes, times how often it does, makes the month; months are also drawn at
random, for the share that keeps the goal. Faults strike one at a time: two at once are the failover scenario's subject.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import sqrt
from random import Random
from statistics import fmean, pstdev
from typing import Any

from keepline.domain.lease import EXTREME, PROFILES, LeaseProfile
from keepline.domain.message import OnDoubt
from keepline.testing import whatsapp
from keepline.testing.virtual_time import run_virtual
from tests.simulation.ring import COMES_BACK_IN_S, CONNECTORS, Member, Number, Ring

MONTH_DAYS = 30
MONTH_S = MONTH_DAYS * 86_400
GOAL = 0.9999
PROBE_EVERY_S = 1.0
# A message takes some 0.1 to 0.3 s here from its acceptance to WhatsApp; what takes longer than this counts.
LATE_S = 0.5
LINK_STEP_S_MAX = 0.03
# What a restored session takes to be let in is 0.6 s on the mean against the simulator (docs/reliability.md).
LOGIN_S_MAX = 1.2
# Probes have chats of their own, so that none waits for another's outcome.
CHATS = [f"1415555{n:04d}@s.whatsapp.net" for n in range(400)]
SETTLED_LIMIT_S = 1_800.0
ROUNDS = 10
MONTHS_DRAWN = 4_000
# Of a mean, about 95 in 100.
STANDARD_ERRORS = 2.0

Strike = Callable[["Trial"], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """What strikes. `a_month`: how often it strikes an account or something in the ring. `why`: the source, or a guess.

    `whatsapps`: nobody's connections stand then, so it is told apart.
    """

    name: str
    a_month: float
    why: str
    strike: Strike
    whatsapps: bool = False


class Trial:
    """One ring in which kinds strike one after another, while probes are sent."""

    def __init__(
        self, seed: int, profile: LeaseProfile, login_s_max: float = LOGIN_S_MAX, late_s: float = LATE_S
    ) -> None:
        self.random = Random(seed)
        self.ring = Ring(self.random, profile)
        self.ring.login_s_max = login_s_max
        self._late_s = late_s
        self._sent = 0

    async def gaps(self, kind: Kind) -> dict[str, float]:
        """Let it strike once. By account, for how long it was down (seconds)."""
        await self._until_calm()
        first = {account: len(number.accepted) for account, number in self.ring.numbers.items()}
        probing = asyncio.create_task(self._probe())
        await asyncio.sleep(self.random.uniform(1, 2))
        await kind.strike(self)
        await self._until_calm()
        probing.cancel()
        await asyncio.sleep(2 * self._late_s)  # The last probes have their time as well.
        await self._until_calm()
        return {account: self._down_s(number, first[account]) for account, number in self.ring.numbers.items()}

    async def _probe(self) -> None:
        while True:
            for account in self.ring.numbers:
                self._sent += 1
                chat = CHATS[self._sent % len(CHATS)]
                await self.ring.accept(account, f"probe {self._sent}", chat, on_doubt=OnDoubt.RESEND)
            await asyncio.sleep(PROBE_EVERY_S)

    async def _until_calm(self) -> None:
        """Nothing needs mending any more. (Messages may be in doubt; they block their own chats only.)"""
        async with asyncio.timeout(SETTLED_LIMIT_S):
            while self.ring.unrest(receipts=False, messages=False):  # noqa: ASYNC110 - virtual time, nobody tells
                await asyncio.sleep(0.5)

    def _down_s(self, number: Number, first: int) -> float:
        texts = list(number.accepted.values())[first:]
        late = [
            text
            for text in texts
            if number.arrived_at_s.get(text, float("inf")) - number.accepted_at_s[text] > self._late_s
        ]
        return len(late) * PROBE_EVERY_S

    # What strikes

    def any(self) -> Member:
        """Any connector: how many accounts it speaks for is as it comes."""
        return self.ring.processes[self.random.choice(list(CONNECTORS))]

    async def _reset(self) -> None:
        for number in self.ring.numbers.values():
            assert number.holder is not None
            self.ring.reset(number.account, number.holder[1], COMES_BACK_IN_S)

    async def _path(self) -> None:
        victim = self.any()
        victim.lose_path()
        await asyncio.sleep(self.random.uniform(5, 60))
        victim.find_path()

    async def _cell(self) -> None:
        for link in self.any().links:
            link.lose_cell()

    async def _crash(self) -> None:
        victim = self.any()
        victim.kill()
        await asyncio.sleep(self.random.uniform(8, 20))
        self.ring.boot(victim.name)

    async def _replaced(self, name: str) -> None:
        await self.ring.processes[name].terminate()
        await asyncio.sleep(self.random.uniform(10, 30))
        self.ring.boot(name)

    async def _restart(self) -> None:
        await self._replaced(self.any().name)

    async def _deploy(self) -> None:
        for name in CONNECTORS:
            await self._replaced(name)
            await asyncio.sleep(30)

    async def _freeze(self) -> None:
        victim = self.any()
        victim.stop()
        await asyncio.sleep(self.random.uniform(1, 10))
        victim.go_on()

    async def _machine(self) -> None:
        victim = self.any()
        victim.kill()
        await asyncio.sleep(self.random.uniform(120, 240))
        self.ring.boot(victim.name)

    async def _region(self) -> None:
        region = self.random.choice(sorted(set(CONNECTORS.values())))
        victims = [process for process in self.ring.living if CONNECTORS[process.name] == region]
        for victim in victims:
            victim.lose_path()
            victim.store.away = True
        await asyncio.sleep(self.random.uniform(120, 240))
        for victim in victims:
            victim.store.away = False
            victim.find_path()

    async def _firestore(self, seconds: float) -> None:
        for process in self.ring.living:
            process.store.away = True
        await asyncio.sleep(seconds)
        for process in self.ring.living:
            process.store.away = False

    async def _firestore_blip(self) -> None:
        await self._firestore(self.random.uniform(0.2, 2))

    async def _firestore_outage(self) -> None:
        await self._firestore(self.random.uniform(30, 60))

    async def _firestore_slow(self) -> None:
        victim = self.any()
        victim.store.slowness = 50.0
        await asyncio.sleep(self.random.uniform(10, 60))
        victim.store.slowness = self.ring.slowness

    async def _whatsapp(self) -> None:
        self.ring.lose_whatsapp()
        await asyncio.sleep(self.random.uniform(30, 120))
        self.ring.whatsapp_is_away = False


N, REGIONS = len(CONNECTORS), len(set(CONNECTORS.values()))
KINDS = (
    Kind("reset", 120, "a guess: WhatsApp or the network ends a connection 4 times a day", Trial._reset),
    Kind("path", 2 * N, "a guess: a connector's way to WhatsApp goes dead twice a month, for 5 to 60 s", Trial._path),
    Kind("cell", 2 * N, "a guess: a process that holds devices crashes twice a month for each connector", Trial._cell),
    Kind(
        "crash",
        1 * N,
        "a guess: a connector is killed once a month, and its container is back in 8 to 20 s",
        Trial._crash,
    ),
    Kind(
        "restart",
        4.3 * N,
        "a guess: its container is restarted once a week, with notice; back in 10 to 30 s",
        Trial._restart,
    ),
    Kind("deploy", 30, "ours: a new version every day, one connector after the other", Trial._deploy),
    Kind(
        "freeze", 4 * N, "a guess: a machine stands still for 1 to 10 s once a week (migrated, starved)", Trial._freeze
    ),
    Kind("machine", 0.25 * N, "a guess: a machine is gone for minutes every four months", Trial._machine),
    Kind("region", 1 / 6 * REGIONS, "a guess: a region is cut off every six months", Trial._region),
    Kind(
        "firestore_blip", 20, "a guess: Firestore fails all for 0.2 to 2 s on two days of three", Trial._firestore_blip
    ),
    Kind(
        "firestore_outage", 0.5, "the most that its promise of 99.999 % leaves: 26 s a month", Trial._firestore_outage
    ),
    Kind("firestore_slow", 2 * N, "a guess: Firestore takes a second and more for 10 to 60 s", Trial._firestore_slow),
    Kind(
        "whatsapp", 1, "a guess: WhatsApp lets nobody in for 30 to 120 s, once a month", Trial._whatsapp, whatsapps=True
    ),
)


@dataclass
class Sample:
    """What a kind has cost an account whenever it struck (seconds of each strike, the mean of such accounts)."""

    kind: Kind
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"standby": [], "single": []})

    def month_s(self, who: str) -> float:
        return self.kind.a_month * fmean(self.seconds[who])

    def error_s(self, who: str) -> float:
        """Half the width of the interval in which the month's figure lies with 95 in 100."""
        seconds = self.seconds[who]
        return self.kind.a_month * STANDARD_ERRORS * pstdev(seconds) / sqrt(max(1, len(seconds) - 1))


def measure(
    kind: Kind,
    rounds: int,
    seed: int,
    profile: LeaseProfile = EXTREME,
    login_s_max: float = LOGIN_S_MAX,
    late_s: float = LATE_S,
) -> Sample:
    """Let a kind strike `rounds` times, in a ring of its own."""

    async def trials() -> Sample:
        trial, sample = Trial(seed, profile, login_s_max, late_s), Sample(kind)
        await trial.ring.start()
        for _ in range(rounds):
            gaps = await trial.gaps(kind)
            for who in sample.seconds:
                of_kind = [gaps[a] for a, number in trial.ring.numbers.items() if number.standby == (who == "standby")]
                # Each account on its own: the mean of two would hide that one of them was not struck.
                sample.seconds[who] += of_kind
        await trial.ring.stop()
        complaints = [f"two voices: {voice}" for voice in trial.ring.voices] + trial.ring.stale_settles
        assert not complaints, f"{kind.name}, seed {seed}: {complaints}"
        return sample

    before = whatsapp.LATENCY_MAX_S
    whatsapp.LATENCY_MAX_S = LINK_STEP_S_MAX
    try:
        return run_virtual(trials())
    finally:
        whatsapp.LATENCY_MAX_S = before


@dataclass(frozen=True)
class Month:
    """One kind of account's. Seconds are of one month."""

    uptime: float
    down_min: float
    error_min: float
    keeps_goal: float  # the share of months

    @classmethod
    def of(cls, samples: list[Sample], who: str, random: Random) -> Month:
        down_s = sum(sample.month_s(who) for sample in samples)
        error_s = sqrt(sum(sample.error_s(who) ** 2 for sample in samples))
        drawn = [_drawn_s(samples, who, random) for _ in range(MONTHS_DRAWN)]
        kept = sum(seconds <= MONTH_S * (1 - GOAL) for seconds in drawn) / len(drawn)
        return cls(1 - down_s / MONTH_S, down_s / 60, error_s / 60, kept)

    def as_json(self) -> dict[str, float]:
        return {
            "uptime_percent": round(100 * self.uptime, 4),
            "down_min_a_month": round(self.down_min, 2),
            "plus_minus_min": round(self.error_min, 2),
            "months_that_keep_the_goal": round(self.keeps_goal, 3),
        }


def _drawn_s(samples: list[Sample], who: str, random: Random) -> float:
    """One month, drawn: how often each kind strikes, and what it costs each time."""
    total_s = 0.0
    for sample in samples:
        day = random.expovariate(sample.kind.a_month)
        while day < 1:
            total_s += random.choice(sample.seconds[who])
            day += random.expovariate(sample.kind.a_month)
    return total_s


def report(samples: list[Sample], seed: int) -> dict[str, Any]:
    """The months of accounts with and without a standby, with and without what is WhatsApp's own, and what each kind costs."""
    ours = [sample for sample in samples if not sample.kind.whatsapps]
    result: dict[str, Any] = {}
    for who in ("standby", "single"):
        result[who] = {
            **Month.of(ours, who, Random(seed)).as_json(),
            "with_whatsapps_own": Month.of(samples, who, Random(seed)).as_json(),
            "down_s_by_kind": {sample.kind.name: round(sample.month_s(who), 1) for sample in samples},
            "each_s": {sample.kind.name: round(fmean(sample.seconds[who]), 2) for sample in samples},
        }
    return result


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each kind strikes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", choices=sorted(PROFILES), default=EXTREME.name)
    parser.add_argument("--only", choices=[kind.name for kind in KINDS], help="this kind only")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    gc.set_threshold(50_000)
    samples = []
    for kind in KINDS:
        if arguments.only in (None, kind.name):
            samples.append(measure(kind, arguments.rounds, arguments.seed, PROFILES[arguments.profile]))
            print(f"{kind.a_month:6.1f} a month: {kind.name} ({kind.why})", file=sys.stderr)
    result = report(samples, arguments.seed)
    print(json.dumps({"profile": arguments.profile, **result, "cpu_s": round(time.process_time(), 1)}))
    return int(result["standby"]["uptime_percent"] < 100 * GOAL)


if __name__ == "__main__":
    sys.exit(main())
