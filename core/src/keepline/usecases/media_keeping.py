"""Files of heard messages: fetched after the message is recorded, kept in the media store, and what became of it said.

Nothing of this holds back a message. Whatever happens in between, the device's cell has the key until it is told to forget it,
and tells of the file again; what is written twice is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from keepline.domain.ids import inbound_media_id
from keepline.domain.link_events import MediaWaiting
from keepline.domain.tag import read_tag
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable, Write
from keepline.records import heard_media, media
from keepline.records.accounts import KeyedAccount
from keepline.records.changes import heard_path
from keepline.records.heard_media import FETCHED_WITHIN, MediaFate, MediaState

# Files that wait in memory; the cell has the others and tells of them at its next start.
WAITING_MAX = 1_000
# Short at first: the message itself is being recorded at this moment.
_RETRY_MIN_S = 0.25
_RETRY_FACTOR = 2.0
_RETRY_MAX_S = 3_600.0
_TRIES_COUNTED_MAX = 16
# A device that does not send for its account lets the one that does fetch the file, and looks whether it has.
_PATIENCE_S = 10.0

log = logging.getLogger(__name__)


@dataclass
class _Waiting:
    event: MediaWaiting
    not_before_s: float
    tries: int = 0


class MediaKeeper:
    """The files of one device's heard messages, one at a time. `speaks` tells whether it sends for its account at this moment."""

    def __init__(
        self, store: DocumentStore, clock: Clock, link: DeviceLink, account: KeyedAccount, speaks: Callable[[], bool]
    ) -> None:
        self._store = store
        self._clock = clock
        self._link = link
        self._account = account
        self._speaks = speaks
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._wake = asyncio.Event()

    def waiting(self, event: MediaWaiting) -> None:
        """The device has the key of a file."""
        name = (event.chat, event.wa_message_id)
        if name not in self._waiting and len(self._waiting) < WAITING_MAX:
            patience_s = 0.0 if self._speaks() else _PATIENCE_S
            self._waiting[name] = _Waiting(event, self._clock.monotonic_s() + patience_s)
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            next_one = min(self._waiting.values(), key=lambda one: one.not_before_s, default=None)
            pause_s = next_one.not_before_s - self._clock.monotonic_s() if next_one is not None else None
            if next_one is not None and (pause_s or 0.0) <= 0:
                await self._settle(next_one)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            self._wake.clear()

    async def _settle(self, one: _Waiting) -> None:
        try:
            settled = await self._try(one.event)
        except StoreConflict:
            settled = False  # The message was removed in between.
        except StoreUnavailable as error:
            log.warning("Firestore did not take what became of a file of %s: %s", self._account.id, error)
            settled = False
        if settled:
            await self._link.forget_media(one.event)
            del self._waiting[(one.event.chat, one.event.wa_message_id)]
            return
        pause_s = min(_RETRY_MIN_S * _RETRY_FACTOR**one.tries, _RETRY_MAX_S)
        one.tries = min(one.tries + 1, _TRIES_COUNTED_MAX)
        one.not_before_s = self._clock.monotonic_s() + pause_s

    async def _try(self, event: MediaWaiting) -> bool:
        """Whether nothing is left to do about a file."""
        account = self._account
        if event.tag is not None and read_tag(account.tag_key, event.tag) is not None:
            return True  # A copy of what we sent: the file is in the store.
        is_late = self._clock.now() - event.since > FETCHED_WITHIN
        document = await self._store.get(heard_path(account.id, event.chat, event.wa_message_id))
        if document is None:
            return is_late  # It is being recorded at this moment; or it will never be.
        if document.fields.get("media") is not None or document.fields.get("revoked_at") is not None:
            return True  # The account's other device was faster; or nobody is to see it any more.
        media_id = inbound_media_id(account.id, event.chat, event.wa_message_id)
        outcome = await self._link.keep_media(event, media_id)
        writes: list[Write] = []
        if outcome.kept is not None and outcome.kept_until is not None:
            fate = MediaFate(MediaState.STORED)
            writes.append(media.kept(account.tenant, account.session_id, outcome.kept, "inbound", outcome.kept_until))
        elif outcome.final or is_late:
            fate = MediaFate(MediaState.FAILED, outcome.error_code)
            log.warning("a file that was sent to %s cannot be had: %s", account.id, outcome.error_code)
        else:
            return False
        writes.append(heard_media.settled(account.id, event.chat, event.wa_message_id, fate))
        await self._store.commit(writes)
        return True
