"""Offering QR codes for a device until a phone scans one, in rounds with an end: an unwatched code is no use to anybody."""

from __future__ import annotations

import asyncio
import logging

from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import accounts

# WhatsApp ends a round after about 160 s; three of them are eight minutes for somebody to find the phone.
ROUNDS_MAX = 3
_STORE_RETRY_S = 0.5

log = logging.getLogger(__name__)


class PairingDesk:
    """The pairing document of one device: shows the code of the moment, and hears when somebody asks for a new round."""

    def __init__(self, store: DocumentStore, account: str, slot: str, tenant: str) -> None:
        self._store = store
        self._account = account
        self._slot = slot
        self._tenant = tenant
        self._rounds = 0
        self._answered: int | None = None  # requests seen so far; those from before our time were another's to answer
        self._qr: str | None = None
        self._shown: str | None = None
        self._wake = asyncio.Event()

    def offer(self, qr: str | None) -> None:
        """Show this code, or none."""
        self._qr = qr
        self._wake.set()

    def may_start_round(self) -> bool:
        """A round ended unscanned: whether to begin another by itself."""
        self._rounds += 1
        return self._rounds < ROUNDS_MAX

    async def keep_shown(self) -> None:
        """Write the code of the moment until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._show(self._qr)
            except StoreUnavailable as error:
                log.warning("a QR code of %s could not be shown, trying again: %s", self._account, error)
                self._wake.set()
                await asyncio.sleep(_STORE_RETRY_S)

    def wants_round(self, requested: int) -> bool:
        """The document's count of requests as it is now: whether somebody asks for a code and none is on offer."""
        new = self._answered is not None and requested > self._answered and self._qr is None
        self._answered = requested
        if new:
            self._rounds = 0
        return new

    async def _show(self, qr: str | None) -> None:
        if qr == self._shown:
            return
        try:
            await self._store.commit([accounts.offer_qr(self._account, self._slot, qr)])
        except StoreConflict:
            if qr is None:
                return  # Nothing was ever on offer.
            created = accounts.new_pairing(self._account, self._slot, self._tenant)
            await self._store.commit([created, accounts.offer_qr(self._account, self._slot, qr)])
        self._shown = qr
