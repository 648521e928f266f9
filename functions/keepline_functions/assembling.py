"""How the parts of a process are put together out of what they are given. bootstrap.py gives what a real process has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import Flask

from keepline.adapters.media_folder import MediaFolder
from keepline.domain.pool_limits import DEFAULT_LIMITS, PoolLimits
from keepline.domain.recovery_settings import NOBODY_RESTARTS, InstallationRecovery
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore
from keepline.ports.keys import KeyWrapper
from keepline.ports.notifying import Notifier
from keepline.ports.recovery import Restarter
from keepline.ports.uptime_probes import Probe
from keepline.ports.webhook_calls import DeliveryWaker, WebhookCaller
from keepline.usecases.access import Access, VerifyApp, VerifyToken
from keepline.usecases.alert_telling import AlertTeller
from keepline.usecases.alerting import AlertRound
from keepline.usecases.alerts import Alerts, EventLog
from keepline.usecases.allowances import Allowances
from keepline.usecases.api_keys import ApiKeys
from keepline.usecases.asking_to_reconnect import ReconnectRequests
from keepline.usecases.channel_sealing import ChannelSealer
from keepline.usecases.chats import Chats
from keepline.usecases.commanding import Commands
from keepline.usecases.connector_list import ConnectorList
from keepline.usecases.contacts import Contacts
from keepline.usecases.diagnosing import Diagnosing
from keepline.usecases.fleet import Fleet
from keepline.usecases.groups import Groups
from keepline.usecases.letter_telling import ChannelLetters
from keepline.usecases.limiting import Limiter
from keepline.usecases.linking import Linking
from keepline.usecases.live_events import LiveEvents
from keepline.usecases.media import MediaDesk, MediaRound, Shelf
from keepline.usecases.message_lists import MessageLists
from keepline.usecases.messages import Messages
from keepline.usecases.monitoring import MinuteRound
from keepline.usecases.pairing_codes import PairingCodes
from keepline.usecases.proxy_sealing import ProxySealer
from keepline.usecases.recovering import Recoverer
from keepline.usecases.report_reading import Reports
from keepline.usecases.reporting import Reporting
from keepline.usecases.session_settings import SessionSettings
from keepline.usecases.sessions import Entropy, Sessions
from keepline.usecases.uptime import UptimeMonitor
from keepline.usecases.uptime_headers import HeaderSealer
from keepline.usecases.uptime_targets import UptimeTargets
from keepline.usecases.webhook_delivering import Calling, WebhookDeliverer
from keepline.usecases.webhook_events import Rendering
from keepline.usecases.webhook_feeding import WebhookFeeder
from keepline.usecases.webhook_sealing import WebhookSealer
from keepline.usecases.webhooks import Webhooks
from keepline_functions.alert_views import alert_json
from keepline_functions.app import create_app
from keepline_functions.loop import BackgroundLoop
from keepline_functions.metrics import Metrics
from keepline_functions.report_mail import write_letter
from keepline_functions.services import Services
from keepline_functions.store_health import StoreHealth
from keepline_functions.views import message_json, rfc3339

_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Outside:
    """All that the parts are given: clients behind ports, settings. `our_probe` asks where operators say, `probe` anywhere."""

    loop: BackgroundLoop
    store: DocumentStore
    clock: Clock
    verify_token: VerifyToken
    entropy: Entropy
    keys: KeyWrapper | None
    webhook_keys: KeyWrapper | None
    caller: WebhookCaller
    waker: DeliveryWaker
    our_probe: Probe
    probe: Probe
    notifier: Notifier
    private_addresses: bool
    api_url: str | None = None
    limits: PoolLimits = DEFAULT_LIMITS
    metrics_token: str | None = field(default=None, repr=False)
    verify_app: VerifyApp | None = None
    shelf: Shelf | None = None
    traced: bool = False
    restarters: Mapping[str, Restarter] = field(default_factory=dict)
    recovery: InstallationRecovery = NOBODY_RESTARTS


@dataclass(frozen=True)
class Process:
    """Everything that a process of this deployable has."""

    app: Flask
    services: Services
    minute_round: MinuteRound
    alert_round: AlertRound
    feeder: WebhookFeeder
    deliverer: WebhookDeliverer
    media_round: MediaRound | None
    reporting: Reporting
    uptime_monitor: UptimeMonitor
    recoverer: Recoverer


def assemble(outside: Outside) -> Process:
    """Put the parts together, whatever keeps the ports."""
    store, clock, entropy, shelf = outside.store, outside.clock, outside.entropy, outside.shelf
    private_allowed = outside.private_addresses
    limiter = Limiter(store, clock)
    media = MediaDesk(store, clock, entropy, limiter, shelf)
    commands = Commands(store, clock, entropy, limiter)
    sealer = ProxySealer(outside.keys, entropy, private_allowed=private_allowed)
    webhook_sealer = WebhookSealer(outside.webhook_keys, entropy)
    target_headers = HeaderSealer(webhook_sealer)
    calling = Calling(outside.caller, webhook_sealer, clock)
    deliverer = WebhookDeliverer(store, clock, entropy, calling, outside.waker)
    rendering = Rendering(message_json, rfc3339)
    feeder = WebhookFeeder(store, clock, outside.waker, rendering)
    channel_sealer = ChannelSealer(outside.webhook_keys, entropy)
    teller = AlertTeller(store, clock, outside.notifier, channel_sealer, feeder, alert_json)
    sessions = Sessions(store, clock, entropy, sealer, limiter, outside.limits)
    services = Services(
        loop=outside.loop,
        store=store,
        access=Access(store, clock, outside.verify_token, outside.verify_app),
        api_keys=ApiKeys(store, entropy),
        sessions=sessions,
        session_settings=SessionSettings(store, sealer),
        linking=Linking(store, clock, limiter),
        pairing_codes=PairingCodes(store, clock, limiter),
        messages=Messages(store, clock, entropy, limiter, media),
        media=media,
        media_folder=shelf.store if shelf is not None and isinstance(shelf.store, MediaFolder) else None,
        message_lists=MessageLists(store, clock),
        chats=Chats(store, commands),
        groups=Groups(commands),
        contacts=Contacts(store, clock, commands),
        webhooks=Webhooks(
            store,
            clock,
            entropy,
            webhook_sealer,
            calling,
            deliverer,
            outside.waker,
            rendering,
            private_allowed=private_allowed,
        ),
        live_events=LiveEvents(store, clock, entropy),
        event_log=EventLog(store),
        alerts=Alerts(store, clock, entropy, channel_sealer, outside.notifier, teller, private_allowed=private_allowed),
        diagnosing=Diagnosing(store, clock, sessions, limiter, outside.limits),
        allowances=Allowances(store, limiter, outside.limits),
        connector_list=ConnectorList(store, clock),
        reconnect_requests=ReconnectRequests(store, limiter),
        reports=Reports(store, clock),
        fleet=Fleet(store, clock),
        uptime=UptimeTargets(store, clock, entropy, target_headers, private_allowed=private_allowed),
        store_health=StoreHealth(outside.loop, store, clock),
        metrics=Metrics(),
        metrics_token=outside.metrics_token,
        traced=outside.traced,
    )
    media_round = MediaRound(store, clock, shelf.store) if shelf is not None else None
    reporting = Reporting(store, clock, ChannelLetters(store, teller), write_letter)
    recoverer = Recoverer(store, clock, entropy, outside.restarters, outside.recovery.of)
    monitor = UptimeMonitor(
        store, clock, entropy, outside.our_probe, outside.probe, target_headers, outside.api_url, recoverer.react
    )
    return Process(
        app=create_app(services),
        services=services,
        minute_round=MinuteRound(store, clock),
        alert_round=AlertRound(store, clock, teller),
        feeder=feeder,
        deliverer=deliverer,
        media_round=media_round,
        reporting=reporting,
        uptime_monitor=monitor,
        recoverer=recoverer,
    )
