"""Leaving a connection that works badly, before it fails: another device sends first, then it is made anew.

Only where nothing is lost by it. A device that sends and has nobody to pass that on to keeps its connection: a slow one is better
than messages in doubt. And not again for some minutes: what is as bad on every connection is not mended by changing them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from keepline.domain.link_quality import LeavingPoorConnections
from keepline.ports.clock import Clock
from keepline.usecases.speaking import Speaker


class PoorConnections:
    """Of one device. Its runner tells how good the connection is; `run` does the rest."""

    def __init__(self, clock: Clock, speaker: Speaker, reconnect: Callable[[], None]) -> None:
        self._clock = clock
        self._speaker = speaker
        self._reconnect = reconnect
        self._leaving = LeavingPoorConnections()
        self._poor = asyncio.Event()
        self._good = asyncio.Event()

    def judged(self, *, is_poor: bool) -> None:
        """The connection has become poor or good, or is another one."""
        if is_poor:
            self._good.clear()
            self._poor.set()
        else:
            self._poor.clear()
            self._good.set()
            self._speaker.judged(is_poor=False)

    def cut(self) -> None:
        """The speaker has cut the connection, for another device to send; it will be made anew."""
        if self._poor.is_set():
            self._leaving.left(self._clock.monotonic_s())

    async def run(self) -> None:
        while True:
            await self._poor.wait()
            await asyncio.sleep(self._leaving.wait_s(self._clock.monotonic_s()))
            if not self._poor.is_set():
                continue
            if self._speaker.speaks:
                self._speaker.judged(is_poor=True)
            else:
                self._leaving.left(self._clock.monotonic_s())
                self._reconnect()
            await self._good.wait()
