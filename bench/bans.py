"""A model of bans: how often a number would be banned that is driven by Keepline's policies, and by the baseline's habits.

    python -m bench.bans --accounts 120 --days 60 --seed 1

**It is a model.** WhatsApp tells nobody what it bans for. What is assumed, and why, is in docs/assumptions.md; what is real are
the policies: domain/pacing.py, reconnect.py and keep_alive.py, against a gateway that sends what it is given at once, retries
what was refused after a fixed pause, and connects again after a fixed pause (bench/baseline). WhatsApp's patience is the
simulator's (`simulator.rates.Rates`) on a virtual clock, with limits of the same kind for logins and for keep-alives.

Both sides get the same accounts, programs and outages from the same seed. The last line is JSON, with the effect of each
assumption when it is halved and doubled.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections import deque
from dataclasses import dataclass, field, replace
from random import Random
from statistics import median
from typing import Any

from keepline.domain.keep_alive import KeepAlive
from keepline.domain.lease import EXTREME
from keepline.domain.pacing import NORMAL, Pacing
from keepline.domain.reconnect import Reconnecting
from simulator.rates import RatePolicy, Rates

ACCOUNTS, QUICK_ACCOUNTS, DAYS = 120, 40, 60
# Each assumption is tried twice: fewer accounts are enough to see which of them matters.
SENSITIVITY_ACCOUNTS = 15
MINUTE_S, DAY_S = 60.0, 86_400.0
BASELINE_GAP_S = 0.1  # what a send takes
BASELINE_RETRY_S, BASELINE_TRIES = 1.0, 3  # bench/baseline/gateway.py
BASELINE_RECONNECT_S = 5.0
BASELINE_BACK_OFF_S = 2.0  # whatsmeow: so much longer after each try in a row that reached nobody


RATE_LIMITED = 429
UNIT = ("ban_probability", "campaigners")  # shares


def dice(seed: str) -> Random:
    """The same throws for the same seed."""
    return Random(seed)  # noqa: S311 - a simulation


@dataclass(frozen=True)
class Assumptions:
    """Of the world; `patience` is WhatsApp's."""

    patience: RatePolicy = field(default_factory=RatePolicy)
    # Per device. WhatsApp's own clients try again and ask for a sign of life too; no limit of either is known.
    logins_per_minute: int = 10
    pings_per_minute: int = 30
    # Programs: a share of them writes to people who have never heard of the number.
    campaigners: float = 0.3
    campaigns_a_month: float = 4.0
    strangers_a_campaign: int = 30
    newsletters_a_month: float = 2.0
    customers: int = 80
    replies_a_day: float = 30.0
    # WhatsApp cannot be reached, or lets nobody in and says 429, for so long, so often.
    outages_a_month: float = 1.0
    refusals_a_month: float = 0.5
    outage_s: tuple[float, float] = (30.0, 120.0)


@dataclass(frozen=True)
class Wanted:
    """A message that a program wants sent."""

    at_s: float
    to: str


@dataclass
class Tally:
    """One side's, all accounts together."""

    bans: int = 0
    wanted: int = 0
    delivered: int = 0
    waits_s: list[float] = field(default_factory=list)

    def as_json(self, account_days: int) -> dict[str, Any]:
        waits_s = sorted(self.waits_s)
        return {
            "bans_per_1000_account_days": round(1000 * self.bans / account_days, 3),
            "delivered": round(self.delivered / self.wanted, 4),
            "wait_s_p50": round(median(waits_s), 1),
            "wait_s_p95": round(waits_s[int(0.95 * len(waits_s))], 1),
        }


