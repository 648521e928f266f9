"""Contact cards as WhatsApp's apps make them (vCard 3.0, RFC 2426; `waid` makes a number one that can be written to at once)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WA_ID = re.compile(r"waid=([0-9]{5,20})")
_PLAIN_NUMBER = re.compile(r"^(?:item\d+\.)?TEL[^:\r\n]*:([^\r\n]+)", re.MULTILINE)


def make_vcard(name: str, phones: Sequence[str]) -> str:
    """A card for somebody with these phone numbers (digits with the country code)."""
    shown = _escaped(name)
    lines = ["BEGIN:VCARD", "VERSION:3.0", f"N:;{shown};;;", f"FN:{shown}"]
    lines += [f"TEL;type=CELL;waid={phone}:+{phone}" for phone in phones]
    return "\n".join([*lines, "END:VCARD"])


def phones_in(vcard: str) -> tuple[str, ...]:
    """The numbers on a card: those on WhatsApp as digits, the others as they are written there."""
    found: dict[str, None] = {}
    for line in _PLAIN_NUMBER.finditer(vcard):
        known = _WA_ID.search(line[0])
        found[known[1] if known else line[1].strip()] = None
    return tuple(found)


def _escaped(text: str) -> str:
    escaped = re.sub(r"([\\,;])", r"\\\1", text)
    return re.sub(r"\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", r"\\n", escaped)
