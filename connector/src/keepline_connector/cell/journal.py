"""The journal of one device on this machine's disk: what was heard and is not yet in Firestore, and which sends were answered.

WhatsApp considers a message delivered once the library has taken it, so the callback writes it here before it returns
(a blocked handler and a kill lost 101 messages that way otherwise). WAL with synchronous=NORMAL survives the death of the
process; a machine that loses power can lose the last moments, which only a second linked device covers.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# Heard events on their way to Firestore at once; the rest waits on disk until these are acknowledged.
WINDOW_MAX = 500
# Answers matter until their sends are settled: for ten sends at once in good times, for one outage of Firestore in bad ones.
ANSWERS_MAX = 1_000

Emit = Callable[[int, dict[str, Any]], None]


class Journal:
    """`emit(seq, event)` gets every event in order, again after a restart, until it is acknowledged. Thread-safe."""

    def __init__(self, path: Path, emit: Emit) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS heard (seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL)"
        )
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS answered (seq INTEGER PRIMARY KEY, tag BLOB UNIQUE, wa_message_id TEXT NOT NULL)"
        )
        self._emitted = 0
        self._on_the_way: set[int] = set()

    def replay(self) -> None:
        """Emit what an earlier life left behind."""
        with self._lock:
            self._fill_window()

    def append(self, event: dict[str, Any]) -> None:
        """Make an event durable, and emit it if the window has room."""
        with self._lock:
            self._database.execute("INSERT INTO heard (event) VALUES (?)", (json.dumps(event),))
            self._fill_window()

    def acknowledge(self, seqs: Iterable[int]) -> None:
        """These are in Firestore: forget them."""
        done = list(seqs)
        with self._lock:
            self._database.execute("BEGIN")
            self._database.executemany("DELETE FROM heard WHERE seq = ?", [(seq,) for seq in done])
            self._database.execute("COMMIT")
            self._on_the_way.difference_update(done)
            self._fill_window()

    def note_answer(self, tag: bytes, wa_message_id: str) -> None:
        """WhatsApp has acknowledged the send with this tag."""
        with self._lock:
            answered = self._database.execute(
                "INSERT OR REPLACE INTO answered (tag, wa_message_id) VALUES (?, ?)", (tag, wa_message_id)
            )
            self._database.execute("DELETE FROM answered WHERE seq <= ?", ((answered.lastrowid or 0) - ANSWERS_MAX,))

    def answered(self, tags: Iterable[bytes]) -> dict[bytes, str]:
        """The WhatsApp ids of those of these sends that WhatsApp has acknowledged."""
        found: dict[bytes, str] = {}
        with self._lock:
            for tag in tags:
                for (wa_message_id,) in self._database.execute(
                    "SELECT wa_message_id FROM answered WHERE tag = ?", (tag,)
                ):
                    found[tag] = wa_message_id
        return found

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _fill_window(self) -> None:
        room = WINDOW_MAX - len(self._on_the_way)
        if room <= 0:
            return
        rows = self._database.execute(
            "SELECT seq, event FROM heard WHERE seq > ? ORDER BY seq LIMIT ?", (self._emitted, room)
        ).fetchall()
        for seq, event in rows:
            self._emitted = seq
            self._on_the_way.add(seq)
            self._emit(seq, json.loads(event))
