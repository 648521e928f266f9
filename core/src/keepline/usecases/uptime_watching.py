"""One target during one run: what its checks make of it, what of that goes on record, and whom it is told.

Its document is written when something changes, and at the end of the run. What cannot be written at the moment is written with
the next check.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from keepline.domain.uptime_checks import (
    NOT_CHECKED_YET,
    Check,
    Condition,
    Pace,
    State,
    Verdict,
    after,
    put_to_rest,
    struck,
)
from keepline.domain.uptime_counts import DayCounts, with_check
from keepline.domain.uptime_ledger import Span
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable, Write
from keepline.records import uptime, uptime_events
from keepline.records.connectors import ConnectorBeat
from keepline.records.uptime import Outage, Target

React = Callable[[str, Verdict, datetime], Awaitable[None]]
"""Told of a target's id, its verdict and since when it is so: at every change and prediction, and once a run while it is down."""

# Longer than between any two checks, and than a run of the next minute may be late: beyond it nobody watched.
GAP_MIN = timedelta(seconds=30)
DETECTED_BY = "uptime"
_SAVE_TRIES_MAX = 3

log = logging.getLogger(__name__)


async def nobody_reacts(_target: str, _verdict: Verdict, _at: datetime) -> None:
    """Where nothing repairs targets."""


