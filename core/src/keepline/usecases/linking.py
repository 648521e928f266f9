"""Linking a session's devices to its number: the QR code to scan, and a second device as the standby."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from keepline.domain.errors import NotFound, NotReady, StateConflict
from keepline.domain.pairing import already_linked
from keepline.domain.session import WAITING_FOR_CONNECTOR, Reason, SessionState, SessionStatus
from keepline.domain.standby import StandbySetting
from keepline.domain.views import standby_reason, told_status
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict
from keepline.records import accounts
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT, Account, Device, Pairing
from keepline.usecases.limiting import CODES, Charged, ChargedNotReady, Limiter
from keepline.usecases.sessions import TRIES_MAX, beats_of, busy, outlook_of, own_account, session_not_found

# WhatsApp replaces a code after about 20 s and takes the first of a round for 60 s: nothing older is worth a scan.
QR_AGE_S_MAX = 60.0
QR_GOOD_FOR_S = 20.0
_LINKABLE = (SessionState.STARTING, SessionState.PAIRING, SessionState.RECONNECTING)
# What was asked for begins within a moment; asking again meanwhile would only disturb it.
ASKED_EVERY_S = 10.0


@dataclass(frozen=True)
class PairingOffer:
    """A QR text to scan. It holds for `expires_in_s` at least; the first code of a round holds longer."""

    qr: str
    offered_at: datetime
    expires_in_s: float


class Linking:
    """The devices of all tenants' sessions."""

    def __init__(self, store: DocumentStore, clock: Clock, limiter: Limiter) -> None:
        self._store = store
        self._clock = clock
        self._limiter = limiter

    async def add_standby(self, tenant: str, session_id: str) -> None:
        """Give the session a second device, which waits for a connector and then for a scan; if it has one already, leave it.

        Raises StateConflict (`not_linked_yet`, `standby_being_removed`).
        """
        for _ in range(TRIES_MAX):
            account = await own_account(self._store, tenant, session_id)
            document = await self._store.get(accounts.device_path(account.id, SECOND_SLOT))
            if document is not None:
                if not Device.read(document).wanted:
                    raise _standby_being_removed()
                return
            if account.phone is None:
                raise _not_linked_yet()
            # Looked at in the next turn, whether this was applied or others were in between.
            with contextlib.suppress(StoreConflict):
                await self._store.commit(accounts.new_standby(account, WAITING_FOR_CONNECTOR))
        raise busy()

    async def remove_standby(self, tenant: str, session_id: str) -> None:
        """From now on the second device is gone for its owner; its connector logs it out and clears its documents.

        Where there is none yet, its offer is declined. Either way none is offered any more.

        Raises NotFound (`session_not_found`, `standby_not_found`).
        """
        for _ in range(TRIES_MAX):
            account = await own_account(self._store, tenant, session_id)
            document = await self._store.get(accounts.device_path(account.id, SECOND_SLOT))
            device = Device.read(document) if document is not None else None
            if device is None and account.standby is StandbySetting.OFF:
                raise _no_standby()
            if device is not None and not device.wanted:
                return
            removal = [accounts.unwanted_device(device)] if device is not None else []
            with contextlib.suppress(StoreConflict):  # Its connector wrote a state in between.
                await self._store.commit([*removal, accounts.decline_standby(account.id)])
                return
        raise busy()

    async def pairing_offer(self, tenant: str, session_id: str, slot: str = FIRST_SLOT) -> PairingOffer:
        """The code to scan now for one of the devices, judged by the state of that device alone.

        Raises NotReady (`qr_not_ready`), NotFound (`standby_not_found`), StateConflict (`already_linked`, `qr_not_available`) and
        TooMany (`rate_limited`) where a new round would have to be asked for.
        """
        account = await own_account(self._store, tenant, session_id)
        if await accept_offer(self._store, account, slot):
            raise NotReady("qr_not_ready", "The standby is being made.", "Ask again in a second.", 1)
        device, pairing = await device_and_pairing(self._store, account, slot)
        check_linkable(device, "qr_not_available")
        if device.status.code == "pairing_timed_out":
            charged = await self._ask_for_round(tenant, pairing)
            raise ChargedNotReady(
                "qr_not_ready",
                "The QR codes had run out; a new round of them has been asked for.",
                "Ask again in 2 seconds.",
                2,
                charged,
            )
        seen = outlook_of(device, await beats_of(self._store, {device.connector}), self._clock.now())
        if pairing is not None and not seen.silent and (offer := self._offer(pairing)):
            return offer
        if device.linked:
            raise already_linked()
        told = told_status(device.status, seen).reason
        raise NotReady("qr_not_ready", f"No QR code is on offer yet: {told.sentence}", "Ask again in a second.", 1)

    def _offer(self, pairing: Pairing) -> PairingOffer | None:
        if not pairing.qr or pairing.offered_at is None:
            return None
        age_s = max(0.0, (self._clock.now() - pairing.offered_at).total_seconds())
        if age_s > QR_AGE_S_MAX:
            return None
        return PairingOffer(pairing.qr, pairing.offered_at, max(1.0, QR_GOOD_FOR_S - age_s))

    async def _ask_for_round(self, tenant: str, pairing: Pairing | None) -> Charged | None:
        """What is left of the user's limit, if this has used it."""
        if pairing is None:
            return None  # It is being written; whoever asks again finds it.
        asked_at = pairing.requested_at
        if asked_at is not None and self._clock.now() - asked_at < timedelta(seconds=ASKED_EVERY_S):
            return None
        try:
            _, charged = await self._limiter.commit(tenant, CODES, [accounts.request_qr(pairing)])
        except StoreConflict:
            return None  # Somebody else asked, or a code has just come.
        return charged


