"""The journals that fake devices left on a fake machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from keepline.domain.ids import DeviceName
from keepline.domain.link_events import HeardEvent
from keepline.testing.severed import Life
from keepline.testing.whatsapp_folder import FakeFolder


class MemoryLeftJournals:
    """`folders` are those of the machine, for as long as its process has its `life`."""

    def __init__(self, folders: Callable[[], Mapping[DeviceName, FakeFolder]], life: Life) -> None:
        self._folders = folders
        self._life = life

    async def names(self, but: Collection[DeviceName]) -> list[DeviceName]:
        await self._life.wait(0)
        return [name for name, folder in self._folders().items() if folder.journal and name not in but]

    @asynccontextmanager
    async def hold(self, account: str, slot: str) -> AsyncIterator[MemoryLeftJournal | None]:
        await self._life.wait(0)
        folder = self._folders()[account, slot]
        if folder.holder is not None:
            yield None
            return
        journal = MemoryLeftJournal(folder, self._life)
        folder.holder = journal
        try:
            yield journal
        finally:
            if folder.holder is journal:
                folder.holder = None


class MemoryLeftJournal:
    def __init__(self, folder: FakeFolder, life: Life) -> None:
        self._folder = folder
        self._life = life

    async def read(self, limit: int) -> Sequence[HeardEvent]:
        await self._life.wait(0)
        return list(self._folder.journal.values())[:limit]

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        await self._life.wait(0)
        for seq in seqs:
            self._folder.journal.pop(seq, None)
