"""Whether WhatsApp still answers a device that is connected: by real traffic first, by a question when it is quiet.

What counts is what the device's library has decrypted, or an answer to what it asked or sent. That a socket is acknowledged, or
that bytes come, is no proof: the far end may be deaf to what we say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random

from keepline.domain.keep_alive import KeepAlive
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink

log = logging.getLogger(__name__)


class ProofOfLife:
    """For one device. `interval_s` is how soon it asks at the soonest; `on_mute` hears when no answer came in time."""

    def __init__(
        self, clock: Clock, random: Random, link: DeviceLink, interval_s: float, on_mute: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._random = random
        self._link = link
        self._on_mute = on_mute
        self._policy = KeepAlive(interval_s, clock.monotonic_s())
        self._connections = 0
        self._is_up = asyncio.Event()
        self.newest: tuple[str, float] | None = None
        """What was heard last, and when, in monotonic seconds."""

    def heard(self, kind: str, age_ms: int = 0) -> None:
        """WhatsApp has proved that it lives, so long ago."""
        at_s = self._clock.monotonic_s() - age_ms / 1000
        if self.newest is None or at_s > self.newest[1]:
            self.newest = (kind, at_s)
        self._policy.heard(at_s, self._random.random())

    def rate_signal(self) -> None:
        """WhatsApp says that it is too much."""
        self._policy.rate_signal(self._clock.monotonic_s())

    def connected(self) -> None:
        """A connection stands, and answers: there is something to ask."""
        self._connections += 1
        self._is_up.set()

    def disconnected(self) -> None:
        """There is none, or it is known not to answer."""
        self._is_up.clear()

    async def run(self) -> None:
        """Ask until cancelled, whenever it has been quiet for long enough."""
        while True:
            await self._is_up.wait()
            wait_s = self._policy.due_s() - self._clock.monotonic_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            else:
                await self._ask()

    async def _ask(self) -> None:
        asked_s, connection = self._clock.monotonic_s(), self._connections
        if await self._link.probe():
            now_s = self._clock.monotonic_s()
            self.newest = ("answer", now_s)
            self._policy.answered(now_s, self._random.random())
        elif self._is_up.is_set() and connection == self._connections:
            if self.newest is not None and self.newest[1] > asked_s:
                return  # Something else has come meanwhile.
            self._is_up.clear()
            self._on_mute()
