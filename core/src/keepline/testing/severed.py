"""What a process sees of the world until it is killed: its document store, its devices' files. A crash can be put at any step.

A process that is stopped (SIGSTOP) does nothing to the world until it goes on, in the middle of what it was doing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from random import Random

from keepline.ports.documents import Document, Query, StoreUnavailable, Version, Watch, Write
from keepline.ports.session_file import Captured, Position
from keepline.testing.documents import MemoryDocuments
from keepline.testing.session_file import MemorySessionFile

LATENCY_MIN_S = 0.001
LATENCY_MAX_S = 0.02
# What a client waits for a store that is away before it gives up a call.
AWAY_LIMIT_S = 10.0


class Life:
    """One life of a process. Whatever it awaits of the world takes its time here."""

    def __init__(self) -> None:
        self.dead = False
        self.deadline_s = math.inf  # of the lease: after it nothing leaves for WhatsApp
        self._going = asyncio.Event()
        self._going.set()

    @property
    def stopped(self) -> bool:
        return not self._going.is_set()

    def kill(self) -> None:
        self.dead = True
        self._going.set()

    def stop(self) -> None:
        self._going.clear()

    def go_on(self) -> None:
        self._going.set()

    async def wait(self, seconds: float) -> None:
        """Wait for an answer of the world; a dead process never gets one."""
        await asyncio.sleep(seconds)
        while self.stopped:
            await self._going.wait()
        self.check()

    def check(self) -> None:
        if self.dead:
            raise asyncio.CancelledError  # Nothing that the dead process awaits ever does anything.


class SeveredDocuments:
    """One process's view of the shared store.

    `trouble` is the chance that a call fails on its way, `away` lets every call fail, `slowness` multiplies the time they take.
    """

    def __init__(self, store: MemoryDocuments, random: Random, life: Life | None = None) -> None:
        self._store = store
        self._random = random
        self._life = life or Life()
        self.trouble = 0.0
        self.away = False
        self.slowness = 1.0
        self.commits = 0
        self.before_commit: Callable[[int], None] = lambda _: None
        self.after_commit: Callable[[int], None] = lambda _: None
        self.on_applied: Callable[[Sequence[Write]], None] = lambda _: None

    def cut(self) -> None:
        """The process's death."""
        self._life.kill()

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
        self._life.check()
        versions = await self._store.commit(writes)
        self.on_applied(writes)
        self.after_commit(number)
        # The answer can be lost although the commit was applied.
        await self._step()
        return versions

    @asynccontextmanager
    async def watch(self, query: Query) -> AsyncIterator[Watch]:
        async with self._store.watch(query) as watch:
            yield watch

    async def _step(self) -> None:
        await self._life.wait(self._random.uniform(LATENCY_MIN_S, LATENCY_MAX_S) * self.slowness)
        if self.away:
            await self._life.wait(AWAY_LIMIT_S)
            raise StoreUnavailable("in the simulation")
        if self._random.random() < self.trouble:
            raise StoreUnavailable("in the simulation")


class SeveredFile:
    """One process's hold of a device's file. Each call is a step at which the process can die before it happens."""

    def __init__(self, file: MemorySessionFile, life: Life) -> None:
        self._file = file
        self._life = life

    async def position(self) -> Position | None:
        await self._life.wait(0)
        return await self._file.position()

    async def capture(self) -> Captured | None:
        await self._life.wait(0)
        return await self._file.capture()

    async def snapshot(self) -> Captured | None:
        await self._life.wait(0)
        return await self._file.snapshot()

    async def confirm(self, mark: int) -> None:
        await self._life.wait(0)
        await self._file.confirm(mark)

    async def rebuild(self, snapshot: bytes, changes: Sequence[bytes], forget_chats: Collection[str]) -> Position:
        await self._life.wait(0)
        return await self._file.rebuild(snapshot, changes, forget_chats)

    async def prune(self, keep_s: float) -> int:
        await self._life.wait(0)
        return await self._file.prune(keep_s)

    async def remove(self) -> None:
        await self._life.wait(0)
        await self._file.remove()
