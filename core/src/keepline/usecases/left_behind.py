"""What devices had heard on this machine before they moved on, and had not told anybody.

A connector that is cut off from Firestore falls silent with what it heard in its devices' journals. Its devices go on elsewhere,
from their stored sessions, and WhatsApp does not say again what it has said. When the connector is back it tells these journals
itself: what was heard, and what phones said of our messages, is true whoever writes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from keepline.domain.ids import DeviceName
from keepline.domain.link_events import MessageHeard, MessageUnreadable, ReceiptHeard
from keepline.domain.message import FACTS, Cause, MessageState, next_state
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.left_journals import LeftJournal, LeftJournals
from keepline.records import accounts, outbox
from keepline.records.accounts import Account, Device
from keepline.usecases.recording import BATCH_MAX, Recorder

# Devices move when something fails; nobody waits for this.
LOOK_S = 60.0

log = logging.getLogger(__name__)


class LeftBehind:
    """Of one connector. `running` names the devices that it runs: their journals are their own affair."""

    def __init__(
        self,
        store: DocumentStore,
        connector: str,
        journals: LeftJournals,
        running: Callable[[], Collection[DeviceName]],
    ) -> None:
        self._store = store
        self._connector = connector
        self._journals = journals
        self._running = running

    async def run(self) -> None:
        """Look every minute, until cancelled."""
        while True:
            try:
                for name in await self._journals.names(self._running()):
                    await self._tell(*name)
            except StoreUnavailable as error:
                log.warning("what devices left behind could not be written, trying again: %s", error)
            await asyncio.sleep(LOOK_S)

    async def _tell(self, account: str, slot: str) -> None:
        device = await self._store.get(accounts.device_path(account, slot))
        if device is not None and Device.read(device).connector == self._connector:
            return  # It is about to be opened here, and tells its journal itself.
        found = await self._store.get(accounts.account_path(account))
        if found is None:
            return  # Its account was deleted.
        async with self._journals.hold(account, slot) as journal:
            if journal is not None:
                await self._empty(journal, Account.read(found), slot)

    async def _empty(self, journal: LeftJournal, account: Account, slot: str) -> None:
        recorder = Recorder(self._store, self._store, journal, account)
        while heard := await journal.read(BATCH_MAX):
            log.info("device %s of %s left %d events behind here: they are written now", slot, account.id, len(heard))
            await recorder.record([event for event in heard if isinstance(event, MessageHeard | MessageUnreadable)])
            for event in heard:
                if isinstance(event, ReceiptHeard):
                    await self._write_receipt(account.id, event)
            await journal.acknowledge([event.seq for event in heard])

    async def _write_receipt(self, account: str, receipt: ReceiptHeard) -> None:
        for ids in _portions(receipt.wa_message_ids):
            for document in await self._store.query(outbox.rows_by_wa_id(account, ids)):
                row = outbox.to_outgoing(document)
                state = next_state(row.state, Cause(receipt.status))
                if row.state is MessageState.QUEUED or state is row.state or state not in FACTS:
                    continue
                row.state, row.error_code = state, None
                row.times.setdefault(receipt.status, receipt.at)
                try:
                    await self._store.commit([outbox.settle_row(row)])
                except StoreConflict:
                    continue  # Its sender writes it at this moment: what it hears, it hears itself.


def _portions(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[start : start + outbox.RECEIPT_IDS_MAX]) for start in range(0, len(ids), outbox.RECEIPT_IDS_MAX)]
