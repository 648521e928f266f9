"""Sessions as their owner sees them: create, look, delete. A tenant reaches only account ids of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from keepline.domain.errors import InvalidInput, LimitReached, NotFound, StateConflict, Unavailable
from keepline.domain.ids import account_id, new_session_id
from keepline.domain.link_settings import Presence
from keepline.domain.message import OnDoubt
from keepline.domain.pacing import NORMAL
from keepline.domain.pool_limits import DEFAULT_LIMITS, PoolLimits, refusal
from keepline.domain.queue_cap import QUEUED_MAX
from keepline.domain.session import WAITING_FOR_CONNECTOR, Reason, SessionState, SessionStatus
from keepline.domain.standby import StandbySetting, StandbyView, standby_view
from keepline.domain.tag import TAG_BYTES
from keepline.domain.views import UNHELD, Outlook, Proof, best, held_reason, outlook, told_status
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, StoreConflict, Write
from keepline.records import accounts, connectors, outbox
from keepline.records import pool as pool_records
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT, Account, Device, LinkLife
from keepline.records.connectors import ConnectorBeat
from keepline.records.link_settings import StoredSettings
from keepline.usecases import pool
from keepline.usecases.limiting import SESSIONS, Charged, Limiter
from keepline.usecases.proxy_sealing import ProxySealer

# Sessions of a list that are looked up at the same time.
LOOK_UPS_MAX = 20
TRIES_MAX = 5
SESSION_ID_ENTROPY_BYTES = 8
# All creations of an installation meet in one document. Of those at one moment one succeeds; the others come again, each after
# a pause of its own, so that a dozen at once are through within a second.
CREATE_TRIES_MAX = 15
CREATE_PAUSE_S_MAX = 0.2

Entropy = Callable[[int], bytes]


@dataclass(frozen=True)
class SessionChoices:
    """What the owner of a session chooses. `on_doubt` holds for messages that do not say it themselves."""

    on_doubt: OnDoubt = OnDoubt.RESEND
    standby: StandbySetting = StandbySetting.OFFER
    presence: Presence = Presence.UNAVAILABLE
    proxy: str | None = field(default=None, repr=False)
    pacing: str = NORMAL.name


@dataclass(frozen=True)
class DeviceView:
    """A device. `status` is what its evidence allows. `connector` and `region` are None while nobody holds it.

    `life` is what its connector wrote of its tries; what was last heard is the heartbeat's evidence where that is newer.
    """

    slot: str
    status: SessionStatus
    connector: str | None
    region: str | None
    life: LinkLife
    proof: Proof | None = None


@dataclass(frozen=True)
class Held:
    """What pacing holds back: why, and until when."""

    reason: Reason
    until: datetime


@dataclass(frozen=True)
class SessionView:
    """What may be said of a session at this instant. `status` is what the evidence allows, not only what was written."""

    account: Account
    status: SessionStatus
    proof: Proof | None
    devices: tuple[DeviceView, ...]
    standby: StandbyView
    queued: int
    oldest_queued_s: float | None
    held: Held | None


@dataclass(frozen=True)
class Created:
    """A new session, and what is left of its user's limit; None where the store's answer was lost."""

    session: SessionView
    charged: Charged | None


class Sessions:
    """The sessions of all tenants. `entropy(n)` gives n random bytes."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        entropy: Entropy,
        sealer: ProxySealer,
        limiter: Limiter,
        limits: PoolLimits = DEFAULT_LIMITS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._sealer = sealer
        self._limiter = limiter
        self._limits = limits

    async def create(self, tenant: str, session_id: str | None, choices: SessionChoices | None = None) -> Created:
        """A new session that waits for a connector.

        Raises StateConflict (`session_exists`, `session_being_deleted`), LimitReached (`session_limit_reached`,
        `installation_full`), TooMany (`rate_limited`), and for a proxy what `ProxySealer.seal` does.
        """
        choices = choices or SessionChoices()
        chosen = session_id if session_id is not None else new_session_id(self._entropy(SESSION_ID_ENTROPY_BYTES))
        account = account_id(tenant, chosen)
        tag_key = self._entropy(TAG_BYTES)
        sealed = await self._sealer.seal(account, choices.proxy) if choices.proxy is not None else None
        writes = accounts.new_account(
            account=account,
            tenant=tenant,
            session_id=chosen,
            tag_key=tag_key,
            status=WAITING_FOR_CONNECTOR,
            on_doubt=choices.on_doubt,
            standby=choices.standby,
            settings=StoredSettings(choices.presence, sealed, choices.pacing),
        )
        for _ in range(CREATE_TRIES_MAX):
            tried = await self._try_to_create(account, tenant, writes)
            # Read in either case: a conflict may be with our own commit, whose first answer was lost on its way.
            document, secret = await asyncio.gather(
                self._store.get(accounts.account_path(account)), self._store.get(accounts.secret_path(account))
            )
            if document is None:
                if isinstance(tried, LimitReached):
                    raise tried
                # Others took or gave back a place, or the session before this one was cleared a moment ago.
                await asyncio.sleep(CREATE_PAUSE_S_MAX * self._entropy(1)[0] / 256)
                continue
            found = Account.read(document)
            if secret is None or accounts.tag_key(secret) != tag_key:
                raise _taken(found)
            return Created(_fresh(found), tried if isinstance(tried, Charged) else None)
        raise busy()

    async def _try_to_create(self, account: str, tenant: str, writes: Sequence[Write]) -> Charged | LimitReached | None:
        """Commit these with a place for the account, or say which limit of the pool is in the way. None: others were."""
        with contextlib.suppress(StoreConflict):
            taken = await pool.places(self._store)
            others = [owner for other, owner in taken.tenants.items() if other != account]
            if refused := refusal(others, tenant, self._limits):
                return refused
            place = pool_records.take(taken, account, tenant)
            _, charged = await self._limiter.commit(tenant, SESSIONS, [*writes, place])
            return charged
        return None

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
        raise busy()

    async def _views(self, found: Sequence[Account]) -> list[SessionView]:
        gate = asyncio.Semaphore(LOOK_UPS_MAX)
        parts = await asyncio.gather(*(self._parts(account.id, gate) for account in found))
        beats = await beats_of(self._store, {device.connector for part in parts for device in part.devices})
        now = self._clock.now()
        return [_view(account, part, beats, now) for account, part in zip(found, parts, strict=True)]

    async def _parts(self, account: str, gate: asyncio.Semaphore) -> _Parts:
        async with gate:
            devices, first = await asyncio.gather(
                self._store.query(accounts.devices_of_account(account)),
                self._store.query(outbox.queued_rows(account, 1)),
            )
            # Most queues are empty at most times: a list of many sessions is a third shorter for it.
            queued = await self._store.count(outbox.queued_rows(account, QUEUED_MAX)) if first else 0
        wanted = [device for device in map(Device.read, devices) if device.wanted]
        return _Parts(wanted, queued, first[0] if first else None)


