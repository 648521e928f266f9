"""Keys of files that were heard of and are not fetched yet. They stay on this machine's disk, and go when their file is settled.

Beside the journal, and in a file of its own: a file can be on its way for days, and a heard message waits for nothing.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# More than a busy number gets in the days for which a file is tried; the oldest give way.
KEYS_MAX = 10_000


@dataclass(frozen=True)
class FileKey:
    """What it takes to fetch a file from WhatsApp's media server and to open it."""

    kind: str  # what its keys are drawn for (media_crypto.py)
    direct_path: str
    key: bytes = field(repr=False)
    sha256: bytes
    sealed_sha256: bytes
    size: int

    def to_json(self) -> str:
        values = {
            name: b64encode(value).decode() if isinstance(value, bytes) else value for name, value in vars(self).items()
        }
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> FileKey:
        values = json.loads(text)
        for name in ("key", "sha256", "sealed_sha256"):
            values[name] = b64decode(values[name])
        return cls(**values)


class MediaKeys:
    """One device's keys, each with the event that tells of its file. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("PRAGMA secure_delete=ON")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS media (number INTEGER PRIMARY KEY AUTOINCREMENT, chat TEXT NOT NULL,"
            " wa_message_id TEXT NOT NULL, key TEXT NOT NULL, event TEXT NOT NULL, UNIQUE (chat, wa_message_id))"
        )

    def note(self, chat: str, wa_message_id: str, key: FileKey, event: dict[str, Any]) -> None:
        """Keep a key, with the event that tells of its file."""
        values = (chat, wa_message_id, key.to_json(), json.dumps(event))
        with self._lock:
            noted = self._database.execute(
                "INSERT OR REPLACE INTO media (chat, wa_message_id, key, event) VALUES (?, ?, ?, ?)", values
            )
            self._database.execute("DELETE FROM media WHERE number <= ?", ((noted.lastrowid or 0) - KEYS_MAX,))

    def find(self, chat: str, wa_message_id: str) -> FileKey | None:
        with self._lock:
            row = self._database.execute(
                "SELECT key FROM media WHERE chat = ? AND wa_message_id = ?", (chat, wa_message_id)
            ).fetchone()
        return FileKey.from_json(row[0]) if row is not None else None

    def waiting(self) -> list[dict[str, Any]]:
        """The events of all files that are not settled, oldest first."""
        with self._lock:
            rows = self._database.execute("SELECT event FROM media ORDER BY number").fetchall()
        return [json.loads(event) for (event,) in rows]

    def forget(self, chat: str, wa_message_id: str) -> None:
        with self._lock:
            self._database.execute("DELETE FROM media WHERE chat = ? AND wa_message_id = ?", (chat, wa_message_id))

    def close(self) -> None:
        with self._lock:
            self._database.close()