class WhatsApp:
    """What one number meets: the simulator's patience, and limits for logins and keep-alives that strike in the same way."""

    def __init__(self, assumptions: Assumptions, seed: str) -> None:
        self.now_s = 0.0
        self.banned_until_s = 0.0
        self.ban_code = 0
        self.bans = 0
        number = dice(seed).getrandbits(32)

        def rates(name: int, per_minute: int | None) -> Rates:
            policy = replace(assumptions.patience, presence_per_minute=per_minute)
            return Rates(policy, number + name, lambda: self.now_s, self._ban, lambda *_, **__: None)

        self._sends = rates(0, None)
        # The simulator's count of presences is a count of anything that a number does too often.
        self._logins = rates(1, assumptions.logins_per_minute)
        self._signals = rates(2, 0)
        self._ids = itertools.count()

    def send(self, to: str) -> int | None:
        """The error of the ack, or None."""
        return self._sends.send("us", to, str(next(self._ids)))

    def writes_to_us(self, to: str) -> None:
        self._sends.wrote(to, "us")

    def login(self) -> None:
        """A try to connect, whatever comes of it."""
        self._logins.presence("us")

    def signalled(self) -> None:
        """It asked too often for a sign of life, and was told so."""
        self._signals.presence("us")

    def _ban(self, _: str, code: int, lasts_s: float) -> None:
        if self.banned_until_s <= self.now_s:
            self.bans += 1
        self.ban_code = code
        self.banned_until_s = max(self.banned_until_s, self.now_s + lasts_s)


def moments(a_month: float, days: int, random: Random) -> list[float]:
    """When something happens that happens so often, at random."""
    found = []
    at_s = random.expovariate(a_month / 30) * DAY_S
    while at_s < days * DAY_S:
        found.append(at_s)
        at_s += random.expovariate(a_month / 30) * DAY_S
    return found


def programs(assumptions: Assumptions, days: int, random: Random) -> list[Wanted]:
    """What the programs of an account want sent: answers to customers, newsletters to them, campaigns to strangers."""
    strangers = itertools.count()
    found = [
        Wanted(at_s, f"customer {random.randrange(assumptions.customers)}")
        for at_s in moments(assumptions.replies_a_day * 30, days, random)
    ]
    for at_s in moments(assumptions.newsletters_a_month, days, random):
        found += [Wanted(at_s, f"customer {one}") for one in range(assumptions.customers)]
    if random.random() < assumptions.campaigners:
        for at_s in moments(assumptions.campaigns_a_month, days, random):
            found += [Wanted(at_s, f"stranger {next(strangers)}") for _ in range(assumptions.strangers_a_campaign)]
    return sorted(found, key=lambda one: one.at_s)


def tries(began_s: float, ends_s: float, random: Random, *, refused: bool, keepline: bool) -> list[float]:
    """When a device tries to connect from the loss of its connection until it is back. `refused`: at the login, with 429."""
    found: list[float] = []
    if keepline:
        cause = "login_refused" if refused else "unreachable"
        policy = Reconnecting(began_s)
        policy.connected(began_s)
        policy.lost(cause, began_s, random.random())
        while policy.due_s is not None:
            at_s = max(policy.due_s, began_s)
            if not policy.begin(at_s, random.random()):
                continue
            found.append(at_s)
            if at_s >= ends_s:
                return found
            policy.lost(cause, at_s, random.random())
        return found
    at_s, failures = began_s, 0
    while True:
        found.append(at_s)
        if at_s >= ends_s:
            return found
        failures += 1
        # Against a refused login the library raises, and the gateway begins anew; else it is the library that tries.
        at_s += BASELINE_RECONNECT_S if refused else BASELINE_BACK_OFF_S * failures


def ping_signals(assumptions: Assumptions, random: Random) -> list[float]:
    """When in a quiet day one of Keepline's devices hears that it asks for a sign of life too often.

    The baseline leaves it to the library, which asks every 20 to 30 s: no limit that is assumed here.
    """
    keep_alive = KeepAlive(EXTREME.keep_alive_s, 0.0)
    asked: deque[float] = deque()
    found = []
    while (now_s := keep_alive.due_s()) < DAY_S:
        while asked and asked[0] <= now_s - MINUTE_S:
            asked.popleft()
        asked.append(now_s)
        if len(asked) > assumptions.pings_per_minute:
            found.append(now_s)
            keep_alive.rate_signal(now_s)
        else:
            keep_alive.answered(now_s, random.random())
    return found


