"""Living many worlds one after another, by their seeds: the figures that every such scenario has, and its command line."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import TypeVar

from tests.simulation.verdict import Verdict

TOLD_EVERY_WORLDS = 10


@dataclass
class WorldFigures:
    """What happened in one world, or in many. Each scenario adds its own sums."""

    faults: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def add(self, other: WorldFigures) -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def sums(self) -> dict[str, float]:
        """The scenario's own, by name."""
        raise NotImplementedError

    def line(self, cpu_s: float) -> str:
        """One line of JSON."""
        counts = {name: self.verdicts[name] for name in Verdict.COUNTERS}
        faults = {"faults_by_kind": dict(sorted(self.faults.items()))}
        rest = {"complaints": len(self.complaints), "cpu_s": round(cpu_s, 1), **faults}
        return json.dumps({**self.sums(), **counts, **rest})


Figures = TypeVar("Figures", bound=WorldFigures)


def add_seeds(parser: ArgumentParser) -> None:
    """Which worlds."""
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one world only")


def seeds(arguments: Namespace, worlds: int) -> Iterable[int]:
    """So many from the first one on, or the one that was asked for."""
    return range(arguments.first, arguments.first + worlds) if arguments.seed is None else [arguments.seed]


def live_all(live: Callable[[int], Figures], wanted: Iterable[int], total: Figures) -> int:
    """Live them, add up what happened to `total` and print it. Complaints come as they are found. Returns the exit status."""
    for count, seed in enumerate(wanted, start=1):
        figures = live(seed)
        total.add(figures)
        for complaint in figures.complaints:
            print(complaint, file=sys.stderr)
        if count % TOLD_EVERY_WORLDS == 0:
            print(f"{count} worlds, {total.faults.total()} faults", file=sys.stderr)
    print(total.line(time.process_time()))
    return 1 if total.complaints else 0
