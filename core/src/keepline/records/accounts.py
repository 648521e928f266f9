"""`accounts/{tenant}_{session}`: a WhatsApp number and the truth about its connection. `…/devices/{slot}`: who holds a device.

`account_secrets/{tenant}_{session}`: what of an account its owner's browser must not read (rules cannot hide a field).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from keepline.domain.message import OnDoubt
from keepline.domain.pairing import CodeAnswer
from keepline.domain.reconnect import Breaker
from keepline.domain.session import SessionState, SessionStatus
from keepline.domain.standby import StandbySetting
from keepline.ports.documents import SERVER_TIME, Create, Delete, Document, Query, Update, Version, Where, Write
from keepline.records.link_settings import StoredSettings

ACCOUNTS = "accounts"
ACCOUNT_SECRETS = "account_secrets"
DEVICES = "devices"
PAIRING = "pairing"

FIRST_SLOT = "a"
SECOND_SLOT = "b"  # the standby's
SLOTS = (FIRST_SLOT, SECOND_SLOT)
DEFAULT_SETTINGS = StoredSettings()
# The most that a connector's capacity can be set to: one listener brings all that it holds.
DEVICES_PER_CONNECTOR_MAX = 500
# Ten claims at a time are settled by another device; what is dropped here would be a message that has to be asked for again.
SUSPECT_CHATS_MAX = 200
# More of an installation are not spread, and its sessions have up to two each: a limit of the pool cannot be set above these.
DEVICES_MAX = 2_000
ACCOUNTS_MAX = DEVICES_MAX // 2
# One per device, at most four devices an account, and a query for 30 accounts.
PAIRINGS_MAX = 120
# More sessions of one tenant than this are not listed; the pool's limit for a tenant cannot be set above it.
ACCOUNTS_LISTED_MAX = 200


def account_path(account: str) -> str:
    return f"{ACCOUNTS}/{account}"


def secret_path(account: str) -> str:
    return f"{ACCOUNT_SECRETS}/{account}"


def device_path(account: str, slot: str) -> str:
    return f"{ACCOUNTS}/{account}/{DEVICES}/{slot}"


def pairing_path(account: str, slot: str) -> str:
    return f"{PAIRING}/{account}_{slot}"


@dataclass(frozen=True)
class Account:
    """One account as it was read.

    `on_doubt` is what holds for a message that does not say it itself, `settings` what holds for all of its devices.
    `changed_at` is when its state or its reason was last written.
    `standby_offered_at` is None until a standby was offered, `standby_refused_at` unless a phone with another number linked the
    standby and no other standby was made since.
    """

    id: str
    tenant: str
    session_id: str
    phone: str | None
    lid: str | None
    status: SessionStatus
    on_doubt: OnDoubt
    settings: StoredSettings
    standby: StandbySetting
    standby_offered_at: datetime | None
    standby_refused_at: datetime | None
    wanted: bool
    created_at: datetime
    changed_at: datetime
    version: Version

    @property
    def has_offer(self) -> bool:
        """Whether a standby may be made by asking for its code."""
        return self.standby is StandbySetting.OFFER and self.standby_offered_at is not None

    @classmethod
    def read(cls, document: Document) -> Account:
        fields = document.fields
        return cls(
            id=document.id,
            tenant=fields["tenant"],
            session_id=fields["session_id"],
            phone=fields["phone"],
            lid=fields["lid"],
            status=SessionStatus(SessionState(fields["state"]), fields["reason"]["code"]),
            on_doubt=OnDoubt(fields["on_doubt"]),
            settings=StoredSettings.read(fields["settings"]),
            standby=StandbySetting(fields.get("standby", StandbySetting.OFFER)),
            standby_offered_at=fields.get("standby_offered_at"),
            standby_refused_at=fields.get("standby_refused_at"),
            wanted=fields["wanted"],
            created_at=fields["created_at"],
            changed_at=fields["changed_at"],
            version=document.version,
        )


@dataclass(frozen=True)
class KeyedAccount(Account):
    """An account with `tag_key`, which makes the tags of its messages."""

    tag_key: bytes = field(repr=False)


def with_key(account: Account, secret: Document) -> KeyedAccount:
    """An account with the secret of its document in `account_secrets`."""
    return KeyedAccount(**vars(account), tag_key=tag_key(secret))


def tag_key(secret: Document) -> bytes:
    """The tag key in an account's secret document."""
    key: bytes = secret.fields["tag_key"]
    return key


