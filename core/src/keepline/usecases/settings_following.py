"""A running device follows its session's settings: presence at once, another proxy with a new connection through it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from keepline.domain.link_settings import LinkSettings, Proxy
from keepline.domain.session import STARTING, SessionState, SessionStatus
from keepline.ports.device_link import DeviceLink
from keepline.ports.keys import KeyUnavailable, KeyWrapper
from keepline.records.accounts import Device
from keepline.usecases.proxy_sealing import ProxyUnreadable, opened_proxy

_KEY_RETRY_S = 1.0
# A proxy that cannot be opened stays so until somebody sets it anew, or mends the keys.
_UNREADABLE_RETRY_S = 60.0
_UNREADABLE = SessionStatus(SessionState.FAILED, "proxy_unreadable")

log = logging.getLogger(__name__)


class SettingsFollower:
    """For one device. `move` ends its connection and makes another."""

    def __init__(self, keys: KeyWrapper, link: DeviceLink, device: Device, move: Callable[[], Awaitable[None]]) -> None:
        self._keys = keys
        self._link = link
        self._account = device.account
        self._slot = device.slot
        self._wanted = device.settings
        self._move = move
        self._proxy: Proxy | None = None  # of the newest settings that were opened
        self._changed = asyncio.Event()

    def seen(self, device: Device) -> None:
        """The device as it is in Firestore now."""
        if device.settings != self._wanted:
            self._wanted = device.settings
            self._changed.set()

    async def begin(self, show: Callable[[SessionStatus], None]) -> None:
        """Before the first connection. Returns once the settings hold: without its proxy a device must not connect."""
        refused = False
        while True:
            try:
                await self.use()
            except KeyUnavailable as error:
                log.warning("the proxy of %s could not be opened, trying again: %s", self._account, error)
                await self._wait(_KEY_RETRY_S)
            except ProxyUnreadable as error:
                refused = True
                log.error("the proxy of %s cannot be opened, its device does not connect: %s", self._account, error)
                show(_UNREADABLE)
                await self._wait(_UNREADABLE_RETRY_S)
            else:
                if refused:
                    show(STARTING)
                return

    async def use(self) -> None:
        """Tell the device once. Raises ProxyUnreadable and KeyUnavailable: then it keeps what it had."""
        wanted = self._wanted
        proxy = None
        if wanted.proxy is not None:
            proxy = await opened_proxy(self._keys, self._account, wanted.proxy)
        await self._link.use(LinkSettings(wanted.presence, proxy))
        self._proxy = proxy

    async def run(self) -> None:
        """Follow every change, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            before = self._proxy
            try:
                await self.use()
            except (KeyUnavailable, ProxyUnreadable) as error:
                # Where it is connected now is where it was allowed to be.
                log.error("the new proxy of %s cannot be opened, the old one stays: %s", self._account, error)
                await self._wait(_KEY_RETRY_S if isinstance(error, KeyUnavailable) else _UNREADABLE_RETRY_S)
                self._changed.set()
                continue
            if self._proxy != before:
                log.info("device %s of %s has another proxy: its connection is made anew", self._slot, self._account)
                await self._move()

    async def _wait(self, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._changed.wait()
        self._changed.clear()
