"""The journals on this machine's disk of devices that have moved on. No cell has them open: the supervisor reads them itself."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from keepline.domain.ids import DeviceName
from keepline.domain.link_events import HeardEvent
from keepline_connector import frames
from keepline_connector.folder_lock import FolderHeld, FolderLock


class FolderLeftJournals:
    """`data_dir` has one folder per device that has ever been here, `<account>_<slot>`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    async def names(self, but: Collection[DeviceName]) -> list[DeviceName]:
        return await asyncio.to_thread(self._names, frozenset(but))

    def _names(self, but: frozenset[DeviceName]) -> list[DeviceName]:
        found: list[DeviceName] = []
        for path in sorted(self._data_dir.glob("*/journal.db")):
            account, _, slot = path.parent.name.rpartition("_")
            if (account, slot) not in but and _has_any(path):
                found.append((account, slot))
        return found

    @asynccontextmanager
    async def hold(self, account: str, slot: str) -> AsyncIterator[FileLeftJournal | None]:
        folder = self._data_dir / f"{account}_{slot}"
        try:
            lock = FolderLock(folder, wait_s=0.0)
        except (FolderHeld, FileNotFoundError):
            yield None
            return
        try:
            yield FileLeftJournal(folder / "journal.db")
        finally:
            lock.release()


class FileLeftJournal:
    """See `keepline_connector/cell/journal.py`, which writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, limit: int) -> Sequence[HeardEvent]:
        return await asyncio.to_thread(self._read, limit)

    def _read(self, limit: int) -> list[HeardEvent]:
        with closing(_connect(self._path)) as database:
            rows = database.execute("SELECT seq, event FROM heard ORDER BY seq LIMIT ?", (limit,)).fetchall()
        return [_heard(seq, json.loads(event)) for seq, event in rows]

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        await asyncio.to_thread(self._acknowledge, list(seqs))

    def _acknowledge(self, seqs: list[int]) -> None:
        with closing(_connect(self._path)) as database, database:
            database.executemany("DELETE FROM heard WHERE seq = ?", [(seq,) for seq in seqs])


def _heard(seq: int, event: dict[str, Any]) -> HeardEvent:
    heard = frames.event_from_json({**event, "seq": seq})
    assert isinstance(heard, HeardEvent)
    return heard


def _has_any(path: Path) -> bool:
    try:
        with closing(_connect(path)) as database:
            return database.execute("SELECT 1 FROM heard LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return False  # Just being made by a cell, or not a journal: who opens it next says what is wrong with it.


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=1.0)
