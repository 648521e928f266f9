"""From deliveries to calls: whoever takes a lane delivers what it has waiting, one after the other, in its order.

A lane is taken by moving the time from which on others may take it, and that time is moved on with each call: two instances never
deliver the same chat at once, and of one that dies another takes over. What was called and not yet noted is called again with the
same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from keepline.domain import webhook_signing
from keepline.domain.webhook_events import ALERT_CLOSED, ALERT_OPENED
from keepline.domain.webhook_policy import (
    FAILURES_BEFORE_REST,
    Breaker,
    DeliveryState,
    Verdict,
    is_given_up,
    judge,
    pause_s,
)
from keepline.log_lines import about
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict, Write
from keepline.ports.webhook_calls import Answer, DeliveryWaker, WakeFailed, WebhookCaller
from keepline.records import monitoring, webhooks
from keepline.records.webhooks import Delivery, Lane, Webhook
from keepline.usecases.session_chain import Entropy
from keepline.usecases.webhook_sealing import SecretsUnreadable, WebhookSealer

# Longer than a call and what is written around it take.
LEASE_S = 60.0
# One invocation's work; what is left is the next one's.
RUN_S_MAX = 35.0
PAGE = 20
CONFLICTS_MAX = 20
ENDPOINT_TRIES_MAX = 5
# Nothing is lost by looking late at what is switched off: whoever switches it on wakes its lanes.
DISABLED_PAUSE_S = 3_600.0

log = logging.getLogger(__name__)


class _Next(Enum):
    """What a holder does after one delivery had its turn."""

    GO_ON = "the next one has its turn"
    AGAIN = "the same one has its turn again, after the first pause"
    STOP = "the lane was let go"


class LaneLost(Exception):
    """Somebody else has the lane now."""


@dataclass(frozen=True)
class Calling:
    """How an event reaches an endpoint: sealed secrets opened, signed, posted."""

    caller: WebhookCaller
    sealer: WebhookSealer
    clock: Clock

    async def call(self, webhook: Webhook, event_id: str, body: bytes) -> Answer:
        """Raises Unavailable when the secrets are out of reach for now."""
        try:
            contents = await self.sealer.open(webhook)
        except SecretsUnreadable:
            return Answer(None, "secrets_unreadable", 0)
        signed = webhook_signing.headers(contents.secrets, event_id, self.clock.now(), body)
        headers = {**contents.headers, "content-type": "application/json", "user-agent": "Keepline-Webhooks/1"}
        return await self.caller.post(webhook.url, headers | signed, body)


class WebhookDeliverer:
    """Delivers lanes. Lives in one event loop."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        entropy: Entropy,
        calling: Calling,
        waker: DeliveryWaker,
    ) -> None:
        self.store = store
        self.clock = clock
        self.calling = calling
        self._entropy = entropy
        self._waker = waker

    async def deliver(self, webhook_id: str, lane_id: str) -> None:
        """Deliver what a lane has waiting, unless somebody else does.

        Raises StoreUnavailable, Unavailable and WakeFailed; the lane is taken up again when its lease is over.
        """
        document = await self.store.get(webhooks.lane_path(webhook_id, lane_id))
        if document is None or not (lane := Lane.read(document)).is_due(self.clock.now()):
            return
        try:
            again = await self._work(_Run(self, await self._take(lane)))
        except (LaneLost, StoreConflict):
            return
        if again:
            await self._waker.wake(webhook_id, lane_id)

    async def wake_due(self) -> None:
        """Have every lane looked at whose time has come: tries that are due, and what somebody left. Raises as `deliver` does."""
        lanes = map(Lane.read, await self.store.query(webhooks.due_lanes(self.clock.now())))
        await asyncio.gather(*(self._waker.wake(lane.webhook, lane.id) for lane in lanes))

    async def wake_waiting(self, webhook_id: str) -> None:
        """The endpoint can be reached again: none of its lanes needs to wait any longer."""
        now = self.clock.now()
        for document in await self.store.query(webhooks.waiting_lanes(webhook_id, now)):
            lane = Lane.read(document)
            if lane.holder is not None:
                continue
            try:
                await self.store.commit([replace(lane, due_at=now).write()])
            except StoreConflict:
                continue
            # If nobody is woken now, the minute's round does it.
            with contextlib.suppress(WakeFailed):
                await self._waker.wake(webhook_id, lane.id)

    def jitter(self) -> float:
        """From 0 to 1, by chance."""
        return int.from_bytes(self._entropy(4), "big") / 2**32

    async def _take(self, lane: Lane) -> Lane:
        holder = self._entropy(8).hex()
        taken = replace(lane, holder=holder, due_at=self.clock.now() + timedelta(seconds=LEASE_S))
        [version] = await self.store.commit([taken.write()])
        return replace(taken, version=version)

    async def _work(self, run: _Run) -> bool:
        """True if more waits than one invocation takes."""
        until_s = self.clock.monotonic_s() + RUN_S_MAX
        while True:
            pending = await run.pending()
            if not pending and await run.let_go_empty():
                return False
            for delivery in pending:
                if self.clock.monotonic_s() >= until_s:
                    await run.let_go(self.clock.now())
                    return True
                match await run.turn(delivery):
                    case _Next.STOP:
                        return False
                    case _Next.AGAIN:
                        await asyncio.sleep(pause_s(1, 0.0))
                        break


