"""`pool/sessions`: the places of all sessions of the installation, in one document, so that one condition guards every limit.

A place is kept under a name made from its account, and what is taken twice or given back twice changes nothing: there is no
number that could be counted up or down wrongly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keepline.domain.ids import place_id
from keepline.ports.documents import DELETE, SERVER_TIME, Create, Document, Update, Version

POOL = "pool"
PATH = f"{POOL}/sessions"


@dataclass(frozen=True)
class Places:
    """The places as they were read, account to tenant. `checked_at`: when they were last compared with the accounts."""

    tenants: Mapping[str, str]
    checked_at: datetime
    version: Version

    @classmethod
    def read(cls, document: Document) -> Places:
        return cls(
            {place["account"]: place["tenant"] for place in document.fields["places"].values()},
            document.fields["checked_at"],
            document.version,
        )


def take(places: Places, account: str, tenant: str) -> Update:
    """A place for this account, if nobody has taken or given back any since."""
    return Update(PATH, {f"places.{place_id(account)}": _place(account, tenant)}, places.version)


def give_back(account: str) -> Update:
    """The account is gone. The document must exist; giving a place back twice is giving it back once."""
    return Update(PATH, {f"places.{place_id(account)}": DELETE})


def new_places(tenants: Mapping[str, str]) -> Create:
    """The places of these accounts, in an installation that has no such document yet."""
    return Create(PATH, _checked(tenants.items()))


def checked_places(before: Places, tenants: Mapping[str, str]) -> Update:
    """The places are those of these accounts, which were read after `before`."""
    return Update(PATH, _checked(tenants.items()), before.version)


def _checked(tenants: Iterable[tuple[str, str]]) -> dict[str, Any]:
    places = {place_id(account): _place(account, tenant) for account, tenant in tenants}
    return {"places": places, "checked_at": SERVER_TIME}


def _place(account: str, tenant: str) -> dict[str, str]:
    return {"account": account, "tenant": tenant}
