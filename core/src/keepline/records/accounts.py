"""`accounts/{tenant}_{session}`: a WhatsApp number and the truth about its connection. `…/devices/{slot}`: who holds a device."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keepline.domain.session import SessionState, SessionStatus
from keepline.ports.documents import SERVER_TIME, Create, Delete, Document, Query, Update, Version, Where, Write

ACCOUNTS = "accounts"
DEVICES = "devices"
PAIRING = "pairing"

FIRST_SLOT = "a"
# A connector takes up to this many devices; the pool's limits proper come with the pool.
DEVICES_PER_CONNECTOR_MAX = 200
# One per device, at most four devices an account, and a query for 30 accounts.
PAIRINGS_MAX = 120
# More sessions of one tenant than this are not listed; the pool's limits stop well below it.
ACCOUNTS_LISTED_MAX = 200


def account_path(account: str) -> str:
    return f"{ACCOUNTS}/{account}"


def device_path(account: str, slot: str) -> str:
    return f"{ACCOUNTS}/{account}/{DEVICES}/{slot}"


def pairing_path(account: str, slot: str) -> str:
    return f"{PAIRING}/{account}_{slot}"


@dataclass(frozen=True)
class Account:
    """One account as it was read. `tag_key` makes the tags of its messages and is shown to nobody."""

    id: str
    tenant: str
    session_id: str
    phone: str | None
    lid: str | None
    status: SessionStatus
    tag_key: bytes
    wanted: bool
    created_at: datetime
    version: Version

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
            tag_key=fields["tag_key"],
            wanted=fields["wanted"],
            created_at=fields["created_at"],
            version=document.version,
        )


@dataclass(frozen=True)
class Device:
    """A linked device and the connector that holds it. `connector` is empty while none has taken it."""

    account: str
    slot: str
    connector: str
    region: str
    state: SessionState
    wanted: bool
    version: Version

    @classmethod
    def read(cls, document: Document) -> Device:
        fields = document.fields
        return cls(
            account=fields["account"],
            slot=document.id,
            connector=fields["connector"],
            region=fields["region"],
            state=SessionState(fields["state"]),
            wanted=fields["wanted"],
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


def new_account(*, account: str, tenant: str, session_id: str, tag_key: bytes, status: SessionStatus) -> list[Write]:
    """A session with one device that waits for a connector."""
    return [
        Create(
            account_path(account),
            {
                "tenant": tenant,
                "session_id": session_id,
                "phone": None,
                "lid": None,
                "tag_key": tag_key,
                "wanted": True,
                "created_at": SERVER_TIME,
                **status_fields(status),
            },
        ),
        Create(
            device_path(account, FIRST_SLOT),
            {
                "account": account,
                "connector": "",
                "region": "",
                "state": status.state.value,
                "wanted": True,
                "created_at": SERVER_TIME,
            },
        ),
    ]


def unwanted(account: Account, devices: list[Device]) -> list[Write]:
    """The session is deleted for its user now; its connector logs out and clears the documents."""
    return [
        Update(account_path(account.id), {"wanted": False, "changed_at": SERVER_TIME}, account.version),
        *(Update(device_path(device.account, device.slot), {"wanted": False}) for device in devices),
    ]


def assign(device: Device, connector: str, region: str) -> Update:
    """Take a device, if nobody else has touched it since."""
    path = device_path(device.account, device.slot)
    return Update(path, {"connector": connector, "region": region, "assigned_at": SERVER_TIME}, device.version)


def device_status(account: str, slot: str, status: SessionStatus) -> Update:
    return Update(device_path(account, slot), status_fields(status))


def account_status(account: str, status: SessionStatus, *, phone: str | None, lid: str | None) -> Update:
    fields = status_fields(status)
    if phone is not None:
        fields["phone"] = phone
    if lid is not None:
        fields["lid"] = lid
    return Update(account_path(account), fields)


def accounts_of_tenant(tenant: str) -> Query:
    """The sessions of a tenant, without those that are being deleted. Two equalities and no order: no index of its own."""
    where = (Where("tenant", "==", tenant), Where("wanted", "==", True))
    return Query(ACCOUNTS, where, limit=ACCOUNTS_LISTED_MAX)


def devices_of_account(account: str) -> Query:
    return Query(f"{ACCOUNTS}/{account}/{DEVICES}", limit=4)


def devices_of_connector(connector: str) -> Query:
    """The devices that a connector holds; with the empty name, those that nobody holds."""
    return Query(DEVICES, (Where("connector", "==", connector),), limit=DEVICES_PER_CONNECTOR_MAX, group=True)


def remove_account(account: str, slot: str, version: Version) -> list[Write]:
    """The last words of a deleted session."""
    return [
        Delete(device_path(account, slot)),
        Delete(pairing_path(account, slot)),
        Delete(f"send_authority/{account}"),
        Delete(account_path(account), version),
    ]


@dataclass(frozen=True)
class Pairing:
    """The QR code on offer for a device. `requested` rises when somebody asks for a code and none is on offer."""

    account: str
    slot: str
    qr: str | None
    offered_at: datetime | None
    requested: int
    requested_at: datetime | None
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
            version=document.version,
        )


def new_pairing(account: str, slot: str, tenant: str) -> Create:
    fields = {"account": account, "slot": slot, "tenant": tenant, "qr": None, "offered_at": None, "requested": 0}
    return Create(pairing_path(account, slot), fields)


def offer_qr(account: str, slot: str, qr: str | None) -> Update:
    fields = {"qr": qr, "offered_at": SERVER_TIME if qr else None, "changed_at": SERVER_TIME}
    return Update(pairing_path(account, slot), fields)


def request_qr(pairing: Pairing) -> Update:
    path = pairing_path(pairing.account, pairing.slot)
    return Update(path, {"requested": pairing.requested + 1, "requested_at": SERVER_TIME}, pairing.version)


def pairings_of(accounts: tuple[str, ...]) -> Query:
    return Query(PAIRING, (Where("account", "in", list(accounts)),), limit=PAIRINGS_MAX)
