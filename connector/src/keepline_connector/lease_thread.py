"""The connector's lease in a thread of its own, with its own event loop and its own connection to Firestore.

A hundred logins, or a listener with much to say, keep the connector's loop busy for seconds. A heartbeat that waited for its turn
there would come too late, and the connector would lose all of its devices for being busy with them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any

from keepline.adapters.firestore import FirestoreDocuments
from keepline.ports.documents import DocumentStore
from keepline.records.connectors import DeviceBeat
from keepline.usecases.leasing import LeaseKeeper


class LeaseThread:
    """A `Lease`. `make_keeper` is called in the thread, and so is what it makes the keeper tell of a renewal."""

    def __init__(self, project: str, make_keeper: Callable[[DocumentStore], LeaseKeeper]) -> None:
        self._project = project
        self._make_keeper = make_keeper
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, LeaseKeeper]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), name="lease", daemon=True)
        self._thread.start()
        self._loop, self._closing, self._keeper = started.result()

    @property
    def last_beat_s(self) -> float | None:
        return self._keeper.last_beat_s

    @property
    def hangs(self) -> bool:
        """Whether the connector shows no sign of life, so that its lease is not renewed."""
        return self._keeper.hangs

    def alive(self, devices: Mapping[str, DeviceBeat]) -> None:
        self._keeper.alive(devices)

    def beat_soon(self) -> None:
        self._loop.call_soon_threadsafe(self._keeper.beat_soon)

    async def acquire(self) -> None:
        await self._there(self._keeper.acquire())

    async def until_lost(self) -> None:
        await self._there(self._keeper.until_lost())

    async def give_back(self) -> None:
        await self._there(self._keeper.give_back())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._keeper.stop)

    def close(self) -> None:
        """End the thread. What is held runs out."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    async def _there(self, work: Coroutine[Any, Any, None]) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _run(self, started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, LeaseKeeper]]) -> None:
        try:
            store = FirestoreDocuments(self._project)
            keeper, closing = self._make_keeper(store), asyncio.Event()
        except BaseException as error:  # noqa: BLE001 - whoever started this thread gets it
            started.set_exception(error)
            return
        started.set_result((asyncio.get_running_loop(), closing, keeper))
        await closing.wait()
        keeper.stop()
        await store.close()
