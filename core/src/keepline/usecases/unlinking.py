"""Unlinking a device that is not running: only one that is logged in can tell WhatsApp that it goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from keepline.domain import link_events as link
from keepline.ports.device_link import DeviceLink
from keepline.records.accounts import Device
from keepline.usecases.proxy_sealing import ProxyUnreadable
from keepline.usecases.session_keeping import SessionKeeper, SessionRefused
from keepline.usecases.settings_following import SettingsFollower

# How long a device that is to be unlinked may take to log in for it.
_LOGIN_LIMIT_S = 15.0

log = logging.getLogger(__name__)


async def unlink(device_link: DeviceLink, session: SessionKeeper, settings: SettingsFollower, device: Device) -> None:
    """Log it in once more, if that works, to log it out. Raises StoreUnavailable and KeyUnavailable: then try again."""
    await device_link.open()
    try:
        await session.open(device.session_sequence, ())
    except SessionRefused as refusal:
        log.warning("device %s of %s is removed without being restored: %s", device.slot, device.account, refusal)
    try:
        await settings.use()
    except ProxyUnreadable as error:
        log.warning("device %s of %s is removed without a way out: %s", device.slot, device.account, error)
    else:
        await _log_in_once(device_link)
    await device_link.log_out()


async def _log_in_once(device_link: DeviceLink) -> None:
    await device_link.connect()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOGIN_LIMIT_S):
            async for event in device_link.events():
                if isinstance(event, link.CaughtUp | link.PairingCode | link.LoggedOut):
                    break
