"""A linked device's store in memory: rows by name, a log of which have changed, and the disk that it lies on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Mapping, Sequence

from keepline.ports.session_file import Captured, Position, SessionFileInvalid

_DEVICE = "device"
_RATCHET = "ratchet:"
_OWN_RATCHETS = f"{_RATCHET}own:"

_lives = itertools.count(1)


class FakeSessionDisk:
    """What outlives the process. A ratchet with a device of a chat is a row `ratchet:<chat>…`, one with ours `ratchet:own:…`."""

    def __init__(self) -> None:
        self._begin({})
        self.damaged = False  # the integrity check fails
        self.pruned = 0  # how often somebody asked for it

    @property
    def linked(self) -> bool:
        """Whether the store has a device row, which comes with the QR code."""
        return _DEVICE in self.rows

    @linked.setter
    def linked(self, linked: bool) -> None:
        if linked:
            self.put(_DEVICE, b"linked")
        else:
            self.delete(_DEVICE)

    def get(self, key: str) -> bytes | None:
        return self.rows.get(key)

    def put(self, key: str, value: bytes) -> None:
        self.exists = True
        self.rows[key] = value
        self._note(key)

    def delete(self, key: str) -> None:
        if self.rows.pop(key, None) is not None:
            self._note(key)

    def lose(self) -> None:
        """The disk is gone. What comes next is a new one."""
        self._begin({})

    def copy(self) -> FakeSessionDisk:
        """As a backup of the disk would have it."""
        twin = FakeSessionDisk()
        twin.__dict__.update(vars(self))
        twin.rows, twin.changes = dict(self.rows), dict(self.changes)
        return twin

    def replace(self, rows: Mapping[str, bytes]) -> None:
        """A new store in the place of the old one."""
        self._begin(rows)
        self.exists = True

    def _begin(self, rows: Mapping[str, bytes]) -> None:
        self.rows = dict(rows)
        self.incarnation = f"life-{next(_lives):08d}"
        self.mark = 0
        self.changes: dict[str, int] = {}  # the rows that changed since the confirmed mark, oldest change first
        self.captured_before = False
        self.exists = False
        self.damaged = False

    def _note(self, key: str) -> None:
        self.mark += 1
        self.changes.pop(key, None)
        self.changes[key] = self.mark


class MemorySessionFile:
    """The port, over a disk. Nothing here waits, so calls cost next to nothing."""

    def __init__(self, disk: FakeSessionDisk) -> None:
        self._disk = disk

    async def position(self) -> Position | None:
        disk = self._disk
        return Position(disk.incarnation, disk.mark, disk.linked) if disk.exists and not disk.damaged else None

    async def capture(self) -> Captured | None:
        disk = self._disk
        if not disk.linked or not (disk.changes or not disk.captured_before):
            return None
        if not disk.captured_before:
            return await self.snapshot()
        return self._captured({key: disk.rows.get(key) for key in disk.changes}, whole=False)

    async def snapshot(self) -> Captured | None:
        return self._captured(self._disk.rows, whole=True) if self._disk.linked else None

    async def confirm(self, mark: int) -> None:
        disk = self._disk
        disk.captured_before = True
        for key, changed in list(disk.changes.items()):
            if changed > mark:
                break
            del disk.changes[key]

    async def rebuild(self, snapshot: bytes, changes: Sequence[bytes], forget_chats: Collection[str]) -> Position:
        disk = self._disk
        rows: dict[str, bytes] = {}
        try:
            for data in (snapshot, *changes):
                _apply(rows, data)
        except ValueError:
            rows.clear()
        if _DEVICE not in rows:
            disk.lose()
            raise SessionFileInvalid("there is no device in it")
        disk.replace(rows)
        # The store's state before anything is forgotten is what the chain has; what is forgotten is a change after it.
        disk.captured_before = True
        forgotten = tuple(f"{_RATCHET}{chat}" for chat in forget_chats)
        if forgotten:
            for key in [key for key in rows if key.startswith((*forgotten, _OWN_RATCHETS))]:
                disk.delete(key)
        return Position(disk.incarnation, disk.mark, linked=True)

    async def prune(self, keep_s: float) -> int:
        self._disk.pruned += 1
        return 0

    async def remove(self) -> None:
        self._disk.lose()

    def _captured(self, rows: Mapping[str, bytes | None], *, whole: bool) -> Captured:
        # Latin-1 keeps bytes as they are, and JSON with one call in C is the quickest there is.
        text = json.dumps({key: None if value is None else value.decode("latin-1") for key, value in rows.items()})
        return Captured(self._disk.incarnation, self._disk.mark, whole, text.encode())


def _apply(rows: dict[str, bytes], data: bytes) -> None:
    """Raises ValueError when the data is not what this file once gave."""
    for key, value in json.loads(data).items():
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value.encode("latin-1")