class Watched:
    """A target that is looked after. `found_open`: its outages that are on record and have not ended."""

    def __init__(
        self, store: DocumentStore, clock: Clock, target: Target, found_open: Iterable[Outage], react: React
    ) -> None:
        self._store = store
        self._clock = clock
        self._react = react
        self.target = target
        self.condition = target.condition
        self.gone = False  # its document was deleted
        self._outages = {target.outage} if target.outage else set[str]()
        self._told = target.told
        self._checked_at, self._response_ms = target.checked_at, target.response_ms
        self._watched_until = target.watched_until
        self._today = target.today
        self._to_record: list[Write] = []  # what happened, and is not written yet
        self._saving = asyncio.Lock()
        self._unsaved = False
        self._reacting: asyncio.Task[None] | None = None
        self.found_open(found_open)

    @property
    def pace(self) -> Pace:
        return self.target.settings.pace

    def found_open(self, outages: Iterable[Outage]) -> None:
        """Outages of it that others have put on record, and that have not ended."""
        for outage in sorted(outages, key=lambda one: one.began_at):
            if outage.id not in self._outages:
                self._outages.add(outage.id)
                self.condition = struck(self.condition, outage.began_at, outage.detected_at, outage.code)
                self._tell_began(outage.id, outage.began_at, outage.code)
                self._unsaved = True

    async def seen(self, check: Check, beat: ConnectorBeat | None = None) -> None:
        """One more check. `beat`: the heartbeat that it found."""
        before = self.condition
        now = self._clock.now()
        watched_s = self._watched_for(now)
        self.condition = after(before, check, self.connector_pace(beat) if beat else self.pace)
        self._checked_at, self._response_ms = now, check.ms
        self._count(check, now, watched_s, beat)
        if self.condition.state is State.DOWN and not self._outages:
            await self._begin_outage(beat)
        elif self.condition.state is not State.DOWN and self._outages:
            self._end_outages(self.condition.since, before.outage_began or self.condition.since)
        if before.degrading_since is None and self.condition.degrading_since is not None:
            self._to_record.append(
                uptime_events.degrading(self.target.id, self.target.name, self.condition.degrading_since)
            )
        if _is_news(before, self.condition) or self._unsaved:
            await self.save()
        self.tell()

    async def rest(self, code: str) -> None:
        """There is nothing to judge. The time until there is will be a gap."""
        before = self.condition
        now = self._clock.now()
        self.condition = put_to_rest(before, now, code)
        if self._outages:
            self._end_outages(now, before.outage_began or now)
        if self.condition != before or self._unsaved:
            await self.save()

    def connector_pace(self, beat: ConnectorBeat) -> Pace:
        """A heartbeat is late when two thirds of the lease are over without the next: then two are missing."""
        return replace(self.pace, slow_ms=round(beat.ttl_s * 1000 * 2 / 3))

    def tell(self, *, again: bool = False) -> None:
        """Have a new verdict told, unless one is being told: the newest comes after it. `again`: also that it is still down."""
        if again and self.condition.state is State.DOWN:
            self._told = None
        verdict = self.condition.verdict
        if verdict is not None and verdict.value != self._told and self._reacting is None:
            self._reacting = asyncio.create_task(self._tell_until_told(), name=f"reaction to {self.target.id}")

    async def reacted(self) -> None:
        """Wait until whoever reacts has nothing more to do."""
        if self._reacting is not None:
            await self._reacting

    async def save(self) -> None:
        """Write how it is. Store trouble is logged; then it is written the next time."""
        async with self._saving:
            self._unsaved = True
            for _ in range(_SAVE_TRIES_MAX):
                if self.gone:
                    return
                try:
                    await self._write()
                    return
                except StoreConflict:
                    try:
                        await self._read_again()
                    except StoreUnavailable as error:
                        log.warning("how %s is could not be written: %s", self.target.id, error)
                        return
                except StoreUnavailable as error:
                    log.warning("how %s is could not be written: %s", self.target.id, error)
                    return
            log.warning("how %s is could not be written: others change it all the time", self.target.id)

    async def _write(self) -> None:
        recording = list(self._to_record)
        write = uptime.as_found(
            self.target,
            condition=self.condition,
            outage=min(self._outages, default=None),
            checked_at=self._checked_at,
            response_ms=self._response_ms,
            told=self._told,
            watched_until=self._watched_until,
            today=self._today,
            version=self.target.version,
        )
        [version, *_] = await self._store.commit([write, *recording])
        self.target = replace(self.target, version=version)
        self._to_record = self._to_record[len(recording) :]
        self._unsaved = False

    async def _read_again(self) -> None:
        """Its operator has changed or deleted it. The settings are theirs, how it is we know."""
        document = await self._store.get(uptime.target_path(self.target.id))
        if document is None:
            self.gone = True
            return
        self.target = Target.read(document)

    async def _begin_outage(self, beat: ConnectorBeat | None) -> None:
        began_at = self.condition.outage_began or self.condition.since
        code = self.condition.code
        if beat is not None:
            outage, new = uptime.outage_of(beat), uptime.lease_ran_out(beat, DETECTED_BY)
        else:
            outage = uptime.outage_at(began_at)
            new = uptime.new_outage(
                self.target.id,
                outage,
                began_at=began_at,
                detected_by=DETECTED_BY,
                code=code,
                sentence=f"{self.target.name} does not answer as it should ({code}).",
                evidence={"failures": self.condition.failures},
            )
        try:
            # Alone: a connector may have put it on record already.
            await self._store.commit([new])
        except StoreConflict:
            pass
        except StoreUnavailable as error:
            log.warning("an outage of %s could not be put on record yet: %s", self.target.id, error)
            self.condition = replace(self.condition, state=State.UNKNOWN)  # so that the next check begins it
            return
        self._outages.add(outage)
        self._tell_began(outage, began_at, code)
        log.warning("%s is down since %s: %s", self.target.id, began_at.isoformat(), code)

    def _tell_began(self, outage: str, began_at: datetime, code: str) -> None:
        self._to_record.append(uptime_events.outage_began(self.target.id, self.target.name, outage, began_at, code))

    def _end_outages(self, ended_at: datetime, began_at: datetime) -> None:
        down_s = max(0.0, (ended_at - began_at).total_seconds())
        for outage in sorted(self._outages):
            self._to_record.append(uptime.outage_over(self.target.id, outage, ended_at))
            self._to_record.append(
                uptime_events.outage_ended(self.target.id, self.target.name, outage, ended_at, down_s)
            )
        self._outages.clear()
        log.warning("%s is up again after %.1f s", self.target.id, down_s)

    def _watched_for(self, now: datetime) -> float:
        """The seconds since the check before this one; a gap goes on record instead."""
        since, self._watched_until = self._watched_until, now
        if now - since <= GAP_MIN:
            return max(0.0, (now - since).total_seconds())
        rests = self.condition.state is State.UNKNOWN and self.condition.code != NOT_CHECKED_YET
        rested = self.condition.code if rests else "no_run"
        self._to_record.append(uptime.not_watched(self.target.id, Span(since, now), rested))
        self._unsaved = True
        return 0.0

    def _count(self, check: Check, now: datetime, watched_s: float, beat: ConnectorBeat | None) -> None:
        day = now.astimezone(UTC).date()
        if day != self._today.day:
            self._to_record.append(uptime.day_of(self.target.id, self._today))
            self._today = DayCounts(day)
            self._unsaved = True
        pace = self.connector_pace(beat) if beat else self.pace
        self._today = with_check(self._today, ok=check.ok, ms=check.ms, slow_ms=pace.slow_ms, watched_s=watched_s)

    async def _tell_until_told(self) -> None:
        try:
            while (verdict := self.condition.verdict) is not None and verdict.value != self._told:
                at = self.condition.since
                if verdict is Verdict.DEGRADING and self.condition.degrading_since is not None:
                    at = self.condition.degrading_since
                try:
                    await self._react(self.target.id, verdict, at)
                except Exception:  # Whatever goes wrong there, the checks go on, and a person must see it.
                    log.exception("the reaction to %s being %s failed", self.target.id, verdict.value)
                self._told = verdict.value
        finally:
            self._reacting = None


def _is_news(before: Condition, now: Condition) -> bool:
    return (before.state, before.degrading_since is None) != (now.state, now.degrading_since is None)
