"""The connector's process: settings, wiring, signals. SIGTERM settles what is in flight and ends within 10 s."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from random import SystemRandom
from typing import Any

from keepline.adapters.firestore import FirestoreDocuments
from keepline.adapters.key_file import LocalKeyFile
from keepline.adapters.kms_keys import KmsKeys
from keepline.adapters.system_clock import SystemClock
from keepline.records.accounts import Account
from keepline.usecases.connecting import Connector
from keepline.usecases.session_keeping import SessionKeeper
from keepline_connector.cell_link import CellLink
from keepline_connector.cells import CellPool
from keepline_connector.health import HealthServer, health_app
from keepline_connector.logs import set_up_logging
from keepline_connector.session_file import SqliteSessionFile
from keepline_connector.settings import BadSetting, Settings, read_settings

CELL_MODULE = "keepline_connector.cell"
# Below the 10 s that Cloud Run grants between SIGTERM and SIGKILL.
_STOP_TIMEOUT_S = 9.0

log = logging.getLogger(__name__)


def main(cell_module: str = CELL_MODULE) -> None:
    """Run a connector until a signal. `cell_module` is what its cell processes run."""
    set_up_logging()
    try:
        settings = read_settings()
    except BadSetting as error:
        print(f"The connector cannot start: {error}", file=sys.stderr)  # noqa: T201 - there is no logging worth the name yet
        raise SystemExit(2) from error
    asyncio.run(_run(settings, cell_module))


async def _run(settings: Settings, cell_module: str) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)

    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = FirestoreDocuments(settings.project)
    clock = SystemClock()
    pool = CellPool(cell_module)

    keys = wrapping_keys(settings)

    def open_link(account: str, slot: str) -> CellLink:
        device = f"{account}_{slot}"
        return CellLink(pool, device, settings.data_dir / device, settings.upstream_proxy)

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

    connector = Connector(store, clock, SystemRandom(), open_link, keep_session, settings.connector, settings.region)

    def snapshot() -> dict[str, Any]:
        return {
            "connector": settings.connector,
            "region": settings.region,
            "devices": connector.devices,
            "sessions_opened": connector.sessions_opened,
            "cells": pool.processes,
            "store": {"commits": store.commits, "documents": store.documents},
            "last_beat_s": connector.last_beat_s,
        }

    health = HealthServer(health_app(snapshot), settings.health_port)
    health.start()
    await pool.warm_up()
    running = asyncio.create_task(connector.run())
    running.add_done_callback(lambda _: stopping.set())
    log.info("connector %s is up, health on port %d", settings.connector, health.port)
    try:
        await stopping.wait()
    finally:
        log.info("connector %s stops", settings.connector)
        running.cancel()
        try:
            with suppress(asyncio.CancelledError, TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await running
        finally:
            await pool.stop()
            health.stop()
            await store.close()
            if isinstance(keys, KmsKeys):
                await keys.close()


def wrapping_keys(settings: Settings) -> KmsKeys | LocalKeyFile:
    """What wraps the data keys of the stored sessions."""
    if settings.kms_key is not None:
        return KmsKeys(settings.kms_key)
    assert settings.key_file is not None, "the settings have one of the two"
    return LocalKeyFile(settings.key_file)
