"""What a program asks a linked device about people, as commands. All of them are questions, and can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class CheckContacts:
    """Who of these people is on WhatsApp, in the order asked.

    `{"contacts": [{"asked", "phone", "lid", "on_whatsapp", "business_name"}]}`. `on_whatsapp` is null for a LID whose number the
    device does not know: WhatsApp is asked about numbers only.
    """

    kind: ClassVar = "check_contacts"
    once: ClassVar = False

    people: tuple[str, ...]  # addresses

    def to_map(self) -> dict[str, Any]:
        return {"people": list(self.people)}

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> CheckContacts:
        return cls(tuple(fields["people"]))


@dataclass(frozen=True)
class SeeContact:
    """What somebody shows of themselves; null is what is not there, or is not shown to this number.

    `{"phone", "lid", "about", "business_name", "picture": {"id", "url"}, "picture_hidden"}`.
    """

    kind: ClassVar = "see_contact"
    once: ClassVar = False

    person: str  # an address

    def to_map(self) -> dict[str, Any]:
        return {"person": self.person}

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> SeeContact:
        return cls(fields["person"])


ContactCommand = CheckContacts | SeeContact
