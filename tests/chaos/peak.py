"""How many messages a second a run can carry: a burst of clients that each wait for their answers, counted at WhatsApp.

It is what `make bench` calls messages a second, here of several accounts with standbys, while people write and read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from tests.chaos.gaps import Acceptance
from tests.chaos.ground import Ground
from tests.chaos.load import Load

# As many clients as `make bench` has.
CLIENTS = 8
ARRIVE_LIMIT_S = 120.0
PARTS = 10


def measure(load: Load, ground: Ground, count: int) -> float:
    """Messages a second of `count` sent at once, after one in each chat: keys are fetched only then."""
    before = len(_arrivals(ground))
    _carry(load, ground, len(load.chats), before)
    began_at = _carry(load, ground, count, before + len(load.chats))
    return per_second(_arrivals(ground), began_at, count)


def _carry(load: Load, ground: Ground, count: int, before: int) -> float:
    """The Unix time of the first call, when all are at WhatsApp; SystemExit when they do not get there."""
    began_at = load.at_once(count, CLIENTS)
    if began_at is None or not ground.wait(lambda: len(_arrivals(ground)) >= before + count, ARRIVE_LIMIT_S):
        raise SystemExit(f"no peak: of {count} messages sent at once {len(_arrivals(ground)) - before} are at WhatsApp")
    return began_at


def rates(ground: Ground, began_at: float, ended_at: float) -> tuple[float, float]:
    """Messages a second that reached WhatsApp in a time (Unix time), and in the slowest tenth of it."""
    return steadiness(_arrivals(ground), began_at, ended_at)


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


def _arrivals(ground: Ground) -> list[float]:
    """When WhatsApp took each message of the loaded accounts first."""
    return [at for account in ground.loaded for at in _firsts(ground.truth.accepted[ground.phones[account]])]


def _firsts(accepted: Sequence[Acceptance]) -> Iterable[float]:
    return {one.id: one.at for one in reversed(list(accepted))}.values()
