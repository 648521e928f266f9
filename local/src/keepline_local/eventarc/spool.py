"""Events not yet delivered, in a SQLite file: like Eventarc's, they survive the end of the process that delivers them."""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from keepline_local.eventarc.events import Event

LOCK_WAIT_S = 10.0


@dataclass(frozen=True)
class Spooled:
    """An event with its row in the spool, how often it failed, and when it came (seconds since 1970)."""

    row: int
    event: Event
    failures: int
    received_at_s: float


class Spool:
    """Each event from its arrival until it is delivered or given up. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        # Autocommit: each statement is durable by itself, and none spans two.
        self._db = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last events; the emulator behind them loses all of its data then.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS events (row INTEGER PRIMARY KEY, function TEXT NOT NULL, headers TEXT NOT NULL, "
            "body BLOB NOT NULL, failures INTEGER NOT NULL, received_at_s REAL NOT NULL)"
        )

    def add(self, event: Event, received_at_s: float) -> Spooled:
        with self._lock:
            cursor = self._db.execute(
                "INSERT INTO events (function, headers, body, failures, received_at_s) VALUES (?, ?, ?, 0, ?)",
                (event.function, json.dumps(event.headers), event.body, received_at_s),
            )
        row = cursor.lastrowid
        assert row is not None
        return Spooled(row, event, 0, received_at_s)

    def failed(self, row: int, failures: int) -> None:
        with self._lock:
            self._db.execute("UPDATE events SET failures = ? WHERE row = ?", (failures, row))

    def remove(self, row: int) -> None:
        with self._lock:
            self._db.execute("DELETE FROM events WHERE row = ?", (row,))

    def pending(self) -> list[Spooled]:
        """All events, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT row, function, headers, body, failures, received_at_s FROM events ORDER BY row"
            ).fetchall()
        return [
            Spooled(
                row, Event(function, tuple((name, value) for name, value in json.loads(headers)), body), failures, at
            )
            for row, function, headers, body, failures, at in rows
        ]

    def close(self) -> None:
        with self._lock:
            self._db.close()
