"""Changing a session's settings: its connector hears of it through the devices, in the same commit."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from keepline.domain.link_settings import Presence
from keepline.domain.message import OnDoubt
from keepline.domain.standby import StandbySetting
from keepline.ports.documents import DocumentStore, StoreConflict
from keepline.records import accounts
from keepline.records.accounts import Device
from keepline.records.link_settings import SealedProxy, StoredSettings
from keepline.usecases.proxy_sealing import ProxySealer
from keepline.usecases.sessions import TRIES_MAX, busy, own_account


@dataclass(frozen=True)
class ProxyChoice:
    """The proxy that is asked for; without a `url` none, so that the connector's own way holds."""

    url: str | None


@dataclass(frozen=True)
class Changes:
    """What is to be different. None: stays as it is."""

    on_doubt: OnDoubt | None = None
    presence: Presence | None = None
    proxy: ProxyChoice | None = None
    pacing: str | None = None
    standby: StandbySetting | None = None


class SessionSettings:
    """The settings of all tenants' sessions."""

    def __init__(self, store: DocumentStore, sealer: ProxySealer) -> None:
        self._store = store
        self._sealer = sealer

    async def change(self, tenant: str, session_id: str, changes: Changes) -> None:
        """Two changes at a time both hold where they are of different things; of the same thing the later one does.

        Raises NotFound (`session_not_found`), Unavailable (`busy`) and what `ProxySealer.seal` does.
        """
        sealed: SealedProxy | None = None
        if changes.proxy is not None and changes.proxy.url is not None:
            account = await own_account(self._store, tenant, session_id)
            sealed = await self._sealer.seal(account.id, changes.proxy.url)
        for _ in range(TRIES_MAX):
            account = await own_account(self._store, tenant, session_id)
            documents = await self._store.query(accounts.devices_of_account(account.id))
            before = account.settings
            after = StoredSettings(
                presence=changes.presence or before.presence,
                proxy=before.proxy if changes.proxy is None else sealed,
                pacing=changes.pacing or before.pacing,
            )
            on_doubt = changes.on_doubt or account.on_doubt
            standby = changes.standby or account.standby
            if (on_doubt, standby, after) == (account.on_doubt, account.standby, before):
                return
            # Its connector may have written a state in between, or somebody else a setting.
            with contextlib.suppress(StoreConflict):
                devices = [Device.read(document) for document in documents]
                await self._store.commit(accounts.changed_settings(account, devices, on_doubt, standby, after))
                return
        raise busy()
