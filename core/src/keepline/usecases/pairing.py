"""Offering codes for a device until a phone links it, in rounds with an end: an unwatched code is no use to anybody.

A QR code is on offer all the time of a round. A code to type into the phone is asked of WhatsApp when somebody wants one.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable, Write
from keepline.records import accounts
from keepline.records.accounts import AnsweredCode, Pairing

# WhatsApp ends a round after about 160 s; three of them are eight minutes for somebody to find the phone.
ROUNDS_MAX = 3
_STORE_RETRY_S = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Offer:
    """What the document shows, or is to show."""

    qr: str | None = None
    code: AnsweredCode | None = None


class PairingDesk:
    """The pairing document of one device: shows the codes of the moment, and hears when somebody asks for others."""

    def __init__(self, store: DocumentStore, link: DeviceLink, account: str, slot: str, tenant: str) -> None:
        self._store = store
        self._link = link
        self._account = account
        self._slot = slot
        self._tenant = tenant
        self._rounds = 0
        # Requests seen so far, for rounds and for codes; those from before our time were another's to answer.
        self._answered: int | None = None
        self._code_requests: int | None = None
        self._wanted: Pairing | None = None  # with the newest request for a code
        self._offer = _Offer()
        self._shown: _Offer | None = None  # not known: what stands there may be an earlier connection's
        self._wake = asyncio.Event()
        self._code_wanted = asyncio.Event()

    def offer(self, qr: str | None) -> None:
        """Show this QR code; or none, and no other code either: the round is over, or the device linked."""
        self._show(_Offer(qr, self._offer.code if qr is not None else None))

    def withdraw_code(self) -> None:
        """The connection on which the code was asked for is gone, and the code with it."""
        self._show(_Offer(self._offer.qr, None))

    def may_start_round(self) -> bool:
        """A round ended unscanned: whether to begin another by itself."""
        self._rounds += 1
        return self._rounds < ROUNDS_MAX

    async def keep_shown(self) -> None:
        """Write the codes of the moment until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._write(self._offer)
            except StoreUnavailable as error:
                log.warning("a code of %s could not be shown, trying again: %s", self._account, error)
                self._wake.set()
                await asyncio.sleep(_STORE_RETRY_S)

    async def give_codes(self) -> None:
        """Ask WhatsApp for a code whenever somebody wants one, until cancelled."""
        while True:
            await self._code_wanted.wait()
            self._code_wanted.clear()
            wanted = self._wanted
            assert wanted is not None and wanted.code_phone is not None
            answer = await self._link.pair_code(wanted.code_phone)
            self._show(_Offer(self._offer.qr, AnsweredCode(wanted.code_requested, answer)))

    def wants_round(self, pairing: Pairing) -> bool:
        """The document as it is now: whether somebody asks for a QR code and none is on offer."""
        new = self._answered is not None and pairing.requested > self._answered and self._offer.qr is None
        self._answered = pairing.requested
        if new:
            self._rounds = 0
        return new

    def look_for_code_request(self, pairing: Pairing) -> None:
        """The document as it is now: a new request for a code is passed on to WhatsApp."""
        if self._code_requests is not None and pairing.code_requested > self._code_requests:
            self._rounds = 0
            self._wanted = pairing
            self._code_wanted.set()
        self._code_requests = pairing.code_requested

    def _show(self, offer: _Offer) -> None:
        if offer != self._offer:
            self._offer = offer
            self._wake.set()

    async def _write(self, offer: _Offer) -> None:
        writes: list[Write] = []
        if self._shown is None or offer.qr != self._shown.qr:
            writes.append(accounts.offer_qr(self._account, self._slot, offer.qr))
        if self._shown is None or offer.code != self._shown.code:
            writes.append(accounts.answer_code(self._account, self._slot, offer.code))
        if not writes:
            return
        try:
            await self._store.commit(writes)
        except StoreConflict:
            if offer == _Offer():
                return  # Nothing was ever on offer.
            created = accounts.new_pairing(self._account, self._slot, self._tenant)
            await self._store.commit([created, *writes])
            # Whoever asks from now on asks us, even if the first we see of the document is that request.
            self._answered = self._answered or 0
            self._code_requests = self._code_requests or 0
        self._shown = offer
