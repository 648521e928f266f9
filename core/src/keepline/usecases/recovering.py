"""Recovering targets that are down or getting worse: what `domain/recovery.py` decides is put on record, and then done.

One driver at a time looks after a target's recovery, under a lease in `recovering/{target}`. A driver that dies leaves everything
on record; whoever comes next begins again what was under way, under the same keys. What tells that a target is healthy is the
monitor's own verdict in `uptime/{target}`, the same that people see.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from keepline.domain import recovery as policy
from keepline.domain.recovery import Limits, Phase, Reason, Recovery, Seen, StandIn, Step, StepState, Way
from keepline.domain.uptime_checks import Verdict
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, StoreConflict, StoreUnavailable, Write
from keepline.ports.recovery import Order, Outcome, Restarter
from keepline.records import connectors, recoveries
from keepline.records.connectors import ConnectorBeat
from keepline.records.recoveries import Gate
from keepline.records.uptime import target_path

# A driver writes three times in this time; when it has died, another one goes on after it.
LEASE_S = 15.0
RENEW_S = 5.0
# How often the target's state is looked at: one read. A recovery takes seconds to minutes, and there are few.
LOOK_S = 1.0
# A pause longer than this is not waited for: the monitor's next run takes the recovery up again.
WAIT_S_MAX = 20.0
CALL_OFF_S_MAX = 5.0
ATTEMPTS_SETTABLE_MAX = 10
# What a heartbeat may be late before its connector is no place for another one's devices.
BEAT_LATE_S = 3.0

Entropy = Callable[[int], bytes]

SettingsOf = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
"""From a target's document to what is to be done with it: `provider`, and what that one needs; None: nothing."""

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else drives this recovery now."""


class Recoverer:
    """One process's. `restarters` by the name that a target's settings call `provider`."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        entropy: Entropy,
        restarters: Mapping[str, Restarter],
        settings_of: SettingsOf,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._restarters = restarters
        self._settings_of = settings_of

    async def react(self, target: str, verdict: Verdict, _since: datetime) -> None:
        """As the monitor tells its verdicts (`uptime_watching.React`). Raises as `recover` does."""
        if verdict is Verdict.DOWN:
            await self.recover(target, Reason.DOWN)
        elif verdict is Verdict.DEGRADING:
            await self.recover(target, Reason.DEGRADING)

    async def recover(self, target: str, reason: Reason) -> None:
        """Open a target's recovery, or go on with the one that is open, until it is over or pauses for long.

        Being told twice, or beside another process, makes no second recovery. Raises StoreUnavailable; it can be called again.
        """
        ward = await self._ward(target)
        if ward.provider not in self._restarters or ward.healthy is (reason is Reason.DOWN):
            return  # It is nobody's to restart, or no longer what we were told.
        gate = await self._gate(target)
        if gate.is_held(self._clock.now()):
            return
        try:
            held = await (self._open(ward, gate, reason) if gate.current is None else self._take(ward, gate))
        except StoreConflict:
            return  # Another process was told as well, and was first.
        if held is not None:
            await self._drive(held)

    async def take_up(self) -> None:
        """Go on with what drivers have left. Raises StoreUnavailable."""
        left = [Gate.read(document) for document in await self._store.query(recoveries.open_gates())]
        now = self._clock.now()
        async with asyncio.TaskGroup() as tasks:
            for gate in left:
                if not gate.is_held(now):
                    tasks.create_task(self._take_up(gate))

    async def _take_up(self, gate: Gate) -> None:
        ward = await self._ward(gate.target)
        try:
            held = await self._take(ward, gate)
        except StoreConflict:
            return
        if held is not None:
            await self._drive(held)

    async def _ward(self, target: str) -> _Ward:
        document = await self._store.get(target_path(target))
        if document is None:
            # Removed while it was recovered; then there is nothing left to wait for.
            return _Ward(target, target, "", None, self._clock.now(), healthy=True, settings={})
        return _Ward.read(document, self._settings_of(document.fields) or {})

    async def _gate(self, target: str) -> Gate:
        document = await self._store.get(recoveries.gate_path(target))
        return Gate.read(document) if document is not None else Gate(target)

    async def _open(self, ward: _Ward, gate: Gate, reason: Reason) -> _Held | None:
        """Raises StoreConflict if somebody else was first."""
        now = self._clock.now()
        stand_in = await self._stand_in(ward) if reason is Reason.DEGRADING else StandIn.NONE
        decision = policy.opened(
            f"{now:%Y%m%dT%H%M%S}_{self._entropy(4).hex()}",
            ward.target,
            ward.name,
            ward.kind,
            reason,
            ward.since,
            history=gate.history,
            stand_in=stand_in,
            now=now,
            limits=ward.limits,
        )
        opened = decision.recovery
        if opened.phase.is_end:
            # That nothing is done is told once for each trouble, however often we are told of it.
            opened = replace(opened, id=f"{ward.since:%Y%m%dT%H%M%S}_{opened.code}")
            if await self._store.get(recoveries.recovery_path(ward.target, opened.id)) is None:
                await self._store.commit(recoveries.commit_of(gate, None, opened, now))
                log.warning("%s", opened.sentence)
            return None
        held = _Held(ward, gate, opened, self._entropy(8).hex())
        await self._commit(held, None, replace(gate, current=opened.id, history=decision.history), opened)
        log.warning("%s is %s: its recovery has begun", ward.name, reason)
        return held

    async def _take(self, ward: _Ward, gate: Gate) -> _Held | None:
        """Raises StoreConflict if somebody else was first."""
        document = await self._store.get(recoveries.recovery_path(gate.target, gate.current or ""))
        if document is None:
            return None
        found = recoveries.read_recovery(document)
        held = _Held(ward, gate, found, self._entropy(8).hex())
        await self._commit(held, found, gate, found)
        return held

    async def _stand_in(self, ward: _Ward) -> StandIn:
        if ward.connector is None:
            whole = self._restarters[ward.provider].replaces_before_ending
            return StandIn.PLATFORM if whole else StandIn.NONE
        beats = [ConnectorBeat.read(one) for one in await self._store.query(connectors.all_connectors())]
        now = self._clock.now()
        needed, room = 0, 0
        for beat in beats:
            if beat.connector == ward.connector:
                if beat.drain:
                    return StandIn.NONE  # A person has its devices moved, and decides when it takes some again.
                needed = len(beat.devices)
            elif not beat.is_over and not beat.drain and now < beat.at + timedelta(seconds=beat.ttl_s + BEAT_LATE_S):
                room += max(0, beat.capacity - len(beat.devices))
        return StandIn.OTHERS if room > 0 and room >= needed else StandIn.NONE

    # Driving

    async def _drive(self, held: _Held) -> None:
        running: dict[tuple[Way, int], asyncio.Task[Outcome]] = {}
        try:
            while True:
                try:
                    await self._look(held, running)
                except StoreUnavailable as error:
                    log.warning("the recovery of %s waits for the store: %s", held.ward.name, error)
                except StoreConflict:
                    await self._find_again(held)
                if held.recovery.phase.is_end or await self._pauses(held):
                    return
                # Also what an earlier driver had under way: under the same key it is the same order.
                for step in held.recovery.under_way():
                    if (step.way, step.attempt) not in running:
                        running[step.way, step.attempt] = asyncio.create_task(self._carry_out(held, step))
                pending = [task for task in running.values() if not task.done()]
                if pending:
                    await asyncio.wait(pending, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(LOOK_S)
        except LeaseLost:
            log.info("the recovery of %s is somebody else's now", held.ward.name)
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def _look(self, held: _Held, running: Mapping[tuple[Way, int], asyncio.Task[Outcome]]) -> None:
        """See how the target and the steps are, decide, and put it on record."""
        now = self._clock.now()
        told = held.recovery
        for step in told.under_way():
            task = running.get((step.way, step.attempt))
            if task is not None and task.done() and not task.cancelled():
                outcome = task.result()
                told = policy.step_ended(told, step.way, step.attempt, outcome.state, outcome.detail, now)
        decision = policy.decide(told, held.gate.history, await self._seen(held), now, held.ward.limits)
        after = decision.recovery
        for act in decision.acts:
            if act.call_off and (step := act.step) and not await self._call_off(held, step, running):
                detail = "it cannot be called off and runs on"
                after = policy.step_ended(after, step.way, step.attempt, StepState.LEFT_RUNNING, detail, now)
        renew = held.gate.lease_until is None or now + timedelta(seconds=LEASE_S - RENEW_S) >= held.gate.lease_until
        if after != held.recovery or renew:
            gate = replace(held.gate, history=decision.history, current=None if after.phase.is_end else after.id)
            await self._commit(held, held.recovery, gate, after)
        if after.phase.is_end:
            log.warning("%s", after.sentence)

    async def _seen(self, held: _Held) -> Seen:
        document = await self._store.get(target_path(held.recovery.target))
        # A target that was removed needs no recovery.
        healthy = document is None or _is_healthy(document.fields)
        if held.recovery.phase is not Phase.DRAINING or held.ward.connector is None:
            return Seen(healthy)
        beat = await self._store.get(connectors.connector_path(held.ward.connector))
        return Seen(healthy, len(ConnectorBeat.read(beat).devices) if beat is not None else 0)

    async def _commit(self, held: _Held, before: Recovery | None, gate: Gate, after: Recovery) -> None:
        now = self._clock.now()
        ends = after.phase.is_end
        gate = gate.held_by(None if ends else held.holder, None if ends else now + timedelta(seconds=LEASE_S))
        writes = [*recoveries.commit_of(gate, before, after, now), *await self._drain_writes(held.ward, before, after)]
        versions = await self._store.commit(writes)
        held.gate, held.recovery = replace(gate, version=versions[0]), after

    async def _drain_writes(self, ward: _Ward, before: Recovery | None, after: Recovery) -> list[Write]:
        was = before is not None and before.drained
        if ward.connector is None or was is after.drained:
            return []
        # One that was removed meanwhile has nothing to be told.
        known = await self._store.get(connectors.connector_path(ward.connector))
        return [connectors.drain(ward.connector, after.drained)] if known is not None else []

    async def _find_again(self, held: _Held) -> None:
        """A commit was refused: perhaps by one of our own, whose answer was lost. Raises LeaseLost."""
        gate = await self._gate(held.recovery.target)
        if gate.holder != held.holder or gate.current is None:
            raise LeaseLost
        document = await self._store.get(recoveries.recovery_path(gate.target, gate.current))
        if document is None:
            raise LeaseLost
        held.gate, held.recovery = gate, recoveries.read_recovery(document)

    async def _pauses(self, held: _Held) -> bool:
        """Whether the recovery was let go, because it has nothing to do for a while."""
        waits_until = held.recovery.next_at
        if held.recovery.phase is not Phase.COOLING or waits_until is None:
            return False
        if waits_until <= self._clock.now() + timedelta(seconds=WAIT_S_MAX):
            return False
        try:
            await self._store.commit([held.gate.held_by(None, None).write()])
        except (StoreConflict, StoreUnavailable) as error:
            log.info("the lease of the recovery of %s is left to run out: %r", held.ward.name, error)
        return True

    async def _carry_out(self, held: _Held, step: Step) -> Outcome:
        restarter = self._restarters.get(held.ward.provider)
        if restarter is None:
            return Outcome(StepState.NOT_OFFERED, "its settings name nobody who restarts it")
        try:
            return await restarter.carry_out(_order(held, step))
        except Exception as error:  # noqa: BLE001  # A provider's mistake ends this way, not the other one nor other recoveries.
            log.warning("the %s of %s failed with %s", step.way, held.ward.name, type(error).__name__)
            return Outcome(StepState.FAILED, type(error).__name__)

    async def _call_off(
        self, held: _Held, step: Step, running: Mapping[tuple[Way, int], asyncio.Task[Outcome]]
    ) -> bool:
        task = running.get((step.way, step.attempt))
        if task is not None:
            task.cancel()
        restarter = self._restarters.get(held.ward.provider)
        try:
            async with asyncio.timeout(CALL_OFF_S_MAX):
                return restarter is None or await restarter.call_off(_order(held, step))
        except Exception as error:  # noqa: BLE001  # As in `_carry_out`; the time limit is one of these.
            log.warning("the %s of %s could not be called off: %s", step.way, held.ward.name, type(error).__name__)
            return False


@dataclass(frozen=True)
class _Ward:
    """A target that somebody restarts."""

    target: str
    name: str
    kind: str
    connector: str | None
    since: datetime
    healthy: bool
    settings: Mapping[str, Any]

    @property
    def provider(self) -> str:
        return str(self.settings.get("provider", ""))

    @property
    def limits(self) -> Limits:
        said = self.settings.get("attempts_max")
        # A person may have typed it; more than these would be no limit.
        if type(said) is int and 1 <= said <= ATTEMPTS_SETTABLE_MAX:
            return Limits(attempts_max=said)
        return Limits()

    @classmethod
    def read(cls, document: Document, settings: Mapping[str, Any]) -> _Ward:
        fields = document.fields
        return cls(
            target=document.id,
            name=fields["name"],
            kind=fields["kind"],
            connector=fields.get("connector"),
            since=fields["since"],
            healthy=_is_healthy(fields),
            settings=settings,
        )


@dataclass
class _Held:
    """A recovery that this process drives: as it was read or written last."""

    ward: _Ward
    gate: Gate
    recovery: Recovery
    holder: str


def _is_healthy(fields: Mapping[str, Any]) -> bool:
    """It answers, be it slowly: slowness alone is no reason to take away what answers."""
    return fields["state"] in ("up", "degraded")


def _order(held: _Held, step: Step) -> Order:
    ward = held.ward
    return Order(
        key=f"{held.recovery.id}_{step.attempt}_{step.way}",
        recovery=held.recovery.id,
        target=ward.target,
        name=ward.connector or ward.name,
        kind=ward.kind,
        way=step.way,
        attempt=step.attempt,
        reason=held.recovery.reason,
        settings=ward.settings,
    )