class _Run:
    """One holder's time with one lane."""

    def __init__(self, deliverer: WebhookDeliverer, lane: Lane) -> None:
        self._deliverer = deliverer
        self._store = deliverer.store
        self._clock = deliverer.clock
        self._lane = lane
        self._death_told = False

    async def pending(self) -> list[Delivery]:
        found = await self._store.query(webhooks.pending_of_lane(self._lane.webhook, self._lane.id, PAGE))
        return [Delivery.read(document) for document in found]

    async def turn(self, delivery: Delivery) -> _Next:
        """Try one delivery, if its endpoint may be called now."""
        webhook = await self._webhook()
        if webhook is None:
            await self._store.commit([webhooks.remove_lane(self._lane)])
            return _Next.STOP
        now = self._clock.now()
        if not webhook.enabled:
            return await self._not_now(webhook, delivery, delivery.queued_at, now + timedelta(seconds=DISABLED_PAUSE_S))
        breaker = webhook.breaker
        if breaker.is_open:
            if breaker.rests_until is not None and breaker.is_resting(now):
                later = breaker.rests_until + timedelta(seconds=self._deliverer.jitter())
                return await self._not_now(webhook, delivery, breaker.opened_at, later)
            try:
                await self._store.commit([webhooks.changed_breaker(webhook, breaker.probing(now))])
            except StoreConflict:  # Somebody else probes, or the endpoint was changed.
                await self.let_go(now + timedelta(seconds=1 + self._deliverer.jitter()))
                return _Next.STOP
        answer = await self._deliverer.calling.call(webhook, delivery.event_id, delivery.body.encode())
        log.info(
            "%s: %s",
            *(delivery.event_id, answer.status or answer.error),
            extra=about(
                step="webhook",
                message_id=_message_of(delivery.body),
                session_id=delivery.session_id,
                event=delivery.type,
                event_id=delivery.event_id,
                webhook_id=webhook.id,
                status=answer.status,
                error=answer.error,
                took_ms=answer.duration_ms,
            ),
        )
        return await self._note(webhook, delivery, answer)

    async def let_go(self, due_at: datetime | None) -> None:
        """Others may take the lane from then on; None: when something is added to it."""
        await self._save([], due_at=due_at, holder=None)

    async def let_go_empty(self) -> bool:
        """False if something was added since the lane was read."""
        try:
            await self._store.commit([replace(self._lane, due_at=None, holder=None).write()])
        except StoreConflict:
            await self._read_again()
            return False
        return True

    async def _webhook(self) -> Webhook | None:
        document = await self._store.get(webhooks.webhook_path(self._lane.webhook))
        return Webhook.read(document) if document is not None else None

    async def _not_now(self, webhook: Webhook, delivery: Delivery, since: datetime | None, later: datetime) -> _Next:
        """Its endpoint may not be called before `later`, and could not be since `since`."""
        now = self._clock.now()
        if is_given_up(delivery.queued_at, since, now):
            await self._bury(webhook, delivery, webhooks.given_up(delivery, now))
            return _Next.GO_ON
        await self.let_go(later)
        return _Next.STOP

    async def _bury(self, webhook: Webhook, delivery: Delivery, dead: Write, **changes: Any) -> None:
        """The delivery is given up. That is an event: once for each run, for many lanes of an endpoint write the same one."""
        tells = not self._death_told and _concerns_its_user(webhook, delivery)
        event = [monitoring.webhook_dead_letter(webhook.tenant, webhook.id, self._clock.now())] if tells else []
        await self._save([dead, *event], **changes)
        self._death_told = self._death_told or tells

    async def _note(self, webhook: Webhook, delivery: Delivery, answer: Answer) -> _Next:
        now = self._clock.now()
        attempt = {"at": now, "status": answer.status, "error": answer.error, "duration_ms": answer.duration_ms}
        verdict = judge(answer.status)
        if verdict is Verdict.DELIVERED:
            noted = webhooks.tried(delivery, attempt, DeliveryState.DELIVERED, now)
            await self._save([noted], failures=0, failing_since=None)
            await self._reached(webhook)
            return _Next.GO_ON
        lane = self._lane
        since = min(lane.failing_since or now, webhook.breaker.opened_at or now)
        failed: dict[str, Any] = {"failures": lane.failures + 1, "failing_since": lane.failing_since or now}
        await self._missed(webhook, verdict)
        if is_given_up(delivery.queued_at, since, now):
            await self._bury(webhook, delivery, webhooks.tried(delivery, attempt, DeliveryState.DEAD, now), **failed)
            return _Next.GO_ON
        noted = webhooks.tried(delivery, attempt, DeliveryState.PENDING, now)
        if lane.failures == 0 and verdict is Verdict.FAILED and not answer.retry_after_s:
            await self._save([noted], **failed)
            return _Next.AGAIN
        wait_s = pause_s(lane.failures + 1, self._deliverer.jitter(), answer.retry_after_s)
        await self._save([noted], **failed, due_at=now + timedelta(seconds=wait_s), holder=None)
        return _Next.STOP

    async def _reached(self, webhook: Webhook) -> None:
        if not webhook.breaker.failures or not await self._change(
            webhook.id, lambda one: {"breaker": asdict(Breaker())}
        ):
            return
        if webhook.breaker.is_open:
            log.info("the webhook %s can be reached again", webhook.id)
            await self._deliverer.wake_waiting(webhook.id)

    async def _missed(self, webhook: Webhook, verdict: Verdict) -> None:
        if verdict is Verdict.GONE:
            log.warning("the receiver of the webhook %s has gone: it is switched off", webhook.id)
            await self._change(webhook.id, lambda one: {"enabled": False, "disabled_because": "gone"})
            return
        now, jitter, opens = self._clock.now(), self._deliverer.jitter(), False

        def failed(one: Webhook) -> dict[str, Any]:
            nonlocal opens
            breaker = one.breaker.failed(now, jitter)
            opens = breaker.is_open and not one.breaker.is_open
            return {"breaker": asdict(breaker)}

        if await self._change(webhook.id, failed) and opens:
            log.warning("the webhook %s failed %d times in a row and rests", webhook.id, FAILURES_BEFORE_REST)

    async def _change(self, webhook_id: str, change: Callable[[Webhook], dict[str, Any]]) -> bool:
        """Of what many holders write: whoever loses every time leaves it to the others."""
        for _ in range(ENDPOINT_TRIES_MAX):
            webhook = await self._webhook()
            if webhook is None:
                return False
            with contextlib.suppress(StoreConflict):
                await self._store.commit([webhooks.changed_webhook(webhook, change(webhook))])
                return True
        return False

    async def _save(self, writes: Sequence[Write], **changes: Any) -> None:
        """Write these with the lane, which stays ours for as long again unless `changes` say otherwise. Raises LaneLost."""
        for _ in range(CONFLICTS_MAX):
            renewed = {"due_at": self._clock.now() + timedelta(seconds=LEASE_S)}
            lane = replace(self._lane, **(renewed | changes))
            try:
                *_, version = await self._store.commit([*writes, lane.write()])
            except StoreConflict:
                await self._read_again()
                continue
            self._lane = replace(lane, version=version)
            return
        raise LaneLost

    async def _read_again(self) -> None:
        """Somebody has changed the lane: added to it, or taken it. Raises LaneLost for the latter."""
        document = await self._store.get(webhooks.lane_path(self._lane.webhook, self._lane.id))
        lane = Lane.read(document) if document is not None else None
        if lane is None or lane.holder != self._lane.holder:
            raise LaneLost
        self._lane = lane


def _concerns_its_user(webhook: Webhook, delivery: Delivery) -> bool:
    """Whether its user is to be told that this delivery was given up.

    Not of an endpoint that they have switched off themselves; nor of a notice of an alert, which would make the next alert.
    """
    wanted = webhook.enabled or webhook.disabled_because is not None
    return wanted and delivery.type not in (ALERT_OPENED, ALERT_CLOSED)


def _message_of(body: str) -> str | None:
    """The message that an event is about, for the log."""
    data = json.loads(body)["data"]
    return data.get("message_id") if isinstance(data, dict) else None
