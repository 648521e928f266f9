"""Opening many sessions at a start: in parallel within a limit, counted and timed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from keepline.ports.clock import Clock
from keepline.usecases.session_keeping import Opened

# A restore waits for Firestore most of its time; more at once would only lengthen each (measured by bench/restore.py).
OPENINGS_AT_ONCE = 16

log = logging.getLogger(__name__)


class Openings:
    """One for a connector."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._room = asyncio.Semaphore(OPENINGS_AT_ONCE)
        self._pending = 0
        self._began_s = 0.0
        self._round: Counter[str] = Counter()
        self._total: Counter[str] = Counter()

    @property
    def total(self) -> dict[str, int]:
        """How many sessions were opened since the start: `new`, `local`, `restored`, and `refused`."""
        return dict(self._total)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place among those that are opening."""
        if self._pending == 0:
            self._began_s = self._clock.monotonic_s()
            self._round.clear()
        self._pending += 1
        try:
            async with self._room:
                yield
        finally:
            self._pending -= 1
            if self._pending == 0 and self._round:
                kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self._round.items()))
                took_s = self._clock.monotonic_s() - self._began_s
                log.info("%d sessions opened in %.1f s: %s", self._round.total(), took_s, kinds)

    def opened(self, opened: Opened) -> None:
        self._count(opened.kind)

    def refused(self) -> None:
        self._count("refused")

    def _count(self, kind: str) -> None:
        self._round[kind] += 1
        self._total[kind] += 1
