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
from keepline.domain.link_events import ReceiptHeard, RecordedEvent
from keepline.domain.message import FACTS, Cause, MessageState, next_state
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.left_journals import LeftJournal, LeftJournals
from keepline.records import accounts, outbox
from keepline.records.accounts import Account, Device, KeyedAccount
from keepline.usecases.recording import BATCH_MAX, Recorder

# Devices move when something fails; nobody waits for this.
LOOK_S = 60.0
READ_MAX = 1_000
# A receipt whose message is not known after so long is not for one of ours: the user's phone sends as well. Counted from when we
# see it first, for machines' clocks are wrong.
KEEP_RECEIPTS_S = 3_600.0

log = logging.getLogger(__name__)


class LeftBehind:
    """Of one connector. `running` names the devices that it runs: their journals are their own affair."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        connector: str,
        journals: LeftJournals,
        running: Callable[[], Collection[DeviceName]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._connector = connector
        self._journals = journals
        self._running = running
        self._unknown_since_s: dict[tuple[str, str, int], float] = {}  # receipts, by device and number in its journal

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
        secret = await self._store.get(accounts.secret_path(account))
        if found is None or secret is None:
            return  # Its account was deleted.
        async with self._journals.hold(account, slot) as journal:
            if journal is not None:
                await self._tell_all(journal, accounts.with_key(Account.read(found), secret), slot)

    async def _tell_all(self, journal: LeftJournal, account: KeyedAccount, slot: str) -> None:
        heard = await journal.read(READ_MAX)
        log.info("device %s of %s left %d events behind here: they are written now", slot, account.id, len(heard))
        recorded = [event for event in heard if isinstance(event, RecordedEvent)]
        recorder = Recorder(self._store, self._store, journal, account)
        for start in range(0, len(recorded), BATCH_MAX):
            await recorder.record(recorded[start : start + BATCH_MAX])
        await journal.acknowledge([event.seq for event in recorded])
        receipts = [event for event in heard if isinstance(event, ReceiptHeard)]
        for receipt in receipts:
            if await self._is_over(account.id, slot, receipt):
                await journal.acknowledge([receipt.seq])

    async def _is_over(self, account: str, slot: str, receipt: ReceiptHeard) -> bool:
        """Write what a receipt says. Not over is one whose message is not known by its id, perhaps until a doubt ends."""
        name = (account, slot, receipt.seq)
        seen_s = self._unknown_since_s.setdefault(name, self._clock.monotonic_s())
        written = [await self._write_receipt(account, receipt, ids) for ids in _portions(receipt.wa_message_ids)]
        is_over = all(written) or self._clock.monotonic_s() - seen_s > KEEP_RECEIPTS_S
        if is_over:
            del self._unknown_since_s[name]
        return is_over

    async def _write_receipt(self, account: str, receipt: ReceiptHeard, ids: list[str]) -> bool:
        documents = await self._store.query(outbox.rows_by_wa_id(account, ids))
        whole = len(documents) == len(ids)
        for row in map(outbox.to_outgoing, documents):
            state = next_state(row.state, Cause(receipt.status))
            if state not in FACTS or row.state is MessageState.QUEUED:
                whole = False
            elif state is not row.state:
                row.state, row.error_code = state, None
                row.times.setdefault(receipt.status, receipt.at)
                try:
                    await self._store.commit([outbox.settle_row(row)])
                except StoreConflict:
                    whole = False
        return whole


def _portions(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[start : start + outbox.RECEIPT_IDS_MAX]) for start in range(0, len(ids), outbox.RECEIPT_IDS_MAX)]
