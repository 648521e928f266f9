"""Receipts that the device which sends for its account has heard, until what they say is durable.

A receipt can be early: before the answer to its own send, or for a message that no send of this process has.
"""

from __future__ import annotations

from keepline.domain.link_events import ReceiptHeard
from keepline.domain.message import Cause
from keepline.domain.send_queue import SendQueue
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore
from keepline.records import outbox

# Receipts that came before the answer to their own send; each is for a row that is in flight right now.
_EARLY_RECEIPTS_MAX = 1_000


class Receipts:
    """Of one sender; what they say goes to its `queue`."""

    def __init__(self, store: DocumentStore, link: DeviceLink, account: str, queue: SendQueue) -> None:
        self._store = store
        self._link = link
        self._account = account
        self._queue = queue
        self._unwritten: list[ReceiptHeard] = []  # not yet durable
        self._early: dict[str, list[ReceiptHeard]] = {}  # by WhatsApp id, of sends whose answer is still on its way

    def heard(self, receipt: ReceiptHeard) -> None:
        """A receipt. The device's journal may forget it once what it says is durable."""
        self._unwritten.append(receipt)
        for wa_message_id in receipt.wa_message_ids:
            if not self._queue.receipt(wa_message_id, Cause(receipt.status), receipt.at):
                self._early.setdefault(wa_message_id, []).append(receipt)

    def unwritten(self) -> list[ReceiptHeard]:
        """Those that are not durable."""
        return list(self._unwritten)

    @property
    def has_early(self) -> bool:
        return bool(self._early)

    def answered(self, wa_message_id: str) -> None:
        """The answer to a send has come: what was early for it counts now."""
        for receipt in self._early.pop(wa_message_id, ()):
            self._queue.receipt(wa_message_id, Cause(receipt.status), receipt.at)

    async def look_up_early(self, *, in_flight: bool) -> bool:
        """Receipts whose WhatsApp id no send of this process has: sent before a restart, or not by us at all.

        While sends are in flight their own receipts can be early by milliseconds, so the look-up waits for those.

        Returns whether there are more than one look-up takes.
        """
        if not self._early or (in_flight and len(self._early) < _EARLY_RECEIPTS_MAX):
            return False
        ids = list(self._early)[: outbox.RECEIPT_IDS_MAX]
        documents = await self._store.query(outbox.rows_by_wa_id(self._account, ids))
        for document in documents:
            self._queue.recall(outbox.to_outgoing(document))
        for wa_message_id in ids:
            self.answered(wa_message_id)
        return bool(self._early)

    async def acknowledge(self) -> None:
        """Let the journal forget those that have become durable."""
        done = [
            receipt
            for receipt in self._unwritten
            if all(wa_id not in self._early and self._queue.is_durable(wa_id) for wa_id in receipt.wa_message_ids)
        ]
        if done:
            # By their places in the journal: to compare each with each costs more than all else for many at once.
            forgotten = {receipt.seq for receipt in done}
            self._unwritten = [receipt for receipt in self._unwritten if receipt.seq not in forgotten]
            await self._link.acknowledge([receipt.seq for receipt in done])
