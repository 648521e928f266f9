"""Whose turn it is to watch: one run at a time, and a crashed one holds nobody up for long."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from keepline.domain.uptime_ledger import Span
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable, Version
from keepline.records import uptime_events, uptime_runs
from keepline.records.uptime_runs import Run
from keepline.usecases.uptime_watching import GAP_MIN

# A run that has not said for so long that it goes on has crashed, and the next may begin.
OVERDUE = timedelta(seconds=20)
RENEW_S = 8.0
# The run before may still be at its last writes, or have crashed; one that is refused longer is not needed.
TURN_WAIT_S = 25.0
_LOOK_S = 0.25

log = logging.getLogger(__name__)


class TurnLost(Exception):
    """Another run watches now: this one was held up for too long."""


class Turn:
    """A run's turn, from `take_turn`."""

    def __init__(self, store: DocumentStore, clock: Clock, version: Version) -> None:
        self._store = store
        self._clock = clock
        self._version = version

    async def keep(self) -> None:
        """Say that it goes on, until cancelled. Raises TurnLost."""
        said_s = self._clock.monotonic_s()
        while True:
            await asyncio.sleep(RENEW_S)
            now, now_s = self._clock.now(), self._clock.monotonic_s()
            if now_s - said_s >= OVERDUE.total_seconds():
                raise TurnLost
            try:
                [self._version] = await self._store.commit([uptime_runs.go_on(now, now + OVERDUE, self._version)])
                said_s = now_s
            except StoreConflict:
                raise TurnLost from None
            except StoreUnavailable as error:
                log.warning("that a run goes on could not be written: %s", error)

    async def end(self) -> None:
        """The next may begin."""
        try:
            await self._store.commit([uptime_runs.end(self._clock.now(), self._version)])
        except (StoreConflict, StoreUnavailable) as error:
            log.warning("the end of a run could not be written; the next begins when this one is overdue: %s", error)


async def take_turn(store: DocumentStore, clock: Clock, run: str) -> Turn | None:
    """None: another run is watching. That nobody watched until now is put on record. Raises StoreUnavailable."""
    waits_until_s = clock.monotonic_s() + TURN_WAIT_S
    while True:
        now = clock.now()
        document = await store.get(uptime_runs.PATH)
        before = Run.read(document) if document is not None else None
        if before is None or before.until_at <= now:
            with suppress(StoreConflict):
                [version] = await store.commit([uptime_runs.begin(before, run, now, now + OVERDUE)])
                if before is not None and now - before.watched_until > GAP_MIN:
                    gap = Span(before.watched_until, now)
                    log.warning("nobody watched for %.0f s", gap.seconds)
                    await store.commit([uptime_events.run_missed(gap)])
                return Turn(store, clock, version)
        if clock.monotonic_s() >= waits_until_s:
            return None
        await asyncio.sleep(_LOOK_S)
