"""A year of faults at the rates that are assumed (docs/assumptions.md), by lease profile, with and without a standby.

`python -m tests.simulation.year` prints one line of JSON (goal: 99.99 % of the time, 52.6 minutes a year at most).

What a kind of fault costs when it strikes is measured as in month.py, each profile in processes of its own, so that all cores
work. The year is those costs times the rates; years are also drawn at random, for the share that keeps the goal. Then each
assumption is halved and doubled, one at a time, with the profile `extreme` and a standby: a rate by arithmetic, for it changes
nothing of what one strike costs; the time of a login, and what counts as late, by measuring all kinds again.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import sqrt
from multiprocessing import get_context
from random import Random
from typing import Any

from keepline.domain.lease import EXTREME, PROFILES
from tests.simulation.month import GOAL, KINDS, LATE_S, LOGIN_S_MAX, MONTH_DAYS, Sample, measure

YEAR_DAYS = 365
YEAR_S = YEAR_DAYS * 86_400
MONTHS = YEAR_DAYS / MONTH_DAYS
ROUNDS = 5
YEARS_DRAWN = 1_000
FACTORS = (0.5, 2.0)
WHO = ("standby", "single")


@dataclass(frozen=True)
class Task:
    """One kind of fault under one set of assumptions."""

    kind: str
    rounds: int
    seed: int
    profile: str = EXTREME.name
    login: float = 1.0  # times LOGIN_S_MAX
    late: float = 1.0  # times LATE_S

    @property
    def assumed(self) -> tuple[str, float, float]:
        return self.profile, self.login, self.late


def run(task: Task) -> tuple[dict[str, list[float]], float]:
    """What the kind costs each time (seconds), and the CPU that it took to know."""
    logging.disable(logging.CRITICAL)
    gc.set_threshold(50_000)
    began_s = time.process_time()
    kind = next(kind for kind in KINDS if kind.name == task.kind)
    measured = measure(
        kind, task.rounds, task.seed, PROFILES[task.profile], LOGIN_S_MAX * task.login, LATE_S * task.late
    )
    return measured.seconds, time.process_time() - began_s


@dataclass(frozen=True)
class Year:
    """One kind of account's."""

    down_s: float
    error_s: float

    @classmethod
    def of(cls, samples: list[Sample], who: str, rates: dict[str, float] | None = None) -> Year:
        """`rates`: factors of assumed rates, by kind."""
        factors = [(rates or {}).get(sample.kind.name, 1.0) * MONTHS for sample in samples]
        down_s = sum(sample.month_s(who) * factor for sample, factor in zip(samples, factors, strict=True))
        squares = ((sample.error_s(who) * factor) ** 2 for sample, factor in zip(samples, factors, strict=True))
        return cls(down_s, sqrt(sum(squares)))

    @property
    def uptime_percent(self) -> float:
        return round(100 * (1 - self.down_s / YEAR_S), 4)

    def as_json(self) -> dict[str, float]:
        return {
            "uptime_percent": self.uptime_percent,
            "down_min_a_year": round(self.down_s / 60, 1),
            "plus_minus_min": round(self.error_s / 60, 1),
        }


def years_that_keep_the_goal(samples: list[Sample], who: str, random: Random) -> float:
    """The share of years, drawn: how often each kind strikes, and what it costs each time."""
    costly = [(sample.kind.a_month * MONTHS, sample.seconds[who]) for sample in samples if any(sample.seconds[who])]
    kept = 0
    for _ in range(YEARS_DRAWN):
        total_s = 0.0
        for a_year, seconds in costly:
            at = random.expovariate(a_year)
            while at < 1:
                total_s += random.choice(seconds)
                at += random.expovariate(a_year)
        kept += total_s <= YEAR_S * (1 - GOAL)
    return kept / YEARS_DRAWN


def ours(samples: list[Sample]) -> list[Sample]:
    """Without what is WhatsApp's own: then nobody's connections stand."""
    return [sample for sample in samples if not sample.kind.whatsapps]


