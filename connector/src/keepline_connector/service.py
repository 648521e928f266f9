"""What a connector's process runs: wiring, the health page, and an end within 10 s that settles what is in flight."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from contextlib import suppress
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from keepline.adapters.firestore import FirestoreDocuments
from keepline.adapters.key_file import LocalKeyFile
from keepline.adapters.media_settings import open_media_store
from keepline.adapters.system_clock import SystemClock
from keepline.ports.documents import DocumentStore
from keepline.records.accounts import Account
from keepline.records.connectors import Beater
from keepline.usecases.connecting import Connector, NameTaken
from keepline.usecases.leasing import LeaseKeeper
from keepline.usecases.session_keeping import SessionKeeper
from keepline_connector.cell_link import CellLink
from keepline_connector.cell_process import CellProcess
from keepline_connector.cells import CellPool
from keepline_connector.client_build import client_built_at
from keepline_connector.health import HealthServer, health_app
from keepline_connector.lease_thread import LeaseThread
from keepline_connector.left_journals import FolderLeftJournals
from keepline_connector.media_files import MediaFiles
from keepline_connector.metrics import ConnectorMetrics
from keepline_connector.recycling import Recycler
from keepline_connector.session_file import SqliteSessionFile
from keepline_connector.settings import Settings

if TYPE_CHECKING:
    from keepline.adapters.kms_keys import KmsKeys

# Below the 10 s that Cloud Run grants between SIGTERM and SIGKILL.
_STOP_TIMEOUT_S = 9.0

__all__ = ["NameTaken", "run"]

log = logging.getLogger(__name__)


async def run(settings: Settings, cell_module: str, first_cell: CellProcess) -> None:
    """Run until SIGTERM or SIGINT, or until something breaks that should not. Raises NameTaken (in a group)."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)

    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = FirestoreDocuments(settings.project)
    clock = SystemClock()
    pool = CellPool(cell_module, first_cell, settings.devices_per_cell_max, SystemRandom())
    keys = _wrapping_keys(settings)
    media = MediaFiles(
        open_media_store(settings.media, settings.project), clock, settings.media.kept_for, settings.data_dir / "media"
    )

    def open_link(account: str, slot: str) -> CellLink:
        device = f"{account}_{slot}"
        return CellLink(
            *(pool, device, settings.data_dir / device, settings.upstream_proxy, media, metrics.links),
            private_proxies=settings.private_proxies,
        )

    def keep_session(account: Account, slot: str) -> SessionKeeper:
        return SessionKeeper(
            store,
            clock,
            keys,
            SqliteSessionFile(settings.data_dir / f"{account.id}_{slot}"),
            os.urandom,
            account=account.id,
            tenant=account.tenant,
            slot=slot,
            holder=settings.connector,
            policy=settings.restore_policy,
        )

    def keep_lease(own_store: DocumentStore) -> LeaseKeeper:
        process = secrets.token_hex(8)
        beater = Beater(
            settings.connector,
            settings.region,
            process,
            settings.profile.ttl_s,
            settings.devices_max,
            clock.now(),
            client_built_at(),
        )
        return LeaseKeeper(own_store, clock, beater, settings.profile, pool.renew)

    lease = LeaseThread(settings.project, keep_lease)
    connector = Connector(
        store,
        clock,
        SystemRandom(),
        open_link,
        keep_session,
        settings.connector,
        settings.region,
        settings.devices_max,
        lease,
        settings.profile,
        keys,
        FolderLeftJournals(settings.data_dir),
    )

    async def step_aside(device: str) -> None:
        account, _, slot = device.rpartition("_")
        await connector.step_aside(account, slot)

    recycler = Recycler(pool, settings.recycle, step_aside)

    def snapshot() -> dict[str, Any]:
        return {
            "connector": settings.connector,
            "region": settings.region,
            "devices": connector.devices,
            "devices_max": settings.devices_max,
            "draining": connector.draining,
            "sessions_opened": connector.sessions_opened,
            "cells": recycler.report(),
            "cells_recycled": recycler.recycled,
            "egress": pool.egress.as_json(),
            "store": {"commits": store.commits, "documents": store.documents},
            "last_beat_s": connector.last_beat_s,
            "hangs": lease.hangs,
        }

    metrics = ConnectorMetrics(snapshot)
    health = HealthServer(health_app(snapshot, metrics.text), settings.health_port)
    health.start()
    await pool.start()
    running = asyncio.create_task(connector.run())
    running.add_done_callback(lambda _: stopping.set())
    recycling = asyncio.create_task(recycler.run(), name="recycler")
    watching = asyncio.create_task(metrics.watch_loop(), name="loop lag")
    log.info("connector %s is up, health on port %d", settings.connector, health.port)
    try:
        await stopping.wait()
    finally:
        log.info("connector %s stops", settings.connector)
        recycling.cancel()
        watching.cancel()
        running.cancel()
        try:
            with suppress(asyncio.CancelledError, TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await running
        finally:
            await pool.stop()
            lease.close()
            health.stop()
            await store.close()
            if not isinstance(keys, LocalKeyFile):
                await keys.close()


def _wrapping_keys(settings: Settings) -> KmsKeys | LocalKeyFile:
    """What wraps the data keys of the stored sessions."""
    if settings.kms_key is not None:
        from keepline.adapters.kms_keys import KmsKeys  # Its client takes a while to load.

        return KmsKeys(settings.kms_key)
    assert settings.key_file is not None, "the settings have one of the two"
    return LocalKeyFile(settings.key_file)