def live(assumptions: Assumptions, days: int, seed: str, pings_s: list[float], tally: Tally, *, keepline: bool) -> None:
    """One account's life, with Keepline's policies or the baseline's way."""
    whatsapp = WhatsApp(assumptions, seed)
    random = dice(f"{seed} {keepline}")
    world = dice(f"{seed} world")
    wanted = deque(programs(assumptions, days, world))
    tally.wanted += len(wanted)
    for one in range(assumptions.customers):
        whatsapp.writes_to_us(f"customer {one}")
    odd: list[tuple[float, bool]] = []  # tries to connect, and signals for keep-alives (true)
    for a_month, refused in ((assumptions.outages_a_month, False), (assumptions.refusals_a_month, True)):
        for at_s in moments(a_month, days, world):
            ends_s = at_s + world.uniform(*assumptions.outage_s)
            odd += [(one, False) for one in tries(at_s, ends_s, random, refused=refused, keepline=keepline)]
    if keepline:
        odd += [(day * DAY_S + at_s, True) for day in range(days) for at_s in pings_s]
    sender = Paced(whatsapp, tally, random) if keepline else Unpaced(whatsapp, tally)
    counted = deque(sorted(odd))
    ends_s = days * DAY_S
    while True:
        next_s = min(
            wanted[0].at_s if wanted else math.inf, counted[0][0] if counted else math.inf, sender.due_s(), ends_s
        )
        whatsapp.now_s = max(whatsapp.now_s, next_s)
        if next_s >= ends_s:
            break
        if counted and counted[0][0] <= next_s:
            _, is_signal = counted.popleft()
            if whatsapp.banned_until_s <= whatsapp.now_s:
                (whatsapp.signalled if is_signal else whatsapp.login)()
                sender.told()
        elif wanted and wanted[0].at_s <= next_s:
            sender.take(wanted.popleft())
        else:
            sender.send()
    tally.bans += whatsapp.bans


class Paced:
    """Keepline's way: domain/pacing.py with the profile `normal`, as a session has it when nothing is said."""

    def __init__(self, whatsapp: WhatsApp, tally: Tally, random: Random) -> None:
        self._whatsapp, self._tally, self._random = whatsapp, tally, random
        self._pacing = Pacing(NORMAL, 0.0)
        # Who waits for a first contact's turn holds up nobody else, so there are two queues.
        self._queues: dict[bool, deque[Wanted]] = {False: deque(), True: deque()}
        self._known: set[str] = set()

    def take(self, message: Wanted) -> None:
        is_first = message.to.startswith("stranger") and message.to not in self._known
        self._queues[is_first].append(message)

    def due_s(self) -> float:
        return max(min((at_s for at_s, _ in self._heads()), default=math.inf), self._whatsapp.banned_until_s)

    def told(self) -> None:
        """A ban came of something else than a message."""
        left_s = self._whatsapp.banned_until_s - self._whatsapp.now_s
        if left_s > 0:
            self._pacing.signal(f"ban_{self._whatsapp.ban_code}", self._whatsapp.now_s, left_s)

    def send(self) -> None:
        _, is_first = min(self._heads())
        queue, now_s = self._queues[is_first], self._whatsapp.now_s
        message = queue.popleft()
        error = self._whatsapp.send(message.to)
        self._pacing.sent(now_s, message.to, self._random.random(), first_contact=is_first)
        if error is None:
            self._known.add(message.to)
            self._tally.delivered += 1
            self._tally.waits_s.append(now_s - message.at_s)
            return
        self._pacing.signal(f"wa_{error}", now_s)
        self.told()
        if error == RATE_LIMITED:  # it is sent again; what a stranger may not get has failed
            queue.appendleft(message)

    def _heads(self) -> list[tuple[float, bool]]:
        now_s = self._whatsapp.now_s
        return [
            (now_s + self._pacing.wait_s(now_s, queue[0].to, first_contact=is_first), is_first)
            for is_first, queue in self._queues.items()
            if queue
        ]


