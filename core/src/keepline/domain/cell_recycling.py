"""Which of a connector's processes is to be replaced, and when: the WhatsApp library leaks with each connection it makes. Pure.

200 stops and starts of a client leak 53 MB and 274 file descriptors. What a process needs by itself and for each device is known,
so what is far above it is a leak; and age alone is enough of a reason, for what leaks without showing in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Measured: 67 MB with the library loaded and no device; the rest is room for a burst.
BARE_MB = 120
# A fresh process that is above its limit already would be replaced without end: then the limit is too low.
YOUNG_S = 600.0
# Processes that were started together are not replaced together: each one's age limit lies in the last part of the whole.
JITTER = 0.25


@dataclass(frozen=True)
class RecycleLimits:
    """`device_mb_max`: what a device may cost on top of a bare process, in MB. `age_max_s`: how old a process may become."""

    device_mb_max: int
    age_max_s: float

    def rss_mb_max(self, devices: int) -> int:
        """How much memory a process with so many devices may have, in MB."""
        return BARE_MB + devices * self.device_mb_max


@dataclass(frozen=True)
class CellFacts:
    """A process as it is now. `jitter` is its own, in [0, 1), drawn at its start. `rss_mb` is resident memory in MB."""

    name: str
    age_s: float
    jitter: float
    rss_mb: float
    devices: int


def cell_to_recycle(cells: Iterable[CellFacts], limits: RecycleLimits) -> tuple[str, str] | None:
    """The one process that is to be replaced next, and why: `memory` (the worst first) or `age` (the oldest). None if none is."""
    cells = list(cells)
    swollen = [cell for cell in cells if cell.age_s >= YOUNG_S and cell.rss_mb > limits.rss_mb_max(cell.devices)]
    if swollen:
        worst = max(swollen, key=lambda cell: (cell.rss_mb / limits.rss_mb_max(cell.devices), cell.name))
        return worst.name, "memory"
    old = [cell for cell in cells if cell.age_s >= limits.age_max_s * (1 - JITTER * cell.jitter)]
    if old:
        return max(old, key=lambda cell: (cell.age_s, cell.name)).name, "age"
    return None
