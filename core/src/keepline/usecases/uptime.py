"""The uptime monitor: a run a minute, which looks after all targets until the next one does.

The schedule sets a run off each minute, and each goes on for a minute from when it was asked for, so that checks come every few
seconds. One run at a time: a document says whose turn it is and until when, so a run that crashes holds nobody up for long. That
nobody watched for a time is noticed by the next run and put on record, never taken for uptime.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from keepline.domain.errors import Unavailable
from keepline.domain.uptime_checks import ANSWERS, CONFIRM_S, DISABLED, STOPPED, Check
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.uptime_probes import Probe, Question
from keepline.records import connectors, uptime
from keepline.records.connectors import ConnectorBeat
from keepline.records.uptime import HttpCheck, Outage, Settings, Target
from keepline.usecases.session_chain import Entropy
from keepline.usecases.uptime_headers import HeaderSealer
from keepline.usecases.uptime_turns import take_turn
from keepline.usecases.uptime_watching import React, Watched, nobody_reacts
from keepline.usecases.webhook_sealing import SecretsUnreadable

RUN_S = 60.0
# What reacts to a verdict may go on for so long after the run's minute.
REACTION_LIMIT_S = 100.0
# A heartbeat that is later than the lease allows by this much is not on its way any more.
LEASE_MARGIN_S = 0.25
# Between two looks at the heartbeats at least; between two in which they cannot be had.
_LOOK_GAP_S = 0.5
_LOOK_AGAIN_S = 2.0

# A lease that has run out is the verdict of three missing heartbeats, and a heartbeat is proof that there is a lease.
CONNECTOR_SETTINGS = Settings(overrides={"failures_until_down": 1, "successes_until_up": 1})
API_SETTINGS = Settings(preset="aggressive")

log = logging.getLogger(__name__)


class UptimeMonitor:
    """`ours` asks our own API, wherever it is, `others` what operators have added. `api_url`: where the API is, if known."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        entropy: Entropy,
        ours: Probe,
        others: Probe,
        headers: HeaderSealer,
        api_url: str | None,
        react: React = nobody_reacts,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._ours = ours
        self._others = others
        self._headers = headers
        self._api_url = api_url
        self._react = react

    async def watch(self) -> bool:
        """One run. False: another one is watching. Raises StoreUnavailable when it cannot begin."""
        ends_s = self._clock.monotonic_s() + RUN_S
        turn = await take_turn(self._store, self._clock, self._entropy(8).hex())
        if turn is None:
            log.info("a run is not needed: another one is watching")
            return False
        watched: list[Watched] = []
        keeping = asyncio.create_task(turn.keep())
        try:
            watched = await self._open()
            for one in watched:
                one.tell(again=True)
            watching = asyncio.create_task(self._watch_all(watched, ends_s))
            try:
                done, _ = await asyncio.wait([watching, keeping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _cancelled(watching)
            if watching not in done:
                log.warning("a run ends early: it was held up, and another one may watch")
                return False
            await watching
            await asyncio.gather(*(one.save() for one in watched if one.target.enabled))
        finally:
            await _cancelled(keeping)
            await turn.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(REACTION_LIMIT_S):
                await asyncio.gather(*(one.reacted() for one in watched))
        return True

    # What is watched

    async def _open(self) -> list[Watched]:
        documents, beats, open_now = await asyncio.gather(
            self._store.query(uptime.all_targets()),
            self._store.query(connectors.all_connectors()),
            self._store.query(uptime.open_outages()),
        )
        targets = {document.id: document for document in documents}
        await self._add_ours(targets, map(ConnectorBeat.read, beats))
        outages = _by_target(map(Outage.read, open_now))
        return [
            Watched(self._store, self._clock, Target.read(document), outages[name], self._react)
            for name, document in targets.items()
        ]

    async def _add_ours(self, targets: dict[str, Document], beats: Iterable[ConnectorBeat]) -> None:
        """What is ours is watched without anybody's saying so."""
        now = self._clock.now()
        new = []
        if self._api_url is not None and uptime.API_TARGET not in targets:
            new.append(uptime.new_target(uptime.API_TARGET, now, name="API", kind=uptime.API, settings=API_SETTINGS))
        for beat in beats:
            target = uptime.target_of_connector(beat.connector)
            if target not in targets and not beat.stopping:
                new.append(
                    uptime.new_target(
                        target,
                        now,
                        name=beat.connector,
                        kind=uptime.CONNECTOR,
                        settings=CONNECTOR_SETTINGS,
                        connector=beat.connector,
                        region=beat.region,
                    )
                )
        for write in new[: uptime.TARGETS_MAX - len(targets)]:
            with suppress(StoreConflict):
                await self._store.commit([write])
            document = await self._store.get(write.path)
            if document is not None:
                targets[document.id] = document

    async def _watch_all(self, watched: Iterable[Watched], ends_s: float) -> None:
        """Each by URL has a task of its own, so that none waits for another; one look at the heartbeats is for all connectors."""
        async with asyncio.TaskGroup() as tasks:
            of_connectors = {}
            for one in watched:
                if not one.target.enabled:
                    tasks.create_task(one.rest(DISABLED))
                elif one.target.kind == uptime.CONNECTOR and one.target.connector is not None:
                    of_connectors[one.target.connector] = one
                else:
                    tasks.create_task(self._watch_http(one, ends_s))
            if of_connectors:
                tasks.create_task(self._watch_connectors(of_connectors, ends_s))

    async def _watch_http(self, watched: Watched, ends_s: float) -> None:
        try:
            question, probe = await self._question(watched.target)
        except SecretsUnreadable:
            await watched.rest("secrets_unreadable")
            return
        except Unavailable as error:
            log.warning("%s is not watched in this run: %s", watched.target.id, error)
            return
        while not watched.gone:
            began_s, at = self._clock.monotonic_s(), self._clock.now()
            try:
                async with asyncio.timeout(max(0.0, ends_s - began_s)):
                    found = await probe.ask(question)
            except TimeoutError:
                return  # The next run asks again.
            await watched.seen(Check(at, found.code, found.ms))
            wait_s = CONFIRM_S if watched.condition.is_in_doubt else watched.pace.interval_s
            now_s = self._clock.monotonic_s()
            next_s = max(now_s, began_s + wait_s)
            if next_s >= ends_s:
                return
            await asyncio.sleep(next_s - now_s)

    async def _question(self, target: Target) -> tuple[Question, Probe]:
        """Raises SecretsUnreadable and Unavailable."""
        timeout_ms = target.settings.pace.timeout_ms
        if target.kind == uptime.API:
            url = f"{(self._api_url or '').rstrip('/')}/health"
            return Question(url, "GET", {}, (200,), None, timeout_ms), self._ours
        check = target.check or HttpCheck("", "GET", (200,), None)
        headers = await self._headers.open(target.id, check.url, target.secrets)
        question = Question(check.url, check.method, headers, check.expected_status, check.text, timeout_ms)
        return question, self._others

    async def _watch_connectors(self, watched: Mapping[str, Watched], ends_s: float) -> None:
        interval_s = min(one.pace.interval_s for one in watched.values())
        expired_at: dict[str, object] = {}
        while True:
            began_s = self._clock.monotonic_s()
            wait_s: float = _LOOK_AGAIN_S
            try:
                documents = await self._store.query(connectors.all_connectors())
                await self._find_struck(documents, watched, expired_at)
            except StoreUnavailable as error:
                log.warning("the heartbeats cannot be read: %s", error)
            else:
                now = self._clock.now()
                beats = {beat.connector: beat for beat in map(ConnectorBeat.read, documents)}
                await asyncio.gather(*(_judge(one, beats.get(name), now) for name, one in watched.items()))
                wait_s = _next_look_s(interval_s, [beats[name] for name in watched if name in beats], now)
            now_s = self._clock.monotonic_s()
            next_s = max(now_s, began_s + wait_s)
            if next_s >= ends_s:
                return
            await asyncio.sleep(next_s - now_s)

    async def _find_struck(
        self, documents: Iterable[Document], watched: Mapping[str, Watched], expired_at: dict[str, object]
    ) -> None:
        """A lease that ran out and was acquired anew between two looks: a connector has put that outage on record."""
        found = {document.id: document.fields.get("expired_at") for document in documents}
        first, news = not expired_at, {name for name, at in found.items() if at != expired_at.get(name)}
        expired_at.update(found)
        if first or not news:
            return
        outages = _by_target(map(Outage.read, await self._store.query(uptime.open_outages())))
        for name in news & watched.keys():
            watched[name].found_open(outages[watched[name].target.id])


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _judge(watched: Watched, beat: ConnectorBeat | None, now: datetime) -> None:
    if beat is None or beat.stopping:
        await watched.rest(STOPPED)
        return
    age_s = (now - beat.at).total_seconds()
    if beat.expired_by is not None or age_s > beat.ttl_s + LEASE_MARGIN_S:
        await watched.seen(Check(beat.at, "lease_ran_out"), beat)
    else:
        await watched.seen(Check(beat.at, ANSWERS, max(0, round(age_s * 1000))), beat)


def _next_look_s(interval_s: float, beats: Iterable[ConnectorBeat], now: datetime) -> float:
    """At the interval, or as soon as a lease will have run out if no heartbeat comes."""
    running_out = (beat.ttl_s + LEASE_MARGIN_S - (now - beat.at).total_seconds() for beat in beats if not beat.is_over)
    return max(_LOOK_GAP_S, min([interval_s, *(left_s + 0.01 for left_s in running_out if left_s > 0)]))


def _by_target(outages: Iterable[Outage]) -> dict[str, list[Outage]]:
    found: defaultdict[str, list[Outage]] = defaultdict(list)
    for outage in outages:
        found[outage.target].append(outage)
    return found
