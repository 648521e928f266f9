"""Wiring: the one place where settings, clients, use cases and the Flask app are put together, once per process."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from flask import Flask

from keepline.adapters.apprise_notifier import AppriseNotifier
from keepline.adapters.ffmpeg import find_ffmpeg
from keepline.adapters.firestore import FirestoreDocuments
from keepline.adapters.key_file import LocalKeyFile
from keepline.adapters.media_folder import MediaFolder
from keepline.adapters.media_settings import open_media_store
from keepline.adapters.pubsub_waker import PubSubWaker
from keepline.adapters.recovery_webhook import WebhookRestarter
from keepline.adapters.system_clock import SystemClock
from keepline.adapters.tracing import is_traced, start_tracing
from keepline.adapters.uptime_http import HttpProbe
from keepline.adapters.url_fetching import HttpFetcher
from keepline.adapters.webhook_http import HttpWebhookCaller
from keepline.domain.pool_limits import DEFAULT_LIMITS, PoolLimits
from keepline.domain.recovery_settings import CLOUD_RUN, NOBODY_RESTARTS, OFF, WEBHOOK, InstallationRecovery
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
from keepline.usecases.api_keys import ApiKeys
from keepline.usecases.asking_to_reconnect import ReconnectRequests
from keepline.usecases.channel_sealing import ChannelSealer
from keepline.usecases.chats import Chats
from keepline.usecases.commanding import Commands
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
from keepline_functions.firebase_tokens import FirebaseTokens
from keepline_functions.logs import LOGGERS, write_json_lines
from keepline_functions.loop import BackgroundLoop
from keepline_functions.metrics import Metrics
from keepline_functions.report_mail import write_letter
from keepline_functions.services import Services
from keepline_functions.settings import Settings, read_settings
from keepline_functions.store_health import StoreHealth
from keepline_functions.views import message_json, rfc3339

_CONNECT_TIMEOUT_S = 10.0


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


_lock = threading.Lock()
_process: Process | None = None


def bootstrap() -> Process:
    """The process's parts, made at the first call. Raises SettingsError; a failure is not remembered."""
    global _process
    with _lock:
        if _process is None:
            _process = _start()
        return _process


def assemble(
    loop: BackgroundLoop,
    store: DocumentStore,
    clock: Clock,
    verify_token: VerifyToken,
    entropy: Entropy,
    keys: KeyWrapper | None,
    webhook_keys: KeyWrapper | None,
    caller: WebhookCaller,
    waker: DeliveryWaker,
    our_probe: Probe,
    probe: Probe,
    notifier: Notifier,
    *,
    private_addresses: bool,
    api_url: str | None = None,
    limits: PoolLimits = DEFAULT_LIMITS,
    metrics_token: str | None = None,
    verify_app: VerifyApp | None = None,
    shelf: Shelf | None = None,
    traced: bool = False,
    restarters: Mapping[str, Restarter] = MappingProxyType({}),
    recovery: InstallationRecovery = NOBODY_RESTARTS,
) -> Process:
    """Put the parts together, whatever keeps the ports."""
    limiter = Limiter(store, clock)
    media = MediaDesk(store, clock, entropy, limiter, shelf)
    commands = Commands(store, clock, entropy, limiter)
    sealer = ProxySealer(keys, entropy, private_allowed=private_addresses)
    webhook_sealer = WebhookSealer(webhook_keys, entropy)
    target_headers = HeaderSealer(webhook_sealer)
    calling = Calling(caller, webhook_sealer, clock)
    deliverer = WebhookDeliverer(store, clock, entropy, calling, waker)
    rendering = Rendering(message_json, rfc3339)
    feeder = WebhookFeeder(store, clock, waker, rendering)
    channel_sealer = ChannelSealer(webhook_keys, entropy)
    teller = AlertTeller(store, clock, notifier, channel_sealer, feeder, alert_json)
    sessions = Sessions(store, clock, entropy, sealer, limiter, limits)
    services = Services(
        loop=loop,
        store=store,
        access=Access(store, clock, verify_token, verify_app),
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
            waker,
            rendering,
            private_allowed=private_addresses,
        ),
        live_events=LiveEvents(store, clock, entropy),
        event_log=EventLog(store),
        alerts=Alerts(store, clock, entropy, channel_sealer, notifier, teller, private_allowed=private_addresses),
        diagnosing=Diagnosing(store, clock, sessions, limiter, limits),
        reconnect_requests=ReconnectRequests(store, limiter),
        reports=Reports(store, clock),
        fleet=Fleet(store, clock),
        uptime=UptimeTargets(store, clock, entropy, target_headers, private_allowed=private_addresses),
        store_health=StoreHealth(loop, store, clock),
        metrics=Metrics(),
        metrics_token=metrics_token,
        traced=traced,
    )
    media_round = MediaRound(store, clock, shelf.store) if shelf is not None else None
    reporting = Reporting(store, clock, ChannelLetters(store, teller), write_letter)
    recoverer = Recoverer(store, clock, entropy, restarters, recovery.of)
    monitor = UptimeMonitor(store, clock, entropy, our_probe, probe, target_headers, api_url, recoverer.react)
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


