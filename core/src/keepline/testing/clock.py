"""A clock that follows the running event loop, so that a virtual loop makes every wait and every timestamp virtual."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class LoopClock:
    """Loop time 0 is the start of 2026."""

    def now(self) -> datetime:
        return _EPOCH + timedelta(seconds=self.monotonic_s())

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


class DriftingClock(LoopClock):
    """One machine's. It runs `rate` times as fast as the world's time, and nobody else's has its origin."""

    def __init__(self, rate: float, origin_s: float) -> None:
        self._rate = rate
        self._origin_s = origin_s

    def monotonic_s(self) -> float:
        return self._origin_s + super().monotonic_s() * self._rate

    def to_world_s(self, monotonic_s: float) -> float:
        """When, by the world's time, this clock shows so."""
        return (monotonic_s - self._origin_s) / self._rate
