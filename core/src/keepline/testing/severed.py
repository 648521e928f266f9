"""What a process sees of the world until it is killed: its document store, its devices' files. A crash can be put at any step.

A process that is stopped (SIGSTOP) takes no step at all until it goes on, in the middle of what it was doing (stopping.py).
What it had put on its way goes on: the network does not stop with it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from random import Random

from keepline.ports.documents import Document, Query, StoreUnavailable, Version, Watch, Write
from keepline.ports.session_file import Captured, Position
from keepline.testing.documents import MemoryDocuments
from keepline.testing.session_file import MemorySessionFile
from keepline.testing.stopping import Stoppable

LATENCY_MIN_S = 0.001
LATENCY_MAX_S = 0.02
# What a client waits for a store that is away before it gives up a call.
AWAY_LIMIT_S = 10.0


class Life(Stoppable):
    """One life of a process. Whatever it awaits of the world takes its time here."""

    def __init__(self) -> None:
        super().__init__()
        self.dead = False
        self.deadline_s = math.inf  # of the lease, in the world's time: after it nothing leaves for WhatsApp
        self.reaches_whatsapp = True

    def kill(self) -> None:
        self.dead = True
        self.go_on()

    async def wait(self, seconds: float) -> None:
        """Wait for an answer of the world; a dead process never gets one."""
        await asyncio.sleep(seconds)
        self.check()

    def check(self) -> None:
        if self.dead:
            raise asyncio.CancelledError  # Nothing that the dead process awaits ever does anything.


class SeveredDocuments:
    """One process's view of the shared store.

    `trouble` is the chance that a call fails on its way, `away` lets every call fail and silences the listeners, `deaf` only
    these, `slowness` multiplies the time that all of it takes. With `has_network` listeners take time as well, and a commit on
    its way arrives although its process has died or been stopped meanwhile.
    """

    def __init__(
        self, store: MemoryDocuments, random: Random, life: Life | None = None, *, has_network: bool = False
    ) -> None:
        self._store = store
        self._random = random
        self._life = life or Life()
        self._has_network = has_network
        self._hears = asyncio.Event()
        self._away = self._deaf = False
        self._follow()
        self.trouble = 0.0
        self.slowness = 1.0
        self.commits = 0
        self.before_commit: Callable[[int], None] = lambda _: None
        self.after_commit: Callable[[int], None] = lambda _: None
        self.on_applied: Callable[[Sequence[Write]], None] = lambda _: None

    def cut(self) -> None:
        """The process's death."""
        self._life.kill()

    @property
    def away(self) -> bool:
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        self._away = away
        self._follow()

    @property
    def deaf(self) -> bool:
        return self._deaf

    @deaf.setter
    def deaf(self, deaf: bool) -> None:
        self._deaf = deaf
        self._follow()

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
        if self._has_network:
            # In a task that belongs to no process.
            on_its_way = asyncio.create_task(self._carry(writes), context=Context())
            on_its_way.add_done_callback(_look_at)
            versions = await asyncio.shield(on_its_way)
        else:
            await self._step()
            versions = await self._apply(writes)
        # The answer can be lost although the commit was applied.
        await self._step()
        return versions

    @asynccontextmanager
    async def watch(self, query: Query) -> AsyncIterator[Watch]:
        async with self._store.watch(query) as watch:
            yield _SeveredWatch(self, watch)

    async def hear(self) -> None:
        """Until what a listener is to tell has come through."""
        if self._has_network:
            await asyncio.sleep(self._latency_s())
        await self._hears.wait()

    async def _carry(self, writes: Sequence[Write]) -> list[Version]:
        await asyncio.sleep(self._latency_s())
        if self.away:
            await asyncio.sleep(AWAY_LIMIT_S)
            raise StoreUnavailable("in the simulation")
        if self._random.random() < self.trouble:
            raise StoreUnavailable("in the simulation")
        return await self._apply(writes)

    async def _apply(self, writes: Sequence[Write]) -> list[Version]:
        self.commits += 1
        number = self.commits
        self.before_commit(number)
        if not self._has_network:
            self._life.check()
        versions = await self._store.commit(writes)
        self.on_applied(writes)
        self.after_commit(number)
        return versions

    def _follow(self) -> None:
        if self._away or self._deaf:
            self._hears.clear()
        else:
            self._hears.set()

    def _latency_s(self) -> float:
        return self._random.uniform(LATENCY_MIN_S, LATENCY_MAX_S) * self.slowness

    async def _step(self) -> None:
        await self._life.wait(self._latency_s())
        if self.away:
            await self._life.wait(AWAY_LIMIT_S)
            raise StoreUnavailable("in the simulation")
        if self._random.random() < self.trouble:
            raise StoreUnavailable("in the simulation")


class _SeveredWatch:
    """A listener's results, as they come through to a process."""

    def __init__(self, documents: SeveredDocuments, watch: Watch) -> None:
        self._documents = documents
        self._watch = watch

    async def __aiter__(self) -> AsyncIterator[Sequence[Document]]:
        async for result in self._watch:
            await self._documents.hear()
            yield result


def _look_at(commit: asyncio.Task[list[Version]]) -> None:
    """Nobody may be left who wants to know how it went."""
    if not commit.cancelled():
        commit.exception()


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