@dataclass(frozen=True)
class LinkLife:
    """How a device's connection fares, as of the last write of its state: failed tries in a row, whether trying goes on fast, and
    what was last heard from WhatsApp, and when. (The heartbeat tells of anything later.)"""

    reconnect_attempts: int = 0
    breaker: Breaker = Breaker.CLOSED
    last_activity_at: datetime | None = None
    last_activity: str | None = None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> LinkLife:
        return cls(
            fields["reconnect_attempts"],
            Breaker(fields["breaker"]),
            fields["last_activity_at"],
            fields["last_activity"],
        )

    def fields(self) -> dict[str, Any]:
        """What is written of it. Nothing heard in this life leaves what was heard before."""
        fields: dict[str, Any] = {"reconnect_attempts": self.reconnect_attempts, "breaker": self.breaker.value}
        if self.last_activity_at is not None:
            fields |= {"last_activity_at": self.last_activity_at, "last_activity": self.last_activity}
        return fields


@dataclass(frozen=True)
class Device:
    """A device and the connector that holds it. `connector` is empty while none has taken it.

    `linked` says whether a phone has linked it: from the login after a scan until it offers a code again. `session_sequence` is
    the step of its stored session when its state was last written. `restored_at`: when its local store was last rebuilt.
    `suspect_chats`: it may have sent to these after the newest state that is stored of it, and another device has settled what
    became of that. `reconnects_asked` rises when somebody wants a connection now. `settings`: a copy of the account's.
    """

    account: str
    slot: str
    connector: str
    region: str
    state: SessionState
    reason_code: str
    linked: bool
    wanted: bool
    session_sequence: int
    restored_at: datetime | None
    suspect_chats: tuple[str, ...]
    reconnects_asked: int
    life: LinkLife
    settings: StoredSettings
    version: Version

    @property
    def name(self) -> tuple[str, str]:
        """Its account and slot."""
        return (self.account, self.slot)

    @property
    def status(self) -> SessionStatus:
        """What its connector wrote of it."""
        return SessionStatus(self.state, self.reason_code)

    @classmethod
    def read(cls, document: Document) -> Device:
        fields = document.fields
        return cls(
            account=fields["account"],
            slot=document.id,
            connector=fields["connector"],
            region=fields["region"],
            state=SessionState(fields["state"]),
            reason_code=fields["reason"]["code"],
            linked=fields["linked"],
            wanted=fields["wanted"],
            session_sequence=fields["session_sequence"],
            restored_at=fields["restored_at"],
            suspect_chats=tuple(fields["suspect_chats"]),
            reconnects_asked=fields.get("reconnects_asked", 0),
            life=LinkLife.read(fields),
            settings=StoredSettings.read(fields["settings"]),
            version=document.version,
        )


def status_fields(status: SessionStatus) -> dict[str, Any]:
    """A state with its reason in words, so that the console needs no table."""
    reason = status.reason
    return {
        "state": status.state.value,
        "reason": {"code": reason.code, "sentence": reason.sentence, "next_step": reason.next_step},
        "changed_at": SERVER_TIME,
    }


def new_account(
    *,
    account: str,
    tenant: str,
    session_id: str,
    tag_key: bytes,
    status: SessionStatus,
    on_doubt: OnDoubt = OnDoubt.RESEND,
    settings: StoredSettings = DEFAULT_SETTINGS,
    standby: StandbySetting = StandbySetting.OFFER,
) -> list[Write]:
    """A session with one device that waits for a connector."""
    fields = {
        "tenant": tenant,
        "session_id": session_id,
        "phone": None,
        "lid": None,
        "on_doubt": on_doubt.value,
        "settings": settings.fields(),
        "standby": standby.value,
        "standby_offered_at": None,
        "standby_refused_at": None,
        "phone_seen_at": None,
        "wanted": True,
        "created_at": SERVER_TIME,
        **status_fields(status),
    }
    return [
        Create(account_path(account), fields),
        Create(secret_path(account), {"tenant": tenant, "tag_key": tag_key}),
        _new_device(account, FIRST_SLOT, status, settings),
    ]


def offer_standby(account: Account) -> Update:
    """A standby is on offer from now on, unless the account was changed meanwhile."""
    return Update(account_path(account.id), {"standby_offered_at": SERVER_TIME}, account.version)


def decline_standby(account: str) -> Update:
    """Nobody wants a standby that did not ask for one."""
    return Update(account_path(account), {"standby": StandbySetting.OFF.value})


def new_standby(account: Account, status: SessionStatus) -> list[Write]:
    """A second device that waits for a connector, unless the account was changed meanwhile (deleted, or its settings)."""
    touch = Update(account_path(account.id), {"changed_at": SERVER_TIME, "standby_refused_at": None}, account.version)
    return [_new_device(account.id, SECOND_SLOT, status, account.settings), touch]


def changed_settings(
    account: Account,
    devices: Collection[Device],
    on_doubt: OnDoubt,
    standby: StandbySetting,
    settings: StoredSettings,
) -> list[Write]:
    """A session's choices, in its account and in every device of it, unless the account was changed meanwhile."""
    return [
        Update(
            account_path(account.id),
            {"on_doubt": on_doubt.value, "standby": standby.value, "settings": settings.fields()},
            account.version,
        ),
        *(Update(device_path(device.account, device.slot), {"settings": settings.fields()}) for device in devices),
    ]


