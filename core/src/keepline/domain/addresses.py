"""Who a message goes to: phone numbers and WhatsApp ids (JIDs) as people write them, and as we keep them.

A person's chat is kept as `<digits>@s.whatsapp.net` when the phone number is known and as `<id>@lid` when it is not; whatsmeow
maps a number to its LID (WhatsApp's linked id, which hides the number) before it sends. A group is `<id>@g.us`.
"""

from __future__ import annotations

import re

import phonenumbers

from keepline.domain.errors import InvalidInput

PHONE_SERVER = "s.whatsapp.net"
LID_SERVER = "lid"
GROUP_SERVER = "g.us"
# The chat of everybody's statuses.
STATUS_CHAT = "status@broadcast"

# E.164 allows 15 digits; the shortest numbers in use with a country code have 7.
_DIGITS = re.compile(r"[1-9][0-9]{6,14}")
_LID = re.compile(r"[1-9][0-9]{5,19}")
# Older groups are called by their founder's number and the second of their founding, newer ones by one number of 18 digits.
_GROUP = re.compile(r"[1-9][0-9]{5,19}(?:-[0-9]{5,15})?")
_SEPARATORS = re.compile(r"[\s().-]")
_ADDRESS_LENGTH_MAX = 64


def parse_chat(text: str) -> str:
    """Return the chat that `text` names, in the form we keep.

    Accepts what `parse_person` does, groups as `…@g.us`, and `status@broadcast`. Raises InvalidInput for anything else
    (`bad_number`, or `broadcast_not_supported` and `newsletter_not_supported` by name): an address is never guessed.
    """
    name, _, server = _cleaned(text).partition("@")
    match server.lower():
        case "g.us" if _GROUP.fullmatch(name):
            return f"{name}@{GROUP_SERVER}"
        case "broadcast" if name.lower() == "status":
            return STATUS_CHAT
        case "broadcast":
            raise InvalidInput(
                "broadcast_not_supported", "Broadcast lists cannot be written to.", "Send to each person of the list."
            )
        case "newsletter":
            raise InvalidInput(
                "newsletter_not_supported", "Channels cannot be written to.", "Send to a person or a group."
            )
    return parse_person(text)


def parse_person(text: str) -> str:
    """Return the address of the person that `text` names, in the form we keep.

    Accepts bare digits with the country code, `+E.164` with the usual separators, `…@s.whatsapp.net`, `…@c.us` and `…@lid`.
    Raises InvalidInput (`bad_number`) for anything else.
    """
    name, at, server = _cleaned(text).partition("@")
    if not at or server.lower() in (PHONE_SERVER, "c.us"):
        return f"{_phone_digits(name)}@{PHONE_SERVER}"
    if server.lower() == LID_SERVER and _LID.fullmatch(name):
        return f"{name}@{LID_SERVER}"
    raise _bad_number(text)


def parse_phone(text: str) -> str:
    """The digits of a phone number, written with its country code, with or without `+`. Raises InvalidInput (`bad_number`)."""
    if len(text) > _ADDRESS_LENGTH_MAX:
        raise _bad_number(text)
    return _phone_digits(text.strip())


def parse_group(text: str) -> str:
    """The group that `text` names, as `…@g.us`. Raises InvalidInput (`bad_group`)."""
    name, _, server = text.strip().partition("@")
    if len(text) > _ADDRESS_LENGTH_MAX or server.lower() != GROUP_SERVER or not _GROUP.fullmatch(name):
        raise InvalidInput(
            "bad_group",
            f"{text[:_ADDRESS_LENGTH_MAX]!r} is not a group.",
            "Use the chat of a group, like 120363000000000000@g.us; GET /api/groups lists them.",
        )
    return f"{name}@{GROUP_SERVER}"


def phone_of(chat: str) -> str | None:
    """The phone number in an address as digits, or None where there is none."""
    name, _, server = chat.partition("@")
    return name if server == PHONE_SERVER else None


def lid_of(chat: str) -> str | None:
    """The LID in an address as digits, or None where there is none."""
    name, _, server = chat.partition("@")
    return name if server == LID_SERVER else None


def is_group(chat: str) -> bool:
    """Whether several people can write in a chat, so that who wrote a message has to be said."""
    return chat.endswith(f"@{GROUP_SERVER}") or chat == STATUS_CHAT


def _cleaned(text: str) -> str:
    if not isinstance(text, str) or not text.strip() or len(text) > _ADDRESS_LENGTH_MAX:
        raise _bad_number(text)
    return text.strip()


def _phone_digits(text: str) -> str:
    digits = _SEPARATORS.sub("", text).removeprefix("+")
    if not _DIGITS.fullmatch(digits):
        raise _bad_number(text)
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException as error:
        raise _bad_number(text) from error
    # "possible" and not "valid": the lists of valid ranges lag behind the operators by months.
    if not phonenumbers.is_possible_number(number):
        raise _bad_number(text)
    return digits


def _bad_number(text: object) -> InvalidInput:
    shown = str(text)[:_ADDRESS_LENGTH_MAX]
    return InvalidInput(
        "bad_number",
        f"{shown!r} is not a phone number with its country code or a WhatsApp id.",
        "Write the number as +14155550123, as digits with the country code, or as 14155550123@s.whatsapp.net.",
    )
