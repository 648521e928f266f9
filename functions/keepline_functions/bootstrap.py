"""Wiring: the one place where settings, clients, use cases and the Flask app are put together, once per process."""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path

from keepline.adapters.apprise_notifier import AppriseNotifier
from keepline.adapters.ffmpeg import find_ffmpeg
from keepline.adapters.firestore import FirestoreDocuments
from keepline.adapters.key_file import LocalKeyFile
from keepline.adapters.media_settings import open_media_store
from keepline.adapters.pubsub_waker import PubSubWaker
from keepline.adapters.recovery_webhook import WebhookRestarter
from keepline.adapters.system_clock import SystemClock
from keepline.adapters.tracing import is_traced, start_tracing
from keepline.adapters.uptime_http import HttpProbe
from keepline.adapters.url_fetching import HttpFetcher
from keepline.adapters.webhook_http import HttpWebhookCaller
from keepline.domain.recovery_settings import CLOUD_RUN, OFF, WEBHOOK, InstallationRecovery
from keepline.ports.clock import Clock
from keepline.ports.keys import KeyWrapper
from keepline.ports.recovery import Restarter
from keepline.ports.webhook_calls import WebhookCaller
from keepline.usecases.media import Shelf
from keepline_functions.assembling import Outside, Process, assemble
from keepline_functions.firebase_tokens import FirebaseTokens
from keepline_functions.logs import LOGGERS, write_json_lines
from keepline_functions.loop import BackgroundLoop
from keepline_functions.settings import Settings, read_settings

_CONNECT_TIMEOUT_S = 10.0


_lock = threading.Lock()
_process: Process | None = None


def bootstrap() -> Process:
    """The process's parts, made at the first call. Raises SettingsError; a failure is not remembered."""
    global _process
    with _lock:
        if _process is None:
            _process = _start()
        return _process


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
    outside = Outside(
        loop=loop,
        store=store,
        clock=clock,
        verify_token=tokens,
        entropy=secrets.token_bytes,
        keys=_wrapping_keys(settings.kms_key, settings.key_file),
        webhook_keys=_wrapping_keys(settings.webhook_kms_key, settings.key_file),
        caller=caller,
        waker=PubSubWaker(settings.project),
        our_probe=HttpProbe(private_allowed=True),
        probe=HttpProbe(private_allowed=settings.private_addresses),
        notifier=AppriseNotifier(private_allowed=settings.private_addresses),
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
    return assemble(outside)


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
