"""What alerts ask of their store, on the fake and on Firestore alike: opened once by rounds beside each other, told once."""

from __future__ import annotations

import asyncio
import os

from keepline.adapters.system_clock import SystemClock
from keepline.domain.alerts import AlertState
from keepline.domain.events import EventKind, Severity
from keepline.domain.session import SessionState, SessionStatus
from keepline.ports.documents import DocumentStore
from keepline.records import accounts, monitoring
from keepline.testing.keys import MemoryKeys
from keepline.testing.notifying import MemoryNotifier
from keepline.testing.webhook_calls import MemoryWaker
from keepline.usecases.alert_telling import AlertTeller
from keepline.usecases.alerting import AlertRound
from keepline.usecases.alerts import Alerts, WantedChannel
from keepline.usecases.channel_sealing import ChannelSealer
from keepline.usecases.webhook_events import Rendering
from keepline.usecases.webhook_feeding import WebhookFeeder

CLOCK = SystemClock()


async def test_an_alert_is_opened_and_told_once_by_rounds_beside_each_other(store: DocumentStore) -> None:
    notifier, sealer = MemoryNotifier(), ChannelSealer(MemoryKeys(), os.urandom)
    feeder = WebhookFeeder(store, CLOCK, MemoryWaker(), Rendering(lambda _: {}, str))
    teller = AlertTeller(store, CLOCK, notifier, sealer, feeder, lambda _: {})
    desk = Alerts(store, CLOCK, os.urandom, sealer, notifier, teller, private_allowed=False)
    banned = SessionStatus(SessionState.BANNED, "banned")
    await store.commit(
        accounts.new_account(account="demo_shop", tenant="demo", session_id="shop", tag_key=b"k", status=banned)
    )
    await desk.add_channel("demo", "demo", WantedChannel("mail", "mailto://me@a.example", None, Severity.INFO))
    await asyncio.gather(*(AlertRound(store, CLOCK, teller).make() for _ in range(4)))
    [alert], rest = await desk.of_owner("demo", AlertState.OPEN, None, 10)
    assert rest is None
    assert len(notifier.told) == 1
    shown = await desk.acknowledge("demo", alert.id, "demo")
    assert (shown.acknowledged_by, [one.opened_at is not None for one in shown.told.values()]) == ("demo", [True])
    events = await store.query(monitoring.newest_events("demo", None, EventKind.ALERT_OPENED, None, None, 10))
    assert len(events) == 1
    assert await desk.of_owner(None, None, None, 10) == ([], None)
    assert (await desk.settings(None)).quiet_hours is None
