"""The port's implementation for one device's folder."""

# ruff: noqa: S608 - statements are put together from names in the file's own schema, quoted; values never

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from keepline.ports.session_file import Captured, Position, SessionFileUnavailable
from keepline_connector.session_file import capturing, notes, rebuilding
from keepline_connector.session_file.connections import reading, writing
from keepline_connector.session_file.tables import SECRETS, has_table, is_linked

# Dropping notes is a write, for which the library may have to wait and which may have to wait for the library (both for seconds,
# if the other writes without a pause). So confirmed notes are left alone until there are enough of them; whoever opens the
# file next captures their rows once more, which does no harm.
NOTES_DROPPED_MIN = 1_000
_PRUNE_BATCH = 200
_DAMAGED_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

T = TypeVar("T")


class SqliteSessionFile:
    """`whatsapp.db` in `folder`. Every operation runs on a thread; one at a time, also when its caller is cancelled."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "whatsapp.db"
        self._busy = threading.Lock()
        self._confirmed = ("", 0)  # an incarnation, and the mark up to which its changes are durable elsewhere

    async def position(self) -> Position | None:
        """The incarnation is empty when change capture has not begun."""
        return await self._run(self._position)

    async def capture(self) -> Captured | None:
        return await self._run(lambda: self._read(self._capture))

    async def snapshot(self) -> Captured | None:
        return await self._run(lambda: self._read(capturing.snapshot))

    async def confirm(self, mark: int) -> None:
        await self._run(lambda: self._confirm(mark))

    async def rebuild(self, snapshot: bytes, changes: Sequence[bytes], forget_chats: Collection[str]) -> Position:
        def build() -> Position:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return rebuilding.rebuild(self._path, snapshot, changes, forget_chats)

        return await self._run(build)

    async def prune(self, keep_s: float) -> int:
        return await self._run(lambda: self._prune(int(time.time() - keep_s)))

    async def remove(self) -> None:
        await self._run(lambda: rebuilding.remove(self._path))

    async def _run(self, work: Callable[[], T]) -> T:
        def alone() -> T:
            with self._busy:
                try:
                    return work()
                except (sqlite3.Error, OSError) as error:
                    # SQLite's words name tables at most, never values.
                    raise SessionFileUnavailable(f"{type(error).__name__}: {error}") from error

        return await asyncio.to_thread(alone)

    def _position(self) -> Position | None:
        if not self._path.exists():
            return None
        try:
            with reading(self._path) as database:
                if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    return None
                return Position(notes.incarnation(database) or "", notes.newest(database), is_linked(database))
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED_CODES:
                return None
            raise

    def _read(self, read: Callable[[sqlite3.Connection], Captured | None]) -> Captured | None:
        if not self._path.exists():
            return None
        with reading(self._path) as database:
            if not is_linked(database):
                return None
            if notes.are_current(database):
                return read(database)
        # The library waits while triggers are made, but not while everything is read.
        with writing(self._path) as database:
            notes.install(database, everything=True)
        with reading(self._path) as database:
            return read(database)

    def _capture(self, database: sqlite3.Connection) -> Captured | None:
        return capturing.capture(database, self._confirmed_of(notes.incarnation(database)))

    def _confirmed_of(self, incarnation: str | None) -> int:
        return self._confirmed[1] if self._confirmed[0] == incarnation else 0

    def _confirm(self, mark: int) -> None:
        if not self._path.exists():
            return
        with reading(self._path) as database:
            incarnation = notes.incarnation(database)
            if incarnation is None:
                return
            mark = max(mark, self._confirmed_of(incarnation))
            self._confirmed = (incarnation, mark)
            oldest = notes.oldest(database)
            if oldest is None or oldest > mark:
                return
            # "Everything" must not be captured once more: it is large.
            enough = mark - oldest + 1 >= NOTES_DROPPED_MIN or notes.everything_since(database, 0)
        if enough:
            with writing(self._path) as database:
                notes.drop(database, mark)

    def _prune(self, noted_before: int) -> int:
        if not self._path.exists():
            return 0
        pruned = 0
        with writing(self._path) as database:
            if not has_table(database, "keepline_secrets"):
                return 0
            while True:
                # One statement is one short transaction; a trigger takes the entry in keepline_secrets along.
                dropped = database.execute(
                    f"DELETE FROM {SECRETS} WHERE rowid IN (SELECT row FROM keepline_secrets WHERE noted_at < ? LIMIT ?)",
                    (noted_before, _PRUNE_BATCH),
                ).rowcount
                if dropped <= 0:
                    return pruned
                pruned += dropped