def _new_device(account: str, slot: str, status: SessionStatus, settings: StoredSettings) -> Create:
    fields = {
        "account": account,
        "connector": "",
        "region": "",
        "linked": False,
        "wanted": True,
        "session_sequence": 0,
        "restored_at": None,
        "suspect_chats": [],
        "reconnects_asked": 0,
        "last_activity_at": None,
        "last_activity": None,
        **LinkLife().fields(),
        "settings": settings.fields(),
        "created_at": SERVER_TIME,
        **status_fields(status),
    }
    return Create(device_path(account, slot), fields)


def unwanted(account: Account, devices: list[Device]) -> list[Write]:
    """The session is deleted for its user now; its connector logs out and clears the documents."""
    return [
        Update(account_path(account.id), {"wanted": False, "changed_at": SERVER_TIME}, account.version),
        *(Update(device_path(device.account, device.slot), {"wanted": False}) for device in devices),
    ]


def unwanted_device(device: Device) -> Update:
    """One device is to go and the session stays; the device's connector logs it out and clears its documents."""
    return Update(device_path(device.account, device.slot), {"wanted": False}, device.version)


def ask_to_reconnect(device: Device) -> Update:
    """Somebody wants this device to connect now, unless it was changed meanwhile."""
    path = device_path(device.account, device.slot)
    return Update(path, {"reconnects_asked": device.reconnects_asked + 1}, device.version)


def refuse_standby(device: Device) -> list[Write]:
    """A phone with another number has linked this standby: it is to go, and its owner is to know why."""
    return [unwanted_device(device), Update(account_path(device.account), {"standby_refused_at": SERVER_TIME})]


def assign(device: Device, connector: str, region: str) -> Update:
    """Take a device, if nobody else has touched it since."""
    path = device_path(device.account, device.slot)
    return Update(path, {"connector": connector, "region": region, "assigned_at": SERVER_TIME}, device.version)


def device_status(
    account: str, slot: str, status: SessionStatus, session_sequence: int | None, life: LinkLife
) -> Update:
    """`session_sequence` is None while the session is not open."""
    fields = {**status_fields(status), **life.fields()}
    if session_sequence is not None:
        fields["session_sequence"] = session_sequence
        fields["suspect_chats"] = []  # Whoever opened it has taken note of them.
    # Only the newest state is written, so each that can follow a scan says that there was one.
    if status.state is SessionState.CONNECTED or status.code == "logging_in":
        fields["linked"] = True
    elif status.state is SessionState.PAIRING:
        fields["linked"] = False
    return Update(device_path(account, slot), fields)


def suspect(device: Device, chats: Collection[str]) -> Update:
    """What this device had claimed is settled by another one: its ratchets of these chats may be ahead of what is stored."""
    suspects = [*dict.fromkeys([*device.suspect_chats, *sorted(chats)])][-SUSPECT_CHATS_MAX:]
    return Update(device_path(device.account, device.slot), {"suspect_chats": suspects}, device.version)


def device_restored(account: str, slot: str) -> Update:
    """What this device does not know, it may have known before."""
    return Update(device_path(account, slot), {"restored_at": SERVER_TIME})


def account_status(
    account: str,
    status: SessionStatus,
    *,
    phone: str | None,
    lid: str | None,
    phone_seen_at: datetime | None = None,
) -> Update:
    """`phone_seen_at`: when its phone last did something that we know of; None says nothing new."""
    fields = status_fields(status)
    if phone_seen_at is not None:
        fields["phone_seen_at"] = phone_seen_at
    if phone is not None:
        fields["phone"] = phone
    if lid is not None:
        fields["lid"] = lid
    return Update(account_path(account), fields)


def accounts_of_tenant(tenant: str) -> Query:
    """The sessions of a tenant, without those that are being deleted. Two equalities and no order: no index of its own."""
    where = (Where("tenant", "==", tenant), Where("wanted", "==", True))
    return Query(ACCOUNTS, where, limit=ACCOUNTS_LISTED_MAX)


def accounts_in_state(state: str) -> Query:
    """Those of the installation whose connector wrote this state last."""
    return Query(ACCOUNTS, (Where("state", "==", state),), limit=ACCOUNTS_MAX)


def accounts_in_states(states: tuple[str, ...]) -> Query:
    """Those of the installation whose connector wrote one of these states last."""
    return Query(ACCOUNTS, (Where("state", "in", list(states)),), limit=ACCOUNTS_MAX)


