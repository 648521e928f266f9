"""A document store that a process holds until it is killed: a crash can be put before or after any one of its commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

from keepline.ports.documents import Document, Query, StoreUnavailable, Version, Watch, Write
from keepline.testing.documents import MemoryDocuments


class SeveredDocuments:
    """One process's view of the shared store. `cut` is its death; `trouble` the chance that a call fails on its way."""

    def __init__(self, store: MemoryDocuments, random: Random) -> None:
        self._store = store
        self._random = random
        self.trouble = 0.0
        self.dead = False
        self.commits = 0
        self.before_commit: Callable[[int], None] = lambda _: None
        self.after_commit: Callable[[int], None] = lambda _: None

    def cut(self) -> None:
        self.dead = True

    async def get(self, path: str) -> Document | None:
        await self._step()
        return await self._store.get(path)

    async def query(self, query: Query) -> list[Document]:
        await self._step()
        return await self._store.query(query)

    async def count(self, query: Query) -> int:
        await self._step()
        return await self._store.count(query)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        await self._step()
        self.commits += 1
        number = self.commits
        self.before_commit(number)
        self._while_alive()
        versions = await self._store.commit(writes)
        self.after_commit(number)
        # The answer can be lost although the commit was applied.
        await self._step()
        return versions

    @asynccontextmanager
    async def watch(self, query: Query) -> AsyncIterator[Watch]:
        async with self._store.watch(query) as watch:
            yield watch

    async def _step(self) -> None:
        await asyncio.sleep(self._random.uniform(0.001, 0.02))
        self._while_alive()
        if self._random.random() < self.trouble:
            raise StoreUnavailable("in the simulation")

    def _while_alive(self) -> None:
        if self.dead:
            raise asyncio.CancelledError  # Nothing that the dead process awaits ever does anything.
