"""Opening a device's session before it connects: tried until it succeeds, or until the device is another connector's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from keepline.domain.session import STARTING, SessionStatus, refused_status
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.keys import KeyUnavailable
from keepline.records import accounts
from keepline.records.accounts import Device
from keepline.usecases.authority import AuthorityLost
from keepline.usecases.session_keeping import SessionLost, SessionRefused
from keepline.usecases.session_openings import Openings
from keepline.usecases.speaking import Speaker

_STORE_RETRY_S = 0.5
# What makes a stored session unusable does not pass by itself, but a person may mend it.
_REFUSED_RETRY_S = 60.0

log = logging.getLogger(__name__)


class DeviceOpening:
    """For one device. `show` hears of a status that people are to see."""

    def __init__(
        self,
        store: DocumentStore,
        openings: Openings,
        speaker: Speaker,
        device: Device,
        connector: str,
        show: Callable[[SessionStatus], None],
    ) -> None:
        self._store = store
        self._openings = openings
        self._speaker = speaker
        self._device = device
        self._connector = connector
        self._show = show
        self._was_refused = False

    async def open(self) -> None:
        """Take the right to send and the session, until that succeeds. Raises SessionLost."""
        while True:
            try:
                async with self._openings.turn():
                    await self._try_to_open()
                return
            except SessionRefused as refusal:
                self._openings.refused()
                log.error("%s %s", refusal, refusal.hint)
                self._was_refused = True
                self._show(refused_status(refusal.code))
                with contextlib.suppress(StoreConflict, StoreUnavailable):
                    await self._speaker.give_up_unopened()
                await asyncio.sleep(_REFUSED_RETRY_S)
            except (StoreConflict, StoreUnavailable, KeyUnavailable, AuthorityLost, SessionLost) as error:
                log.warning("the session of %s could not be opened, trying again: %s", self._device.account, error)
                await asyncio.sleep(_STORE_RETRY_S)
                if await self._is_anothers():
                    raise SessionLost(self._device.account) from error

    async def _is_anothers(self) -> bool:
        """Whether the device has been given to another connector, from which it must not be taken back."""
        with contextlib.suppress(StoreUnavailable):
            document = await self._store.get(accounts.device_path(self._device.account, self._device.slot))
            return document is None or Device.read(document).connector != self._connector
        return False  # Not known: opening it meets the same trouble.

    async def _try_to_open(self) -> None:
        opened = await self._speaker.open()
        self._openings.opened(opened)
        if self._was_refused:
            # Otherwise what was written last stands until the login: it claims nothing without fresh evidence.
            self._was_refused = False
            self._show(STARTING)
        if opened.behind:
            log.error(
                "device %s of %s goes on from a state that is %d steps old, as the restore policy allows",
                *(self._device.slot, self._device.account, opened.behind),
            )
        log.info(
            "session of %s, device %s: %s in %.2f s (step %d, %d bytes)",
            *(self._device.account, self._device.slot, opened.kind, opened.seconds, opened.sequence, opened.bytes),
        )