@dataclass(frozen=True)
class _Parts:
    """What a session's view is made of, beside its account. `first` is the row of its queue that is due first."""

    devices: list[Device]
    queued: int
    first: Document | None


async def beats_of(store: DocumentStore, names: set[str]) -> dict[str, ConnectorBeat]:
    """The newest heartbeats of these connectors, without those that have none."""
    paths = [connectors.connector_path(name) for name in sorted(names) if name]
    documents = await asyncio.gather(*map(store.get, paths))
    return {document.id: ConnectorBeat.read(document) for document in documents if document is not None}


async def own_account(store: DocumentStore, tenant: str, session_id: str) -> Account:
    """The account behind a tenant's session id. Raises NotFound (`session_not_found`) for all that is not there for it."""
    try:
        path = accounts.account_path(account_id(tenant, session_id))
    except InvalidInput:
        raise session_not_found() from None  # Nothing can be called that.
    return owned(tenant, await store.get(path))


def owned(tenant: str, document: Document | None) -> Account:
    """The account that was read, if it is the tenant's. Raises NotFound (`session_not_found`)."""
    if document is None:
        raise session_not_found()
    account = Account.read(document)
    if account.tenant != tenant or not account.wanted:
        raise session_not_found()
    return account


def outlook_of(device: Device, beats: Mapping[str, ConnectorBeat], now: datetime) -> Outlook:
    """What the heartbeat of its connector says of a device."""
    beat = beats.get(device.connector)
    if beat is None:
        return UNHELD
    of_device = beat.devices.get(f"{device.account}_{device.slot}")
    return outlook(
        now,
        beat_at=beat.at,
        ttl_s=beat.ttl_s,
        over=beat.is_over,
        evidence_kind=of_device.evidence_kind if of_device else None,
        evidence_age_ms=of_device.evidence_age_ms if of_device else None,
        quality=of_device.quality if of_device else None,
    )


