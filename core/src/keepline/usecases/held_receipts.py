"""Receipts that a device has heard and does not settle, because another device of its account sends.

Both devices hear every receipt. The one that does not send keeps them for as long as it may take to find out that the other is
gone; then the journal may forget them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from keepline.domain.link_events import ReceiptHeard
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink

HELD_S = 60.0
# They take room from what else is heard (the journal's window).
HELD_MAX = 200


class HeldReceipts:
    """Of one device, the oldest first."""

    def __init__(self, clock: Clock, link: DeviceLink) -> None:
        self._clock = clock
        self._link = link
        self._held: deque[tuple[float, ReceiptHeard]] = deque()  # each with when it came

    def hold(self, receipts: Iterable[ReceiptHeard]) -> None:
        now_s = self._clock.monotonic_s()
        self._held.extend((now_s, receipt) for receipt in receipts)

    def take(self) -> list[ReceiptHeard]:
        """All of them, for the one that settles them now."""
        taken = [receipt for _, receipt in self._held]
        self._held.clear()
        return taken

    async def let_go(self) -> float | None:
        """Forget what the sending device has had its time for. Returns the seconds until there is more to forget."""
        now_s = self._clock.monotonic_s()
        due: list[int] = []
        while self._held and (now_s - self._held[0][0] >= HELD_S or len(self._held) > HELD_MAX):
            due.append(self._held.popleft()[1].seq)
        await self._link.acknowledge(due)
        return self._held[0][0] + HELD_S - now_s if self._held else None
