"""Questions about people as calls of the library. A failed call raises NeonizeError with whatsmeow's words."""

from __future__ import annotations

from typing import Any

from neonize.client import NewClient
from neonize.exc import GetProfilePictureError

from keepline.domain.addresses import PHONE_SERVER
from keepline.domain.contact_commands import CheckContacts, ContactCommand, SeeContact
from keepline_connector.cell.people import People, Person, to_jid

# whatsmeow's words for a profile without a picture, or with one that this number may not see (errors.go).
_NO_PICTURE = "does not have a profile picture"
_HIDDEN_PICTURE = "hidden their profile picture"


def carry_out(client: NewClient, people: People, command: ContactCommand) -> dict[str, Any]:
    """Ask, and return the result. Raises NeonizeError."""
    match command:
        case CheckContacts():
            return {"contacts": _check(client, people, command.people)}
        case SeeContact(person=person):
            return _see(client, people, person)


def _check(client: NewClient, people: People, addresses: tuple[str, ...]) -> list[dict[str, Any]]:
    named = [people.named(address) for address in addresses]
    numbers = list(dict.fromkeys(one["phone"] for one in named if one["phone"] is not None))
    # Without a number the library asks nothing, and says nothing.
    found = {one.Query.lstrip("+"): one for one in client.is_on_whatsapp(*(f"+{number}" for number in numbers))}
    return [
        {"asked": address, **_checked(people, one, found.get(one["phone"] or ""))}
        for address, one in zip(addresses, named, strict=True)
    ]


def _checked(people: People, asked: Person, found: Any) -> dict[str, Any]:
    if found is None:
        return {**asked, "on_whatsapp": None, "business_name": None}
    if not found.IsIn:
        return {**asked, "on_whatsapp": False, "business_name": None}
    # WhatsApp may know the number under another one (an old form of Brazilian numbers, say): what it names is what holds.
    person = people.of_jids(found.JID)
    return {
        "phone": person["phone"] or asked["phone"],
        "lid": person["lid"],
        "on_whatsapp": True,
        "business_name": _business_name(found),
    }


def _see(client: NewClient, people: People, address: str) -> dict[str, Any]:
    person = people.named(address)
    # By the number where it is known: whether WhatsApp answers such questions about a LID is not known (whatsmeow, usync).
    jid = to_jid(f"{person['phone']}@{PHONE_SERVER}" if person["phone"] is not None else address)
    told = client.get_user_info(jid)
    info = told[0].UserInfo if told else None
    picture, hidden = _picture(client, jid)
    return {
        **people.named(address),  # The answer may have brought the other name.
        "about": (info.Status or None) if info is not None else None,
        "business_name": _business_name(info) if info is not None else None,
        "picture": picture,
        "picture_hidden": hidden,
    }


def _picture(client: NewClient, jid: Any) -> tuple[dict[str, str] | None, bool]:
    try:
        picture = client.get_profile_picture(jid)
    except GetProfilePictureError as error:
        if _NO_PICTURE in str(error) or _HIDDEN_PICTURE in str(error):
            return None, _HIDDEN_PICTURE in str(error)
        raise
    return {"id": picture.ID, "url": picture.URL}, False


def _business_name(told: Any) -> str | None:
    return told.VerifiedName.Details.verifiedName or None