def phones_unseen_since(before: datetime) -> Query:
    """Those of the installation whose phone was seen last before a moment; without those of which that is not known."""
    return Query(ACCOUNTS, (Where("phone_seen_at", "<", before),), "phone_seen_at", limit=ACCOUNTS_MAX)


def all_accounts() -> Query:
    """Every account of the installation, those that are being deleted included."""
    return Query(ACCOUNTS, limit=ACCOUNTS_MAX)


def devices_of_account(account: str) -> Query:
    return Query(f"{ACCOUNTS}/{account}/{DEVICES}", limit=4)


def devices_of_connector(connector: str) -> Query:
    """The devices that a connector holds; with the empty name, those that nobody holds."""
    return Query(DEVICES, (Where("connector", "==", connector),), limit=DEVICES_PER_CONNECTOR_MAX, group=True)


def devices_in_states(states: tuple[str, ...]) -> Query:
    """The devices of the installation that were in one of these states when it was last written."""
    return Query(DEVICES, (Where("state", "in", list(states)),), limit=DEVICES_MAX, group=True)


def all_devices() -> Query:
    """Every device of the installation."""
    return Query(DEVICES, limit=DEVICES_MAX, group=True)


def remove_device(account: str, slot: str) -> list[Delete]:
    """The last words of one device, its session's or a standby's."""
    return [Delete(device_path(account, slot)), Delete(pairing_path(account, slot))]


def remove_account(account: str, version: Version) -> list[Write]:
    """The last words of a deleted session, with all of its devices."""
    return [
        *(delete for slot in SLOTS for delete in remove_device(account, slot)),
        Delete(f"send_authority/{account}"),
        Delete(secret_path(account)),
        Delete(account_path(account), version),
    ]


@dataclass(frozen=True)
class AnsweredCode:
    """The answer to request number `request`. `at` is None until the store has it."""

    request: int
    answer: CodeAnswer
    at: datetime | None = None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> AnsweredCode:
        answer = CodeAnswer(fields["code"], fields["good_for_s"], fields["error_code"])
        return cls(fields["request"], answer, fields["at"])


@dataclass(frozen=True)
class Pairing:
    """The codes on offer for a device. `requested` rises when somebody asks for a QR code and none is on offer.

    `code_requested` rises when somebody asks for a code to type into the phone of the number `code_phone`; `code` has what came
    of the newest request that was answered.
    """

    account: str
    slot: str
    qr: str | None = field(repr=False)
    offered_at: datetime | None
    requested: int
    requested_at: datetime | None
    code_requested: int
    code_requested_at: datetime | None
    code_phone: str | None
    code: AnsweredCode | None
    version: Version

    @classmethod
    def read(cls, document: Document) -> Pairing:
        fields = document.fields
        return cls(
            account=fields["account"],
            slot=fields["slot"],
            qr=fields.get("qr"),
            offered_at=fields.get("offered_at"),
            requested=fields.get("requested", 0),
            requested_at=fields.get("requested_at"),
            code_requested=fields.get("code_requested", 0),
            code_requested_at=fields.get("code_requested_at"),
            code_phone=fields.get("code_phone"),
            code=AnsweredCode.read(fields["code"]) if fields.get("code") else None,
            version=document.version,
        )


def new_pairing(account: str, slot: str, tenant: str) -> Create:
    fields = {"account": account, "slot": slot, "tenant": tenant, "qr": None, "offered_at": None, "requested": 0}
    fields |= {"code": None, "code_requested": 0, "code_phone": None}
    return Create(pairing_path(account, slot), fields)


def offer_qr(account: str, slot: str, qr: str | None) -> Update:
    fields = {"qr": qr, "offered_at": SERVER_TIME if qr else None, "changed_at": SERVER_TIME}
    return Update(pairing_path(account, slot), fields)


def request_qr(pairing: Pairing) -> Update:
    path = pairing_path(pairing.account, pairing.slot)
    return Update(path, {"requested": pairing.requested + 1, "requested_at": SERVER_TIME}, pairing.version)


def answer_code(account: str, slot: str, code: AnsweredCode | None) -> Update:
    """What became of a request for a code; None when it is good no more."""
    answered = code and {"request": code.request, **asdict(code.answer), "at": SERVER_TIME}
    return Update(pairing_path(account, slot), {"code": answered, "changed_at": SERVER_TIME})


def request_code(pairing: Pairing, phone: str) -> Update:
    """Somebody wants a code for the phone of this number (digits)."""
    asked = {"code_requested": pairing.code_requested + 1, "code_requested_at": SERVER_TIME, "code_phone": phone}
    return Update(pairing_path(pairing.account, pairing.slot), asked, pairing.version)


def pairings_of(accounts: tuple[str, ...]) -> Query:
    return Query(PAIRING, (Where("account", "in", list(accounts)),), limit=PAIRINGS_MAX)