class Unpaced:
    """The baseline's way: one after the other, at once; what is refused again after a fixed pause."""

    def __init__(self, whatsapp: WhatsApp, tally: Tally) -> None:
        self._whatsapp, self._tally = whatsapp, tally
        self._queue: deque[Wanted] = deque()
        self._next_s = 0.0
        self._tries = 0

    def take(self, message: Wanted) -> None:
        self._queue.append(message)

    def due_s(self) -> float:
        """While it is banned nobody can send, however it is driven."""
        return max(self._next_s, self._whatsapp.banned_until_s, self._whatsapp.now_s) if self._queue else math.inf

    def told(self) -> None:
        """It has no ears for that."""

    def send(self) -> None:
        message, now_s = self._queue[0], self._whatsapp.now_s
        refused = self._whatsapp.send(message.to) is not None
        self._tries += 1
        if refused and self._tries < BASELINE_TRIES:
            self._next_s = now_s + BASELINE_RETRY_S
            return
        if not refused:
            self._tally.delivered += 1
            self._tally.waits_s.append(now_s - message.at_s)
        self._queue.popleft()
        self._tries = 0
        self._next_s = now_s + BASELINE_GAP_S


def run(accounts: int, days: int, seed: int, assumptions: Assumptions | None = None) -> dict[str, Any]:
    """Both sides' figures, and the ratio of their bans (None if the baseline had none)."""
    assumptions = assumptions or Assumptions()
    tallies = {"keepline": Tally(), "baseline": Tally()}
    pings_s = ping_signals(assumptions, dice(f"{seed} pings"))
    for account in range(accounts):
        for side, tally in tallies.items():
            live(assumptions, days, f"{seed} {account}", pings_s, tally, keepline=side == "keepline")
    ratio = tallies["keepline"].bans / tallies["baseline"].bans if tallies["baseline"].bans else None
    return {
        "seed": seed,
        "accounts": accounts,
        "days": days,
        **{side: tally.as_json(accounts * days) for side, tally in tallies.items()},
        "ratio": None if ratio is None else round(ratio, 4),
    }


PATIENCE = (
    "sends_per_minute",
    "first_contacts_per_minute",
    "first_contacts_per_day",
    "strikes_per_day",
    "ban_probability",
)
PROGRAMS = ("campaigners", "strangers_a_campaign", "customers", "newsletters_a_month")
OTHERS = ("logins_per_minute", "pings_per_minute", "outages_a_month", "refusals_a_month")


def varied(name: str, factor: float) -> Assumptions:
    """One assumption halved or doubled."""
    usual = Assumptions()
    owner: Any = usual.patience if name in PATIENCE else usual
    value = getattr(owner, name) * factor
    value = (
        max(1, round(value)) if isinstance(getattr(owner, name), int) else min(value, 1.0 if name in UNIT else value)
    )
    return (
        replace(usual, patience=replace(usual.patience, **{name: value}))
        if name in PATIENCE
        else replace(usual, **{name: value})
    )


def sensitivity(accounts: int, days: int, seed: int) -> list[dict[str, Any]]:
    """What becomes of both figures when one assumption is halved or doubled."""
    found = []
    for name in (*PATIENCE, *PROGRAMS, *OTHERS):
        for factor in (0.5, 2.0):
            one = run(accounts, days, seed, varied(name, factor))
            rates = {side: one[side]["bans_per_1000_account_days"] for side in ("keepline", "baseline")}
            found.append({"assumption": name, "factor": factor, **rates, "ratio": one["ratio"]})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS, help=f"default {ACCOUNTS}")
    parser.add_argument("--days", type=int, default=DAYS, help=f"of each account (default {DAYS})")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    arguments = parser.parse_args()
    found = run(arguments.accounts, arguments.days, arguments.seed)
    found["sensitivity"] = sensitivity(min(arguments.accounts, SENSITIVITY_ACCOUNTS), arguments.days, arguments.seed)
    for one in found["sensitivity"]:
        words = f"{one['assumption']} x {one['factor']:g}"
        print(f"{words:36} Keepline {one['keepline']:8.2f}   baseline {one['baseline']:8.2f}")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
