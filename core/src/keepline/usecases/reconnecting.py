"""Connecting a device, and connecting it again: the policy (domain/reconnect.py) decides when, one loop acts.

One loop for a device, so there is never a second attempt beside the first; and one pace for all devices of a connector, so that
neither a start nor the end of an outage is a storm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from keepline.domain.reconnect import CAUSES, UNKNOWN, Breaker, Kind, Loss, Reconnecting
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import StoreUnavailable

# Attempts of a connector's devices are half to the whole of this apart: 25 a second at the mean, a hundred numbers in 4 s.
ATTEMPT_GAP_S = 0.053
_STORE_RETRY_S = 0.5
# A cell cuts within milliseconds; one that is stopped must not hold up what comes next.
_CUT_LIMIT_S = 5.0

log = logging.getLogger(__name__)


class Pace:
    """Of one connector. Whoever wants to connect waits for a turn."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._free_at_s = clock.monotonic_s()

    async def turn(self) -> None:
        now_s = self._clock.monotonic_s()
        at_s = max(now_s, self._free_at_s)
        self._free_at_s = at_s + ATTEMPT_GAP_S * (0.5 + self._random.random() / 2)
        await asyncio.sleep(at_s - now_s)


class Reconnector:
    """For one device. Its runner tells it what is heard; `run` does the rest.

    `allowed` is asked before each attempt: it raises what ends the runner, or StoreUnavailable. `timed_out` hears of an attempt
    that nothing came of, `changed` when there is something new to show of the tries.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        random: Random,
        link: DeviceLink,
        pace: Pace,
        allowed: Callable[[], Awaitable[None]],
        timed_out: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._name = name
        self._clock = clock
        self._random = random
        self._link = link
        self._pace = pace
        self._allowed = allowed
        self._timed_out = timed_out
        self._changed = changed
        self._policy = Reconnecting(clock.monotonic_s())
        self._ordering = False
        self._is_to_be_barred = False
        self._wake = asyncio.Event()
        # By us, on purpose: until a new connection is begun, what is heard is of the old one.
        self.is_cut = False

    @property
    def failures(self) -> int:
        """Failed tries in a row."""
        return self._policy.failures

    @property
    def breaker(self) -> Breaker:
        return self._policy.breaker(self._clock.monotonic_s())

    # What the runner tells

    def connected(self) -> None:
        """It is logged in, or has got as far as a QR code."""
        if self.breaker is not Breaker.CLOSED:
            log.info("%s has got through again after %d failed tries", self._name, self.failures)
        self._policy.connected(self._clock.monotonic_s())
        self._tell()

    def linked(self) -> None:
        """A phone has linked it, and the library logs in by itself."""
        self._policy.linked(self._clock.monotonic_s())
        self._wake.set()

    def lost(self, cause: str, wait_s: float = 0.0) -> None:
        """The connection is lost, or an attempt failed. `wait_s` is what WhatsApp asked for, 0 if nothing."""
        if self._ordering and cause == "cell_lost":
            return  # The order that is on its way goes to the next cell.
        loss = self._policy.lost(cause, self._clock.monotonic_s(), self._random.random(), wait_s)
        if loss is Loss.OPENED:
            log.error(
                "%s could not connect %d times in a row (%s): it is tried less often from now on",
                *(self._name, self._policy.failures, cause),
            )
        if CAUSES.get(cause, UNKNOWN).kind is Kind.LIBRARY and not self._policy.attempting:
            self._is_to_be_barred = True
        self._tell()

    def asked(self) -> None:
        """Somebody wants a try now."""
        self._policy.asked(self._clock.monotonic_s())
        self._wake.set()

    def others_reached(self) -> None:
        """Another device of this connector got through after failures."""
        self._policy.others_reached(self._clock.monotonic_s(), self._random.random())
        self._wake.set()

    def about_to_cut(self) -> None:
        """The speaker cuts the connection, and says `go_on` when another one may be begun."""
        self.is_cut = True

    def go_on(self) -> None:
        """What was cut on purpose may connect again."""
        self._policy.cut(self._clock.monotonic_s(), self._random.random())
        self._tell()

    def connect_anew(self) -> None:
        """Another connection is wanted in the place of this one, or of the try that is under way: at once."""
        self._policy.renewed(self._clock.monotonic_s())
        self._tell()

    async def give_up_connection(self) -> None:
        """It stands and WhatsApp does not answer on it: cut it, and make another."""
        await self._cut()
        self.lost("no_answer")

    # What it does

    async def run(self) -> None:
        """Make attempts until cancelled, from the first on. Raises what `allowed` does."""
        while True:
            await self._until_due()
            if self._policy.attempting:
                await self._end_attempt()
                continue
            await self._pace.turn()
            try:
                await self._allowed()
            except StoreUnavailable:
                await asyncio.sleep(_STORE_RETRY_S)
                continue
            if self._policy.begin(self._clock.monotonic_s(), self._random.random()):
                await self._attempt()

    async def _until_due(self) -> None:
        while True:
            self._wake.clear()
            if self._is_to_be_barred:
                self._is_to_be_barred = False
                await self._cut()
            now_s = self._clock.monotonic_s()
            due_s, proven_s = self._policy.due_s, self._policy.proven_s
            if due_s is not None and now_s >= due_s:
                return
            if proven_s is not None and now_s >= proven_s:
                self._policy.proven(now_s)
                self._changed()
                continue
            next_s = due_s if due_s is not None else proven_s
            with suppress(TimeoutError):
                async with asyncio.timeout(None if next_s is None else next_s - now_s):
                    await self._wake.wait()

    async def _attempt(self) -> None:
        self.is_cut = False
        self._ordering = True
        try:
            await self._link.connect()
        finally:
            self._ordering = False
        self._policy.taken(self._clock.monotonic_s())

    async def _end_attempt(self) -> None:
        """Its limit is over. The library would go on trying by itself, beside us."""
        self._policy.begin(self._clock.monotonic_s(), self._random.random())
        await self._cut()
        self._timed_out()
        self._tell()

    async def _cut(self) -> None:
        self.is_cut = True
        # Where no cell holds the device (RuntimeError) there is nothing to cut.
        with suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(_CUT_LIMIT_S):
                await self._link.cut()

    def _tell(self) -> None:
        self._wake.set()
        self._changed()