def of_profile(samples: list[Sample], seed: int) -> dict[str, Any]:
    return {
        who: {
            **Year.of(ours(samples), who).as_json(),
            "years_that_keep_the_goal": round(years_that_keep_the_goal(ours(samples), who, Random(seed)), 3),
            "with_whatsapps_own": Year.of(samples, who).as_json(),
            "down_min_by_kind": {one.kind.name: round(one.month_s(who) * MONTHS / 60, 2) for one in samples},
        }
        for who in WHO
    }


def sensitivity(base: list[Sample], measured: dict[str, list[list[Sample]]]) -> list[dict[str, Any]]:
    """Minutes a year, with each assumption halved and doubled, the one that matters most first. `measured`: by assumption."""

    def minutes(samples: list[Sample], rates: dict[str, float] | None = None) -> float:
        return round(Year.of(ours(samples), "standby", rates).down_s / 60, 2)

    found = [
        {"assumption": f"rate of {sample.kind.name}", "why": sample.kind.why}
        | dict(zip(("halved_min", "doubled_min"), (minutes(base, {sample.kind.name: f}) for f in FACTORS), strict=True))
        for sample in ours(base)
    ]
    whys = {
        "time of a login": f"measured: up to {LOGIN_S_MAX:g} s, half of it on the mean",
        "what counts as late": f"ours: a message that waits for more than {LATE_S:g} s",
    }
    for name, (halved, doubled) in measured.items():
        found.append(
            {
                "assumption": name,
                "why": whys[name],
                "halved_min": minutes(halved),
                "doubled_min": minutes(doubled),
            }
        )
    return sorted(found, key=lambda one: -abs(float(one["doubled_min"]) - float(one["halved_min"])))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each kind strikes (default {ROUNDS})")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    names = [kind.name for kind in KINDS]
    sets = [(name, 1.0, 1.0) for name in PROFILES]
    sets += [(EXTREME.name, factor, 1.0) for factor in FACTORS] + [(EXTREME.name, 1.0, factor) for factor in FACTORS]
    # Only a profile's own year says how uncertain it is; what an assumption matters is seen with half as many strikes.
    rounds = {one: arguments.rounds if one[1:] == (1.0, 1.0) else max(1, arguments.rounds // 2) for one in sets}
    tasks = [Task(name, rounds[assumed], arguments.seed, *assumed) for assumed in sets for name in names]
    samples: dict[tuple[str, float, float], list[Sample]] = {assumed: [] for assumed in sets}
    cpu_s = 0.0
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for task, (seconds, took_s) in zip(tasks, pool.map(run, tasks), strict=True):
            kind = next(kind for kind in KINDS if kind.name == task.kind)
            samples[task.assumed].append(Sample(kind, seconds))
            cpu_s += took_s
            print(f"{task.profile}, login x{task.login:g}, late x{task.late:g}: {task.kind}", file=sys.stderr)
    figures = {
        "seed": arguments.seed,
        "rounds": arguments.rounds,
        "goal_percent": 100 * GOAL,
        "rates_a_month": {kind.name: round(kind.a_month, 3) for kind in KINDS},
        "profiles": {name: of_profile(samples[name, 1.0, 1.0], arguments.seed) for name in PROFILES},
        "sensitivity": sensitivity(
            samples[EXTREME.name, 1.0, 1.0],
            {
                "time of a login": [samples[EXTREME.name, factor, 1.0] for factor in FACTORS],
                "what counts as late": [samples[EXTREME.name, 1.0, factor] for factor in FACTORS],
            },
        ),
        "cpu_s": round(cpu_s, 1),
    }
    print(json.dumps(figures))
    return int(figures["profiles"][EXTREME.name]["standby"]["uptime_percent"] < 100 * GOAL)


if __name__ == "__main__":
    sys.exit(main())
