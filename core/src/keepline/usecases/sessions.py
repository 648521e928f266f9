"""Sessions as their owner sees them: create, look, link, delete. A tenant reaches only account ids of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keepline.domain.errors import InvalidInput, NotFound, StateConflict, Unavailable
from keepline.domain.ids import account_id, new_session_id
from keepline.domain.session import WAITING_FOR_CONNECTOR, SessionState, SessionStatus
from keepline.domain.tag import TAG_BYTES
from keepline.domain.views import UNHELD, Outlook, Proof, best, outlook, told_status
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, StoreConflict
from keepline.records import accounts, connectors, outbox
from keepline.records.accounts import FIRST_SLOT, Account, Device, Pairing
from keepline.records.connectors import ConnectorBeat

# Counting costs a read for every row. Beyond the first number the connector's own count is taken where one is alive;
# else the rows are counted as far as the second, and a session with more shows this number.
QUEUED_READ_MAX = 100
QUEUED_COUNTED_MAX = 1_000
# Sessions of a list that are looked up at the same time.
LOOK_UPS_MAX = 20
TRIES_MAX = 5
SESSION_ID_ENTROPY_BYTES = 8
# WhatsApp replaces a code after about 20 s and takes the first of a round for 60 s: nothing older is worth a scan.
QR_AGE_S_MAX = 60.0
QR_GOOD_FOR_S = 20.0
# A round that was asked for begins within a moment; asking again meanwhile would only disturb it.
ROUND_ASKED_EVERY_S = 10.0

Entropy = Callable[[int], bytes]


@dataclass(frozen=True)
class DeviceView:
    """A linked device. `connector` and `region` are None while nobody holds it."""

    slot: str
    state: SessionState
    connector: str | None
    region: str | None


@dataclass(frozen=True)
class SessionView:
    """What may be said of a session at this instant. `status` is what the evidence allows, not only what was written."""

    account: Account
    status: SessionStatus
    connector_silent: bool
    proof: Proof | None
    devices: tuple[DeviceView, ...]
    queued: int
    oldest_queued_s: float | None


@dataclass(frozen=True)
class PairingOffer:
    """A QR text to scan. It holds for `expires_in_s` at least; the first code of a round holds longer."""

    qr: str
    offered_at: datetime
    expires_in_s: float


class QrNotReady(StateConflict):
    """No code is on offer at this moment, but one is coming."""

    def __init__(self, message: str, hint: str, retry_after_s: int) -> None:
        super().__init__("qr_not_ready", message, hint)
        self.retry_after_s = retry_after_s


class Sessions:
    """The sessions of all tenants. `entropy(n)` gives n random bytes."""

    def __init__(self, store: DocumentStore, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    async def create(self, tenant: str, session_id: str | None) -> SessionView:
        """A new session that waits for a connector. Raises StateConflict (`session_exists`, `session_being_deleted`)."""
        chosen = session_id if session_id is not None else new_session_id(self._entropy(SESSION_ID_ENTROPY_BYTES))
        account = account_id(tenant, chosen)
        tag_key = self._entropy(TAG_BYTES)
        writes = accounts.new_account(
            account=account, tenant=tenant, session_id=chosen, tag_key=tag_key, status=WAITING_FOR_CONNECTOR
        )
        for _ in range(TRIES_MAX):
            with contextlib.suppress(StoreConflict):
                await self._store.commit(writes)
            # Read in either case: a conflict may be with our own commit, whose first answer was lost on its way.
            document = await self._store.get(accounts.account_path(account))
            if document is None:
                continue  # The one before it was cleared a moment ago.
            found = Account.read(document)
            if found.tag_key != tag_key:
                raise _taken(found)
            return _fresh(found)
        raise _busy()

    async def look(self, tenant: str, session_id: str) -> SessionView:
        """Raises NotFound (`session_not_found`)."""
        [view] = await self._views([await own_account(self._store, tenant, session_id)])
        return view

    async def of_tenant(self, tenant: str) -> list[SessionView]:
        """All sessions of a tenant, oldest first."""
        documents = await self._store.query(accounts.accounts_of_tenant(tenant))
        views = await self._views([Account.read(document) for document in documents])
        return sorted(views, key=lambda view: (view.account.created_at, view.account.id))

    async def delete(self, tenant: str, session_id: str) -> None:
        """From now on the session is gone for its owner; its connector unlinks the device and clears the documents."""
        found = False
        for _ in range(TRIES_MAX):
            try:
                account = await own_account(self._store, tenant, session_id)
            except NotFound:
                if found:
                    return  # Our own commit was applied and its answer lost, or somebody deletes it beside us.
                raise
            found = True
            documents = await self._store.query(accounts.devices_of_account(account.id))
            try:
                await self._store.commit(accounts.unwanted(account, [Device.read(document) for document in documents]))
            except StoreConflict:
                continue  # Its connector wrote a state in between.
            return
        raise _busy()

    async def pairing_offer(self, tenant: str, session_id: str) -> PairingOffer:
        """The code to scan now. Raises QrNotReady and StateConflict (`already_linked`, `qr_not_available`)."""
        view = await self.look(tenant, session_id)
        account = view.account
        written = account.status
        if written.state in (SessionState.CONNECTED, SessionState.DEGRADED) or written.code == "logging_in":
            raise _already_linked()
        document = await self._store.get(accounts.pairing_path(account.id, FIRST_SLOT))
        pairing = Pairing.read(document) if document is not None else None
        if written.code == "pairing_timed_out":
            await self._ask_for_round(pairing)
            raise QrNotReady(
                "The QR codes had run out; a new round of them has been asked for.", "Ask again in 2 seconds.", 2
            )
        if written.state not in (SessionState.STARTING, SessionState.PAIRING, SessionState.RECONNECTING):
            raise StateConflict("qr_not_available", written.reason.sentence, written.reason.next_step)
        if pairing is not None and not view.connector_silent and (offer := self._offer(pairing)):
            return offer
        if account.phone is not None and written.state is not SessionState.PAIRING:
            raise _already_linked()
        raise QrNotReady(f"No QR code is on offer yet: {view.status.reason.sentence}", "Ask again in a second.", 1)

    def _offer(self, pairing: Pairing) -> PairingOffer | None:
        if not pairing.qr or pairing.offered_at is None:
            return None
        age_s = max(0.0, (self._clock.now() - pairing.offered_at).total_seconds())
        if age_s > QR_AGE_S_MAX:
            return None
        return PairingOffer(pairing.qr, pairing.offered_at, max(1.0, QR_GOOD_FOR_S - age_s))

    async def _ask_for_round(self, pairing: Pairing | None) -> None:
        if pairing is None:
            return  # It is being written; whoever asks again finds it.
        asked_at = pairing.requested_at
        if asked_at is not None and self._clock.now() - asked_at < timedelta(seconds=ROUND_ASKED_EVERY_S):
            return
        try:
            await self._store.commit([accounts.request_qr(pairing)])
        except StoreConflict:
            return  # Somebody else asked, or a code has just come.

    async def _views(self, found: Sequence[Account]) -> list[SessionView]:
        gate = asyncio.Semaphore(LOOK_UPS_MAX)
        parts = await asyncio.gather(*(self._parts(account.id, gate) for account in found))
        beats = await self._beats({device.connector for devices, _ in parts for device in devices if device.connector})
        now = self._clock.now()
        return [
            await self._view(account, devices, queued, beats, now)
            for account, (devices, queued) in zip(found, parts, strict=True)
        ]

    async def _parts(self, account: str, gate: asyncio.Semaphore) -> tuple[list[Device], list[Document]]:
        async with gate:
            devices, queued = await asyncio.gather(
                self._store.query(accounts.devices_of_account(account)),
                self._store.query(outbox.queued_rows(account, QUEUED_READ_MAX)),
            )
        return [Device.read(document) for document in devices], queued

    async def _view(
        self,
        account: Account,
        devices: Sequence[Device],
        queued: Sequence[Document],
        beats: Mapping[str, ConnectorBeat],
        now: datetime,
    ) -> SessionView:
        seen = {device.slot: _outlook(device, beats, now) for device in devices}
        overall = best(seen.values())
        oldest = queued[0].fields["accepted_at"] if queued else None
        counts = [_queued_there(device, beats) for device in devices if not seen[device.slot].silent]
        return SessionView(
            account=account,
            status=told_status(account.status, overall),
            connector_silent=overall.silent,
            proof=overall.proof,
            devices=tuple(_device_view(account, device, seen[device.slot]) for device in devices),
            queued=await self._queued(account.id, len(queued), max(counts, default=0)),
            oldest_queued_s=max(0.0, (now - oldest).total_seconds()) if oldest is not None else None,
        )

    async def _queued(self, account: str, read: int, counted_there: int) -> int:
        if read < QUEUED_READ_MAX:
            return read
        if counted_there > read:
            return counted_there
        return len(await self._store.query(outbox.queued_rows(account, QUEUED_COUNTED_MAX)))

    async def _beats(self, names: set[str]) -> dict[str, ConnectorBeat]:
        documents = await asyncio.gather(*(self._store.get(connectors.connector_path(name)) for name in sorted(names)))
        return {document.id: ConnectorBeat.read(document) for document in documents if document is not None}


async def own_account(store: DocumentStore, tenant: str, session_id: str) -> Account:
    """The account behind a tenant's session id. Raises NotFound (`session_not_found`) for all that is not there for it."""
    try:
        path = accounts.account_path(account_id(tenant, session_id))
    except InvalidInput:
        raise _not_found() from None  # Nothing can be called that.
    document = await store.get(path)
    if document is None:
        raise _not_found()
    account = Account.read(document)
    if account.tenant != tenant or not account.wanted:
        raise _not_found()
    return account


