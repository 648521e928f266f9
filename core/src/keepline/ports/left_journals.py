"""Journals on this machine of devices that have moved on: what they heard here last is known nowhere else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from keepline.domain.ids import DeviceName
from keepline.domain.link_events import HeardEvent


class LeftJournal(Protocol):
    """One of them, held: no cell can open the device's folder meanwhile."""

    async def read(self, limit: int) -> Sequence[HeardEvent]:
        """What was heard first, that much of it at most."""
        ...

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        """These are in Firestore: forget them."""
        ...


class LeftJournals(Protocol):
    async def names(self, but: Collection[DeviceName]) -> list[DeviceName]:
        """The devices that have something in their journals here, `but` for those that run."""
        ...

    def hold(self, account: str, slot: str) -> AbstractAsyncContextManager[LeftJournal | None]:
        """Hold one device's journal; None if a cell has it."""
        ...
