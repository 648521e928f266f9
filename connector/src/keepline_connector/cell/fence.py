"""The fence: until when a cell may speak to WhatsApp. Asked immediately before every chunk that leaves.

The supervisor moves the deadline with every renewed lease. A process that was paused wakes in the middle of a line, and other
connectors may speak for its accounts by then; so it is the clock that is asked, not a flag that somebody would have to set.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from keepline.adapters.system_clock import SystemClock

_CLOCK = SystemClock()


class Fence:
    """`deadline_s` is of the lease clock. Threads may ask and renew at any time."""

    def __init__(self, deadline_s: float = math.inf, now_s: Callable[[], float] = _CLOCK.monotonic_s) -> None:
        self.deadline_s = deadline_s
        self._now_s = now_s
        # How often it was opened again after it had closed. What was opened before may not go on after a gap: somebody else
        # may have spoken in it.
        self.life = 0

    def left_s(self) -> float:
        """How long it stays open if it is not renewed; nothing or negative once it is closed."""
        return self.deadline_s - self._now_s()

    def lets_through(self, life: int) -> bool:
        """Whether what was opened in this `life` may still speak."""
        # In this order: `renew` changes the life first, so nobody sees the new deadline with an old life.
        return self._now_s() < self.deadline_s and life == self.life

    def renew(self, deadline_s: float) -> None:
        """The lease was renewed. A deadline that is earlier than the present one changes nothing."""
        if self.left_s() <= 0:
            self.life += 1
        self.deadline_s = max(self.deadline_s, deadline_s)