def _outlook(device: Device, beats: Mapping[str, ConnectorBeat], now: datetime) -> Outlook:
    beat = beats.get(device.connector)
    if beat is None:
        return UNHELD
    of_device = beat.devices.get(_beat_name(device))
    return outlook(
        now,
        beat_at=beat.at,
        stopping=beat.stopping,
        evidence_kind=of_device.evidence_kind if of_device else None,
        evidence_age_ms=of_device.evidence_age_ms if of_device else None,
    )


def _queued_there(device: Device, beats: Mapping[str, ConnectorBeat]) -> int:
    """How many rows the device's connector says that it has waiting."""
    of_device = beats[device.connector].devices.get(_beat_name(device))
    return of_device.queued if of_device else 0


def _beat_name(device: Device) -> str:
    return f"{device.account}_{device.slot}"


def _device_view(account: Account, device: Device, seen: Outlook) -> DeviceView:
    code = account.status.code if device.connector else WAITING_FOR_CONNECTOR.code
    state = told_status(SessionStatus(device.state, code), seen).state
    return DeviceView(device.slot, state, device.connector or None, device.region or None)


def _fresh(account: Account) -> SessionView:
    device = DeviceView(FIRST_SLOT, account.status.state, None, None)
    return SessionView(account, account.status, True, None, (device,), 0, None)


def _taken(account: Account) -> StateConflict:
    if not account.wanted:
        return StateConflict(
            "session_being_deleted",
            "A session of this name is still being deleted.",
            "Wait until it is cleared, then create it again; or choose another id.",
        )
    return StateConflict("session_exists", "There is a session of this name already.", "Use it, or choose another id.")


def _already_linked() -> StateConflict:
    return StateConflict(
        "already_linked", "A phone has linked this session already.", "Nothing to scan: look at its status."
    )


def _not_found() -> NotFound:
    return NotFound("session_not_found", "There is no such session.", "Create it, or list the sessions that exist.")


def _busy() -> Unavailable:
    return Unavailable("busy", "The session is being changed by others at this moment.", "Try again in a second.")
