"""What the figures of a fault are made of. Pure: times go in (Unix time, seconds), seconds come out.

**gap**: the longest time between two acceptances of an account's messages by WhatsApp, one after the other, of which the later
came after the fault; less the usual time between two. It is looked for until the system is whole again, so that a second
interruption (a device that is put back too soon) counts as well. A steady load is what makes it honest: something was always
there to be sent. It is longer than what one program sees by at most one spacing, and it has whatever the machine was busy
with in it; the fault `nothing` shows how much that is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Take:
    """A generation of an account's authority: its number, the device it gave the right to, and the last moment before it.

    `not_before`: when the generation before was seen for the last time.
    """

    generation: int
    device: int
    not_before: float


@dataclass(frozen=True)
class Acceptance:
    """WhatsApp took a message from one of an account's linked devices."""

    at: float
    device: int
    id: str


def gap_s(times: Sequence[float], fault_at: float, whole_at: float, before_s: float = 10.0) -> float:
    """The gap that a fault made. `times` of all acceptances, in order; `whole_at`: when the system was whole again.

    Infinite if nothing was accepted from the fault on.
    """
    usual = [later - earlier for earlier, later in _pairs(times) if fault_at - before_s < later <= fault_at]
    usual_s = median(usual) if usual else 0.0
    gaps = [later - earlier for earlier, later in _pairs(times) if later > fault_at and earlier < whole_at]
    return max(0.0, max(gaps) - usual_s) if gaps else float("inf")


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of all does not exceed (`nearest rank`); with few, p99 is the worst."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * part // 1) - 1)]


def two_voices(acceptances: Sequence[Acceptance], takes: Sequence[Take]) -> list[Acceptance]:
    """Acceptances that the generations forbid: of a device that had no right to speak, or no longer.

    The order of WhatsApp's acceptances is compared with the order of the generations. A device may be heard only in a
    generation of its own, and once another one has been heard in a later generation, only in a still later one, which must have
    begun by then. A generation that was never seen may have been anybody's.
    """
    known = {take.generation: take for take in takes}
    forbidden: list[Acceptance] = []
    if not known:
        return list(acceptances)
    first, last = min(known), max(known)
    present = first
    for acceptance in acceptances:
        found = next(
            (number for number in range(present, last + 1) if _allows(known.get(number), acceptance)),
            None,
        )
        if found is None:
            forbidden.append(acceptance)
        else:
            present = found
    return forbidden


def _allows(take: Take | None, acceptance: Acceptance) -> bool:
    return take is None or (take.device == acceptance.device and take.not_before <= acceptance.at)


def _pairs(times: Sequence[float]) -> list[tuple[float, float]]:
    return list(itertools.pairwise(times))
