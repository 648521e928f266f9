"""WhatsApp addresses: a user at a server, perhaps with a device number (`14155550100:2@s.whatsapp.net`)."""

from __future__ import annotations

import re
from typing import NamedTuple

from simulator.errors import SimulatorError

PN_SERVER = "s.whatsapp.net"
LID_SERVER = "lid"
GROUP_SERVER = "g.us"
# Statuses go to `status@broadcast`; other broadcast lists are not served.
BROADCAST_SERVER = "broadcast"
# Only in usync contact queries: the spelling of a phone number from before linked devices.
LEGACY_SERVER = "c.us"

# E.164: at most 15 digits, no leading zero.
_NUMBER = re.compile(r"\+?([1-9][0-9]{6,14})")


class Jid(NamedTuple):
    """An address; `device` 0 is the phone itself (or no device at all)."""

    user: str
    server: str
    device: int = 0

    def __str__(self) -> str:
        user = f"{self.user}:{self.device}" if self.device else self.user
        return f"{user}@{self.server}" if user else self.server

    def account(self) -> Jid:
        """The address without its device number."""
        return self if self.device == 0 else Jid(self.user, self.server)

    def ad_string(self) -> str:
        """The form that goes into device-list hashes (`user.0:device@server`, whatsmeow `JID.ADString`)."""
        return f"{self.user}.0:{self.device}@{self.server}"


SERVER_JID = Jid("", PN_SERVER)
GROUPS_JID = Jid("", GROUP_SERVER)
STATUS_JID = Jid("status", BROADCAST_SERVER)


def parse_jid(text: str) -> Jid:
    """`user[:device]@server`, or a server alone. Raises `ProtocolError`-free ValueError on anything else."""
    user, at, server = text.rpartition("@")
    if not at:
        return Jid("", text)
    name, _, device = user.partition(":")
    name = name.partition(".")[0]
    return Jid(name, server, int(device) if device else 0)


def try_parse_jid(text: str) -> Jid | None:
    """An address out of a text that may be anything."""
    try:
        return parse_jid(text)
    except ValueError:
        return None


def normal_number(text: str) -> str:
    """Digits of a phone number given as `14155550100` or `+14155550100`; a clear 4xx for anything else."""
    found = _NUMBER.fullmatch(text)
    if not found:
        raise SimulatorError(
            "bad_number",
            f"{text[:40]!r} is not a phone number.",
            "Give 7 to 15 digits with the country code, like 14155550100.",
        )
    return found.group(1)
