"""People as the library addresses them: what is asked of WhatsApp goes to their LID, answers say both names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

from neonize.utils.jid import build_jid

from keepline.domain.addresses import LID_SERVER, PHONE_SERVER
from keepline_connector.cell.store import OwnNumber

# Of an address the phone and the LID.
BothOf = Callable[[str], tuple[str | None, str | None]]


class Person(TypedDict):
    """Somebody in a result, as digits."""

    phone: str | None
    lid: str | None


class People:
    """What the device knows of people, itself included."""

    def __init__(self, both_of: BothOf, own: OwnNumber | None) -> None:
        self._both_of = both_of
        self._own = own

    def jid(self, chat: str) -> Any:
        """People are told by their LID where it is known, as in messages (whatsmeow, send.go)."""
        lid = self._both_of(chat)[1]
        return to_jid(f"{lid}@{LID_SERVER}" if lid else chat)

    def named(self, address: str) -> Person:
        """Somebody by an address that we keep."""
        phone, lid = self._both_of(address)
        return {"phone": phone, "lid": lid}

    def of_jids(self, *jids: Any) -> Person:
        """Somebody whom WhatsApp names in one of its ways or in several; what it does not say is looked up."""
        phone = next((jid.User for jid in jids if jid.Server == PHONE_SERVER and jid.User), None)
        lid = next((jid.User for jid in jids if jid.Server == LID_SERVER and jid.User), None)
        if phone is None and lid is not None:
            phone, _ = self._both_of(f"{lid}@{LID_SERVER}")
        elif lid is None and phone is not None:
            _, lid = self._both_of(f"{phone}@{PHONE_SERVER}")
        return {"phone": phone, "lid": lid}

    def is_own(self, *jids: Any) -> bool:
        """Whether WhatsApp names this device's own number. Looks nothing up."""
        own = self._own
        names = {f"{jid.User}@{jid.Server}" for jid in jids}
        return own is not None and not names.isdisjoint({f"{own.phone}@{PHONE_SERVER}", f"{own.lid}@{LID_SERVER}"})


def to_jid(address: str) -> Any:
    """An address as the library wants it."""
    user, _, server = address.partition("@")
    return build_jid(user, server)


def is_same(one: Person, other: Person) -> bool:
    """Whether two names are of one person. A name that is not known is nobody's."""
    return any(one[name] is not None and one[name] == other[name] for name in ("phone", "lid"))
