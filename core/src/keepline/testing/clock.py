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
