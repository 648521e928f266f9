"""Who a message goes to: phone numbers and WhatsApp ids (JIDs) as people write them, and as we keep them.

A chat is kept as `<digits>@s.whatsapp.net` when the phone number is known and as `<id>@lid` when it is not; whatsmeow
maps a number to its LID (WhatsApp's linked id, which hides the number) before it sends.
"""

from __future__ import annotations

import re

import phonenumbers

from keepline.domain.errors import InvalidInput

PHONE_SERVER = "s.whatsapp.net"
LID_SERVER = "lid"

# E.164 allows 15 digits; the shortest numbers in use with a country code have 7.
_DIGITS = re.compile(r"[1-9][0-9]{6,14}")
_LID = re.compile(r"[1-9][0-9]{5,19}")
_SEPARATORS = re.compile(r"[\s().-]")
_ADDRESS_LENGTH_MAX = 64


def parse_chat(text: str) -> str:
    """Return the chat that `text` names, in the form we keep.

    Accepts bare digits with the country code, `+E.164` with the usual separators, `…@s.whatsapp.net`, `…@c.us` and `…@lid`.
    Raises InvalidInput (`bad_number`) for anything else: an address is never guessed.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > _ADDRESS_LENGTH_MAX:
        raise _bad_number(text)
    name, at, server = text.strip().partition("@")
    if not at:
        return f"{_phone_digits(name)}@{PHONE_SERVER}"
    match server.lower():
        case "s.whatsapp.net" | "c.us":
            return f"{_phone_digits(name)}@{PHONE_SERVER}"
        case "lid" if _LID.fullmatch(name):
            return f"{name}@{LID_SERVER}"
        case "g.us":
            raise InvalidInput(
                "group_not_supported", "Groups cannot be written to yet.", "Send to the phone number of a person."
            )
    raise _bad_number(text)


def parse_phone(text: str) -> str:
    """The digits of a phone number, written with its country code, with or without `+`. Raises InvalidInput (`bad_number`)."""
    if len(text) > _ADDRESS_LENGTH_MAX:
        raise _bad_number(text)
    return _phone_digits(text.strip())


def phone_of(chat: str) -> str | None:
    """The phone number of a chat as digits, or None when only its LID is known."""
    name, _, server = chat.partition("@")
    return name if server == PHONE_SERVER else None


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
