"""Connections that stand and do not answer are made anew.

Such a zombie, connected and mute, would else last until the library's own ping gives up, minutes later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from keepline.usecases.reconnecting import Reconnector

# A connection that stands and does not answer is made anew after this. (Where another device can send, that is not waited for.)
_STALLED_LIMIT_S = 4.0

log = logging.getLogger(__name__)


class StallHealer:
    """For one device, whose `name` is for the log."""

    def __init__(self, name: str, reconnector: Reconnector) -> None:
        self._name = name
        self._reconnector = reconnector
        self._stalled = asyncio.Event()
        self._answering = asyncio.Event()

    def stalled(self) -> None:
        """WhatsApp owes an answer, and it does not come."""
        self._answering.clear()
        self._stalled.set()

    def changed(self) -> None:
        """The connection answers again, or is gone."""
        self._stalled.clear()
        self._answering.set()

    async def run(self) -> None:
        """Heal until cancelled."""
        while True:
            await self._stalled.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STALLED_LIMIT_S):
                    await self._answering.wait()
            if self._stalled.is_set() and not self._reconnector.is_cut:
                log.warning("%s gets no answer: its connection is made anew", self._name)
                await self._reconnector.give_up_connection()
            self._stalled.clear()
