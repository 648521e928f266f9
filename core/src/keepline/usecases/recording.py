"""Recording what was heard: a batch per commit, at once when idle, and only then is the device's journal told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from keepline.domain.link_events import MessageHeard
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore, StoreUnavailable, Write

# A commit is on its way for some milliseconds; what comes meanwhile goes into the next one, so batches grow with the load.
BATCH_MAX = 100
_STORE_RETRY_S = 1.0

log = logging.getLogger(__name__)


class Recorder:
    """Writes one device's heard messages. The journal in its cell bounds how many can be on the way at once."""

    def __init__(self, store: DocumentStore, link: DeviceLink, to_write: Callable[[MessageHeard], Write]) -> None:
        self._store = store
        self._link = link
        self._to_write = to_write
        self._heard: list[MessageHeard] = []
        self._wake = asyncio.Event()

    def heard(self, message: MessageHeard) -> None:
        self._heard.append(message)
        self._wake.set()

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._heard:
                await self._record_batch()

    async def _record_batch(self) -> None:
        batch = self._heard[:BATCH_MAX]
        # The same message can be heard twice (a redelivery, another device's copy): one document, one write.
        writes = {write.path: write for write in map(self._to_write, batch)}
        try:
            await self._store.commit(list(writes.values()))
        except StoreUnavailable as error:
            log.warning("Firestore did not take %d heard messages, trying again: %s", len(batch), error)
            await asyncio.sleep(_STORE_RETRY_S)
            return
        del self._heard[: len(batch)]
        await self._link.acknowledge([message.seq for message in batch])
