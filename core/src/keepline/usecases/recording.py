"""Recording what was heard: a batch per commit, at once when idle, and only then is the device's journal told.

The commit carries the changes of the device's local store too: what our users can read, no lost disk can make WhatsApp's library
decrypt again.
"""

from __future__ import annotations

import asyncio
import logging

from keepline.domain.link_events import MessageHeard, MessageUnreadable
from keepline.domain.tag import read_tag
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import history
from keepline.records.accounts import Account
from keepline.usecases.session_keeping import SessionKeeper

# A commit is on its way for some milliseconds; what comes meanwhile goes into the next one, so batches grow with the load.
BATCH_MAX = 100
_STORE_RETRY_S = 1.0

log = logging.getLogger(__name__)


class Recorder:
    """Writes one device's heard messages. The journal in its cell bounds how many can be on the way at once."""

    def __init__(self, store: DocumentStore, session: SessionKeeper, link: DeviceLink, account: Account) -> None:
        self._store = store
        self._session = session
        self._link = link
        self._account = account
        self._heard: list[MessageHeard | MessageUnreadable] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()  # while all that was heard is durable
        self._idle.set()

    def heard(self, message: MessageHeard | MessageUnreadable) -> None:
        self._heard.append(message)
        self._wake.set()
        self._idle.clear()

    async def finish(self) -> None:
        """Wait until all that was heard is durable."""
        await self._idle.wait()

    async def run(self) -> None:
        """Record until cancelled. Raises SessionLost."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._heard:
                await self._record_batch()
            self._idle.set()

    async def _record_batch(self) -> None:
        batch = self._heard[:BATCH_MAX]
        try:
            await self._write(batch)
        except StoreUnavailable as error:
            log.warning("Firestore did not take %d heard messages, trying again: %s", len(batch), error)
            await asyncio.sleep(_STORE_RETRY_S)
            return
        del self._heard[: len(batch)]
        await self._link.acknowledge([message.seq for message in batch])

    async def _write(self, batch: list[MessageHeard | MessageUnreadable]) -> None:
        names = (self._account.id, self._account.tenant, self._account.session_id)
        for message in batch:
            if isinstance(message, MessageUnreadable):
                try:
                    await self._store.commit([history.unreadable_message(*names, message)])
                except StoreConflict:
                    continue  # It is there, perhaps readable: the other device of the account could decrypt it.
        readable = [message for message in batch if isinstance(message, MessageHeard) and not self._is_ours(message)]
        # The same message can be heard twice (a redelivery, another device's copy): one document, one write.
        writes = {write.path: write for write in (history.heard_message(*names, message) for message in readable)}
        if writes:
            await self._session.commit(list(writes.values()))

    def _is_ours(self, message: MessageHeard) -> bool:
        """A copy of what this account's sending device sent for the outbox, where it stands already."""
        return message.from_me and message.tag is not None and read_tag(self._account.tag_key, message.tag) is not None
