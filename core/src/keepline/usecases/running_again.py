"""A device's runner that dies of an error which nobody foresaw is started again: later each time, and its state says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

from keepline.domain.reconnect import STABLE_AFTER_S, back_off_s
from keepline.ports.clock import Clock

log = logging.getLogger(__name__)


class Runner(Protocol):
    """What is kept running: a DeviceRunner."""

    async def run(self) -> None: ...

    async def tell_failed(self) -> None: ...


async def run_again(
    name: str, clock: Clock, random: Random, first: Runner, another: Callable[[], Awaitable[Runner | None]]
) -> None:
    """Run until a runner ends by itself, or there is no need for `another` one. A bug must be seen, and must not end a device."""
    failures, runner = 0, first
    while True:
        began_s = clock.monotonic_s()
        try:
            if failures:
                found = await another()
                if found is None:
                    return
                runner = found
            await runner.run()
            return
        except Exception:
            failures = 1 if clock.monotonic_s() - began_s >= STABLE_AFTER_S else failures + 1
            pause_s = back_off_s(failures, random.random())
            log.exception("%s ended with an error and is started again in %.1f s", name, pause_s)
        await runner.tell_failed()
        await asyncio.sleep(pause_s)
