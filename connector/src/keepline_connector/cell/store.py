"""The WhatsApp library's own store of one device: a SQLite file that whatsmeow writes and another process of ours reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepline.domain.addresses import LID_SERVER, PHONE_SERVER
from keepline_connector.cell.store_reader import StoreReader, Value

# The store is opened by `file:%s?_foreign_keys=on`; options written into the name go first and an empty one swallows the rest.
_DSN_OPTIONS = "?_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=5000&_foreign_keys=on&z="

# One for the process: it opens a file for a question and closes it again.
READER = StoreReader()


@dataclass(frozen=True)
class OwnNumber:
    """Who the store belongs to, as digits."""

    phone: str
    lid: str | None
    device: int


class DeviceStore:
    """One file per device: with several devices in one store neonize cannot tell two of one number apart."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / "whatsapp.db"

    @property
    def dsn(self) -> str:
        """What neonize takes as its name."""
        return f"{self._path}{_DSN_OPTIONS}"

    def own_number(self) -> OwnNumber | None:
        """The number this device is linked to, or None while it is not linked."""
        for jid, lid in self._read("SELECT jid, lid FROM whatsmeow_device LIMIT 1", ()):
            user, _, device = jid.partition("@")[0].partition(":")
            return OwnNumber(user.partition(".")[0], _user(lid), int(device or 0))
        return None

    def find_tried(self, tags: Iterable[bytes]) -> dict[bytes, str]:
        """The WhatsApp ids under which messages with these secrets were handed to the socket."""
        found: dict[bytes, str] = {}
        for tag in tags:
            for (wa_message_id,) in self._read(
                "SELECT message_id FROM whatsmeow_message_secrets WHERE key = ?", (tag,)
            ):
                found[tag] = wa_message_id
        return found

    def secrets_of(self, wa_message_id: str) -> list[tuple[str, bytes]]:
        """The secrets of the messages with this WhatsApp id, each with its sender's address.

        Mostly it is one; but anybody can send a message under an id that they have seen.
        """
        rows = self._read(
            "SELECT sender_jid, key FROM whatsmeow_message_secrets WHERE message_id = ?", (wa_message_id,)
        )
        return [(str(sender), bytes(key)) for sender, key in rows]

    def phone_of_lid(self, lid: str) -> str | None:
        """The phone number behind a LID, where the library has learned it."""
        for (phone,) in self._read("SELECT pn FROM whatsmeow_lid_map WHERE lid = ?", (lid,)):
            return str(phone)
        return None

    def lid_of_phone(self, phone: str) -> str | None:
        for (lid,) in self._read("SELECT lid FROM whatsmeow_lid_map WHERE pn = ?", (phone,)):
            return str(lid)
        return None

    def both_of(self, address: str) -> tuple[str | None, str | None]:
        """Phone and LID of a person, where the library has learned them; neither for a group."""
        name, _, server = address.partition("@")
        if server == LID_SERVER:
            return self.phone_of_lid(name), name
        return (name, self.lid_of_phone(name)) if server == PHONE_SERVER else (None, None)

    def _read(self, statement: str, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        return READER.read(self._path, statement, values)


def plain_address(jid: str) -> str:
    """An address without the number of a device."""
    name, at, server = jid.partition("@")
    return f"{name.partition(':')[0].partition('.')[0]}{at}{server}"


def _user(jid: str | None) -> str | None:
    return jid.partition("@")[0].partition(":")[0] if jid else None