async def accept_offer(store: DocumentStore, account: Account, slot: str) -> bool:
    """Somebody asks for the standby's code: if it is on offer and not there yet, it is made. Whether it was."""
    if slot != SECOND_SLOT or not account.has_offer:
        return False
    if await store.get(accounts.device_path(account.id, slot)) is not None:
        return False
    with contextlib.suppress(
        StoreConflict
    ):  # Somebody else asked, or the offer was declined: whoever asks again sees it.
        await store.commit(accounts.new_standby(account, WAITING_FOR_CONNECTOR))
    return True


async def device_and_pairing(store: DocumentStore, account: Account, slot: str) -> tuple[Device, Pairing | None]:
    """A device that is wanted, with its pairing document if it has one yet. Raises NotFound."""
    documents = await asyncio.gather(
        store.get(accounts.device_path(account.id, slot)), store.get(accounts.pairing_path(account.id, slot))
    )
    device = Device.read(documents[0]) if documents[0] is not None else None
    if device is None or not device.wanted:
        raise _no_standby() if slot == SECOND_SLOT else session_not_found()
    return device, Pairing.read(documents[1]) if documents[1] is not None else None


def check_linkable(device: Device, not_available: str) -> None:
    """Raises StateConflict: `already_linked`, or this code where no code can come in the device's state."""
    written = device.status
    if written.state in (SessionState.CONNECTED, SessionState.DEGRADED) or written.code == "logging_in":
        raise already_linked()
    if written.state not in _LINKABLE and written.code != "pairing_timed_out":
        reason = device_reason(device.slot, written)
        raise StateConflict(not_available, reason.sentence, reason.next_step)


def device_reason(slot: str, status: SessionStatus) -> Reason:
    """Why a device is in its state, and the step that mends it."""
    return standby_reason(status) if slot == SECOND_SLOT else status.reason


def _not_linked_yet() -> StateConflict:
    return StateConflict(
        "not_linked_yet",
        "The session's first device has not been linked yet.",
        "Scan its QR code first, then ask for the standby.",
    )


def _standby_being_removed() -> StateConflict:
    return StateConflict(
        "standby_being_removed", "The session's earlier standby is still being removed.", "Ask again in some seconds."
    )


def _no_standby() -> NotFound:
    return NotFound("standby_not_found", "The session has no standby device.", "Ask for one, then scan its code.")
