"""The WhatsApp library's store of one linked device on this machine, as the session store sees it: changing rows, as bytes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol


class SessionFileInvalid(Exception):
    """What was rebuilt is not a usable store: it fails SQLite's integrity check, or has no device row."""


class SessionFileUnavailable(Exception):
    """The file could not be read or written now: locked for too long, the disk is full, or damaged while in use."""


@dataclass(frozen=True)
class Captured:
    """Rows of the store as they are now. Opaque to everybody but the file itself."""

    incarnation: str  # names one life of the file: made anew when change capture begins, and at every rebuild
    mark: int  # the number of the newest change that this covers; it only rises within an incarnation
    whole: bool  # everything there is, not only what changed since the last confirmed mark
    data: bytes


@dataclass(frozen=True)
class Position:
    """How far a file has come."""

    incarnation: str
    mark: int  # of the newest change it has ever noted
    linked: bool  # it holds a linked device


class SessionFile(Protocol):
    """One device's store. The library's process may be writing it at the same time (but not during `rebuild` and `remove`).

    Every method can raise SessionFileUnavailable.
    """

    async def position(self) -> Position | None:
        """None when there is no file, or when what is there fails the integrity check."""
        ...

    async def capture(self) -> Captured | None:
        """What has changed since the confirmed mark; None when nothing has, or when there is no linked device yet.

        The first capture of a file, and the first after the library changed its tables, is whole.
        """
        ...

    async def snapshot(self) -> Captured | None:
        """Everything, whatever has been confirmed; None when there is no linked device."""
        ...

    async def confirm(self, mark: int) -> None:
        """Everything up to `mark` is durable elsewhere: its change notes may be dropped."""
        ...

    async def rebuild(self, snapshot: bytes, changes: Sequence[bytes], forget_chats: Collection[str]) -> Position:
        """Replace the file by a snapshot and the changes after it, in order. Raises SessionFileInvalid, leaving no file behind.

        `forget_chats` (`<digits>@s.whatsapp.net` or `<digits>@lid`): messages to these may have left after the newest change.
        The ratchets with their devices, and with our own other devices, are dropped, because going on from older ones would
        use message keys twice; the next message to them makes new ones.
        """
        ...

    async def prune(self, keep_s: float) -> int:
        """Drop message secrets that were noted longer ago than this. Returns how many."""
        ...

    async def remove(self) -> None:
        """Delete the file."""
        ...
