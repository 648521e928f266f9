"""The library's tables: which of them are kept, and what they look like."""

# ruff: noqa: S608 - statements are put together from names in the file's own schema, quoted; values never

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable

PREFIX = "whatsmeow_"
DEVICE = "whatsmeow_device"
SECRETS = "whatsmeow_message_secrets"

# What WhatsApp tells a device again by itself (contacts and chat settings come with the app state and with messages), and two
# buffers that neonize leaves switched off.
_NOT_KEPT = frozenset({f"{PREFIX}{name}" for name in ("contacts", "chat_settings", "event_buffer", "retry_buffer")})


def kept_tables(database: sqlite3.Connection) -> dict[str, list[str]]:
    """The tables whose rows are kept, each with its columns in order. Rows are named by rowid, which all of them have."""
    names = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, ?) = ? ORDER BY name",
        (len(PREFIX), PREFIX),
    )
    return {name: columns(database, name) for (name,) in names.fetchall() if name not in _NOT_KEPT}


def columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in database.execute(f"PRAGMA table_info({quoted(table)})")]


def statements(database: sqlite3.Connection) -> list[str]:
    """What makes the library's tables and indexes, the tables first, in the order in which they were made."""
    rows = database.execute(
        "SELECT sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL AND substr(tbl_name, 1, ?) = ?"
        " ORDER BY type = 'index', rowid",
        (len(PREFIX), PREFIX),
    )
    return [str(sql) for (sql,) in rows]


def fingerprint(made_by: Iterable[str]) -> bytes:
    """Names a schema in 8 bytes, so that rows can say which one they belong to."""
    return hashlib.sha256("\n".join(made_by).encode(errors="surrogateescape")).digest()[:8]


def is_linked(database: sqlite3.Connection) -> bool:
    return own_jid(database) is not None


def own_jid(database: sqlite3.Connection) -> str | None:
    """The linked device's address, or None when there is none (a file can be there before its tables are)."""
    if not has_table(database, DEVICE):
        return None
    row = database.execute(f"SELECT jid FROM {DEVICE} LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def has_table(database: sqlite3.Connection, name: str) -> bool:
    found = database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return found.fetchone() is not None


def quoted(name: str) -> str:
    """A name from the file's own schema, for use in a statement."""
    return '"' + name.replace('"', '""') + '"'