def _view(account: Account, parts: _Parts, beats: Mapping[str, ConnectorBeat], now: datetime) -> SessionView:
    seen = {device.slot: outlook_of(device, beats, now) for device in parts.devices}
    told = {device.slot: told_status(device.status, seen[device.slot]) for device in parts.devices}
    linked = {device.slot: device.linked for device in parts.devices}
    # A standby that nobody has linked says nothing about the connection of the number.
    overall = best(one for slot, one in seen.items() if slot == FIRST_SLOT or linked[slot])
    # One device that works is enough: it sends and hears for the number.
    working = next((one for slot, one in told.items() if linked[slot] and one.state is SessionState.CONNECTED), None)
    return SessionView(
        account=account,
        status=working or told_status(account.status, overall),
        proof=overall.proof,
        devices=tuple(_device_view(device, told[device.slot], seen[device.slot].proof) for device in parts.devices),
        standby=_standby(account, told.get(SECOND_SLOT), linked=linked.get(SECOND_SLOT, False)),
        queued=parts.queued,
        oldest_queued_s=_waited_s(parts.first, now) if parts.first is not None else None,
        held=_held(parts.devices, beats, now),
    )


def _held(devices: Sequence[Device], beats: Mapping[str, ConnectorBeat], now: datetime) -> Held | None:
    """What the device that sends said of it at its last beat, if that is not over."""
    for device in devices:
        beat = beats.get(device.connector)
        of_device = beat.devices.get(f"{device.account}_{device.slot}") if beat is not None else None
        if beat is None or of_device is None or of_device.held_because is None or of_device.held_s is None:
            continue
        until = beat.at + timedelta(seconds=of_device.held_s)
        if until > now:
            return Held(held_reason(of_device.held_because), until)
    return None


def _standby(account: Account, told: SessionStatus | None, *, linked: bool) -> StandbyView:
    return standby_view(
        told,
        linked=linked,
        setting=account.standby,
        offered_at=account.standby_offered_at,
        was_refused=account.standby_refused_at is not None,
    )


def _waited_s(first: Document, now: datetime) -> float | None:
    """How long the first row of a queue has waited; None when it is for later, and so are all others."""
    waited_s: float = (now - first.fields["due_at"]).total_seconds()
    if waited_s < 0 and first.fields["send_at"] is not None:
        return None
    return max(0.0, waited_s)  # The store's clock may be a little ahead of ours.


def _device_view(device: Device, told: SessionStatus, proof: Proof | None) -> DeviceView:
    life = device.life
    if proof is not None and (life.last_activity_at is None or proof.at > life.last_activity_at):
        life = replace(life, last_activity_at=proof.at, last_activity=proof.kind)
    return DeviceView(device.slot, told, device.connector or None, device.region or None, life, proof)


def _fresh(account: Account) -> SessionView:
    device = DeviceView(FIRST_SLOT, account.status, None, None, LinkLife())
    return SessionView(account, account.status, None, (device,), _standby(account, None, linked=False), 0, None, None)


def _taken(account: Account) -> StateConflict:
    if not account.wanted:
        return StateConflict(
            "session_being_deleted",
            "A session of this name is still being deleted.",
            "Wait until it is cleared, then create it again; or choose another id.",
        )
    return StateConflict("session_exists", "There is a session of this name already.", "Use it, or choose another id.")


def session_not_found() -> NotFound:
    """The answer for what is not there, and for what is somebody else's."""
    return NotFound("session_not_found", "There is no such session.", "Create it, or list the sessions that exist.")


def busy() -> Unavailable:
    """The answer when others keep getting in between."""
    return Unavailable("busy", "The session is being changed by others at this moment.", "Try again in a second.")