def _start() -> Process:
    settings = read_settings(os.environ)
    write_json_lines(settings.project)
    traced = is_traced(os.environ)
    if traced:
        start_tracing("keepline-functions", LOGGERS)
    loop = BackgroundLoop()
    try:
        store = loop.run(_open_store(settings.project), _CONNECT_TIMEOUT_S)
    except BaseException:
        loop.stop()
        raise
    tokens = FirebaseTokens(settings.project)
    clock = SystemClock()
    caller = HttpWebhookCaller(private_allowed=settings.private_addresses)
    return assemble(
        loop,
        store,
        clock,
        tokens,
        secrets.token_bytes,
        _wrapping_keys(settings.kms_key, settings.key_file),
        _wrapping_keys(settings.webhook_kms_key, settings.key_file),
        caller,
        PubSubWaker(settings.project),
        HttpProbe(private_allowed=True),  # Where our own API is, its operator has said.
        HttpProbe(private_allowed=settings.private_addresses),
        AppriseNotifier(private_allowed=settings.private_addresses),
        private_addresses=settings.private_addresses,
        api_url=settings.api_url,
        limits=settings.limits,
        metrics_token=settings.metrics_token,
        verify_app=tokens.check_app if settings.app_check else None,
        shelf=_shelf(settings),
        traced=traced,
        restarters=_restarters(settings, caller, clock),
        recovery=InstallationRecovery(settings.recovery, settings.project),
    )


def _restarters(settings: Settings, caller: WebhookCaller, clock: Clock) -> dict[str, Restarter]:
    """None where `off` says that this process restarts nothing."""
    found: dict[str, Restarter] = {}
    if settings.recovery == OFF:
        return found
    if settings.recovery_secret is not None:
        found[WEBHOOK] = WebhookRestarter(caller, settings.recovery_secret, clock)
    if settings.in_cloud:
        from keepline.adapters.cloud_run import CloudRunRestarter  # Its clients take a while to load.

        found[CLOUD_RUN] = CloudRunRestarter()
    return found


def _wrapping_keys(kms_key: str | None, key_file: Path | None) -> KeyWrapper | None:
    if kms_key is not None:
        from keepline.adapters.kms_keys import KmsKeys  # Its client takes a while to load.

        return KmsKeys(kms_key)
    return LocalKeyFile(key_file) if key_file is not None else None


def _shelf(settings: Settings) -> Shelf | None:
    store = open_media_store(settings.media, settings.project)
    return Shelf(store, HttpFetcher(), find_ffmpeg(), settings.media.kept_for) if store is not None else None


async def _open_store(project: str) -> FirestoreDocuments:
    # gRPC's asyncio channels belong to the loop in which they are made.
    return FirestoreDocuments(project)
