"""How many messages a second a run can carry: a burst of clients that each wait for their answers, counted at WhatsApp.

It is what `make bench` calls messages a second, here of several accounts with standbys, while people write and read.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import pairwise

from tests.chaos.gaps import Acceptance
from tests.chaos.load import Load
from tests.chaos.truth import Truth

# As many clients as `make bench` has.
CLIENTS = 8
ARRIVE_LIMIT_S = 120.0
LOOK_S = 0.05
PARTS = 10


class Arrivals:
    """When WhatsApp took each message of some numbers first (Unix time)."""

    def __init__(self, truth: Truth, phones: Iterable[str]) -> None:
        self._truth = truth
        self._phones = list(phones)

    def times(self) -> list[float]:
        return [at for phone in self._phones for at in _firsts(self._truth.accepted[phone])]

    def wait_for(self, count: int) -> bool:
        deadline = time.monotonic() + ARRIVE_LIMIT_S
        while len(self.times()) < count:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
        return True


def measure(load: Load, arrivals: Arrivals, count: int) -> float:
    """Messages a second of `count` sent at once, after one in each chat: keys are fetched only then."""
    _carry(load, arrivals, len(load.chats))
    began_at = _carry(load, arrivals, count)
    return per_second(arrivals.times(), began_at, count)


def _carry(load: Load, arrivals: Arrivals, count: int) -> float:
    """The Unix time of the first call, when all are at WhatsApp; SystemExit when they do not get there."""
    before = len(arrivals.times())
    began_at = load.at_once(count, CLIENTS)
    if began_at is None or not arrivals.wait_for(before + count):
        raise SystemExit(f"no peak: of {count} messages sent at once {len(arrivals.times()) - before} are at WhatsApp")
    return began_at


def per_second(arrivals: Iterable[float], began_at: float, count: int) -> float:
    """Messages a second, from the first call until the last of so many was at WhatsApp."""
    came = sorted(at for at in arrivals if at >= began_at)[:count]
    return len(came) / (came[-1] - began_at)


def steadiness(arrivals: Sequence[float], began_at: float, ended_at: float) -> tuple[float, float]:
    """Messages a second in a time, and in its slowest tenth."""
    bounds = [began_at + (ended_at - began_at) * part / PARTS for part in range(PARTS + 1)]
    counts = [sum(begin <= at < end for at in arrivals) for begin, end in pairwise(bounds)]
    seconds = ended_at - began_at
    return sum(counts) / seconds, min(counts) / (seconds / PARTS)


def _firsts(accepted: Sequence[Acceptance]) -> Iterable[float]:
    return {one.id: one.at for one in reversed(list(accepted))}.values()
