"""Telling channels of alerts: each notice once per channel, again after a failure, and several at once as one message.

Before a channel is told, that is written into the alert with a time limit: of two rounds at the same time one tells, and one
that dies in the middle leaves the notice to a later round. So a notice can come twice, and never not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from keepline.domain.alerts import Alert, Notice, due, telling, was_not_told, was_told, words
from keepline.domain.errors import Unavailable
from keepline.domain.events import EventKind
from keepline.domain.quiet_hours import QuietHours
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.notifying import Notifier, Telling
from keepline.ports.telling import Letter
from keepline.ports.webhook_calls import WakeFailed
from keepline.records import alerts, monitoring, webhooks
from keepline.records.alerts import TOLD_FOR, Channel, KeptAlert
from keepline.records.webhooks import Webhook
from keepline.usecases.channel_sealing import AddressUnreadable, ChannelSealer
from keepline.usecases.webhook_feeding import WebhookFeeder

AT_ONCE_MAX = 4
SAVING_TRIES_MAX = 10
# More than these in one message nobody reads; the next round tells the rest.
GATHERED_MAX = 20

AlertRendering = Callable[[Alert], Mapping[str, object]]
"""How the API writes an alert: webhooks are told the same."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Due:
    alert: Alert
    notice: Notice


class AlertTeller:
    """Lives in one event loop."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        notifier: Notifier,
        sealer: ChannelSealer,
        feeder: WebhookFeeder,
        rendering: AlertRendering,
    ) -> None:
        self._store = store
        self._clock = clock
        self._notifier = notifier
        self._sealer = sealer
        self._feeder = feeder
        self._rendering = rendering
        self._at_once = asyncio.Semaphore(AT_ONCE_MAX)

    async def tell_all(self, channels: Sequence[Channel], quiet: Mapping[str | None, QuietHours | None]) -> None:
        """Tell every channel what is due there. Raises StoreUnavailable; then a later round tells it."""
        if not channels:
            return
        now = self._clock.now()
        opened, closed = await asyncio.gather(
            self._store.query(alerts.open_alerts()), self._store.query(alerts.closed_since(now - TOLD_FOR))
        )
        found = [KeptAlert.read(document).alert for document in (*opened, *closed)]
        results = await asyncio.gather(
            *(self._tell_channel(channel, found, quiet.get(channel.tenant), now) for channel in channels),
            return_exceptions=True,
        )
        for failed in results:
            if isinstance(failed, BaseException):
                raise failed

    async def test(self, channel: Channel) -> Telling:
        """Tell a channel that it is being tried out, now. Of a webhook only whether it is there: it has a test of its own."""
        if channel.webhook is not None:
            webhook = await self._webhook(channel)
            return Telling(None if webhook is not None else "webhook_gone", 0)
        told = await self._to_address(channel, "Test of Keepline", f"The channel {channel.name} works.")
        await self._note(channel, told, self._clock.now())
        return told

    async def tell_letter(self, channel: Channel, letter: Letter) -> Telling:
        """Send a letter to a channel that has an address, now."""
        told = await self._to_address(channel, letter.subject, letter.text, letter.html)
        await self._note(channel, told, self._clock.now())
        return told

    async def _tell_channel(
        self, channel: Channel, found: Sequence[Alert], quiet: QuietHours | None, now: datetime
    ) -> None:
        theirs = [alert for alert in found if alert.condition.tenant == channel.tenant]
        ids = [alert.id for alert in theirs if due(alert, channel.id, channel.least, channel.created_at, quiet, now)]
        if not ids:
            return
        async with self._at_once:
            claimed = [await self._claim(alert, channel, quiet) for alert in sorted(ids)[:GATHERED_MAX]]
            notices = [one for one in claimed if one is not None]
            if not notices:
                return
            told = await self._deliver(channel, notices)
            at = self._clock.now()
            for one in notices:
                if told.error is None:
                    await self._save(one.alert.id, partial(was_told, channel=channel.id, notice=one.notice, now=at))
                else:
                    await self._save(one.alert.id, partial(was_not_told, channel=channel.id, now=at))
            await self._note(channel, told, at)

    async def _claim(self, alert: str, channel: Channel, quiet: QuietHours | None) -> _Due | None:
        """The notice that is ours to tell, if it is still due."""
        now = self._clock.now()
        for _ in range(SAVING_TRIES_MAX):
            document = await self._store.get(alerts.alert_path(alert))
            if document is None:
                return None
            kept = KeptAlert.read(document)
            notice = due(kept.alert, channel.id, channel.least, channel.created_at, quiet, now)
            if notice is None:
                return None
            with contextlib.suppress(StoreConflict):
                await self._store.commit([alerts.changed_alert(telling(kept.alert, channel.id, now), kept.version)])
                return _Due(kept.alert, notice)
        return None

    async def _save(self, alert: str, change: Callable[[Alert], Alert]) -> None:
        for _ in range(SAVING_TRIES_MAX):
            document = await self._store.get(alerts.alert_path(alert))
            if document is None:
                return
            kept = KeptAlert.read(document)
            with contextlib.suppress(StoreConflict):
                await self._store.commit([alerts.changed_alert(change(kept.alert), kept.version)])
                return
        log.warning("it could not be written down what a channel was told of %s: it may be told again", alert)

    async def _deliver(self, channel: Channel, notices: Sequence[_Due]) -> Telling:
        if channel.webhook is not None:
            return await self._to_webhook(channel, notices)
        told = [words(one.alert, one.notice) for one in notices]
        if len(told) == 1:
            [(title, text)] = told
        else:
            title = f"{len(told)} alerts of Keepline"
            text = "\n\n".join(f"{one}\n{of_it}" for one, of_it in told)
        return await self._to_address(channel, title, text)

    async def _to_address(self, channel: Channel, title: str, text: str, html: str | None = None) -> Telling:
        assert channel.sealed is not None, "a channel has an address or a webhook"
        try:
            url = await self._sealer.open(channel.owner, channel.id, channel.sealed)
        except AddressUnreadable:
            return Telling("address_unreadable", 0)
        except Unavailable as error:
            return Telling(error.code, 0)
        return await self._notifier.tell(url, title, text, html)

    async def _to_webhook(self, channel: Channel, notices: Sequence[_Due]) -> Telling:
        webhook = await self._webhook(channel)
        if webhook is None:
            return Telling("webhook_gone", 0)
        for one in notices:
            if one.notice is Notice.REMINDER:
                continue  # A program forgets nothing.
            try:
                await self._feeder.tell_alert(webhook, one.alert, one.notice, self._rendering(one.alert))
            except (WakeFailed, StoreUnavailable):
                return Telling("store_unavailable", 0)
        return Telling(None, 0)

    async def _webhook(self, channel: Channel) -> Webhook | None:
        document = await self._store.get(webhooks.webhook_path(str(channel.webhook)))
        if document is None:
            return None
        found = Webhook.read(document)
        return found if found.tenant == channel.owner and found.enabled else None

    async def _note(self, channel: Channel, told: Telling, now: datetime) -> None:
        """How the channel fares; a failure is an event, and an alert when it goes on."""
        with contextlib.suppress(StoreConflict):  # It was deleted meanwhile.
            if told.error is None:
                await self._store.commit([alerts.channel_told(channel, now)])
                return
            log.warning("the channel of alerts %s could not be told: %s", channel.id, told.error)
            event = monitoring.event(
                EventKind.NOTIFIER_FAILED,
                f"{channel.id} {channel.failing_since or now} {channel.failures}",
                at=now,
                subject=channel.id,
                tenant=channel.tenant,
                details={"name": channel.name, "code": told.error},
            )
            await self._store.commit([alerts.channel_failed(channel, told.error, now), event])
