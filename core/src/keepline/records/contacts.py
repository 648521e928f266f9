"""`contacts/{account}_{address}`: whether somebody is on WhatsApp, as it was answered last. Firestore removes it after a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keepline.ports.documents import Document, Put

CONTACTS = "contacts"
# How long an answer is taken for good: people rarely come or go, and each question is one that WhatsApp may count.
KEPT = timedelta(days=1)


def contact_path(account: str, address: str) -> str:
    return f"{CONTACTS}/{account}_{address}"


@dataclass(frozen=True)
class CheckedContact:
    """Somebody as WhatsApp answered about them; both names as digits, where they are known."""

    phone: str | None
    lid: str | None
    on_whatsapp: bool | None
    business_name: str | None
    checked_at: datetime

    @classmethod
    def read(cls, document: Document) -> CheckedContact:
        return cls.of(document.fields, document.fields["checked_at"])

    @classmethod
    def of(cls, told: Mapping[str, Any], checked_at: datetime) -> CheckedContact:
        """As a device told it."""
        return cls(told["phone"], told["lid"], told["on_whatsapp"], told["business_name"], checked_at)


def checked(tenant: str, account: str, address: str, contact: CheckedContact) -> Put:
    """Keep an answer, in place of an older one."""
    fields = {
        "tenant": tenant,
        "account": account,
        "phone": contact.phone,
        "lid": contact.lid,
        "on_whatsapp": contact.on_whatsapp,
        "business_name": contact.business_name,
        "checked_at": contact.checked_at,
        "expire_at": contact.checked_at + KEPT,
    }
    return Put(contact_path(account, address), fields)
