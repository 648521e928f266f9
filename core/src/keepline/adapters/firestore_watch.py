"""A Firestore listener that does not die in silence.

The Python client's `on_snapshot` stops for good, without a word, when its callback raises, when the stream is cancelled, or
when re-opening fails once (read in google-cloud-firestore 2.34.1, watch.py). So the callback here cannot raise, a keeper
looks every second whether the listener lives and makes a new one if not, and a plain query sweeps up every half minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from google.api_core.exceptions import GoogleAPICallError

from keepline.adapters.firestore_listener import Listener
from keepline.ports.documents import Document, Query, StoreUnavailable

_LOOK_INTERVAL_S = 1.0
_SWEEP_INTERVAL_S = 30.0

log = logging.getLogger(__name__)


class FirestoreWatch:
    """One live query. Iterate inside `running()`; the newest result is given, states in between may be skipped."""

    def __init__(self, query: Query, listened: Any, sweep: Callable[[], Awaitable[list[Document]]]) -> None:
        """`listened`: the same query in the client's words."""
        self._query = query
        self._listened = listened
        self._sweep = sweep
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._result: Sequence[Document] = ()
        self._heard = 0  # Results so far; a sweep that was overtaken by a newer one is thrown away.

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        keeper = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper

    async def __aiter__(self) -> AsyncIterator[Sequence[Document]]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield self._result

    async def _keep(self) -> None:
        listener = await self._opened()
        swept_at_s = self._loop.time()
        try:
            while True:
                await asyncio.sleep(_LOOK_INTERVAL_S)
                if listener is None or not listener.is_active:
                    log.warning("a Firestore listener had died and is being made again")
                    await asyncio.to_thread(_close, listener)
                    listener = None
                    listener = await self._opened()
                if self._loop.time() - swept_at_s >= _SWEEP_INTERVAL_S:
                    swept_at_s = self._loop.time()
                    await self._sweep_once()
        finally:
            await asyncio.to_thread(_close, listener)

    async def _opened(self) -> Listener | None:
        """A listener. If nobody waits for it any more when it is there, it is closed again: its thread would listen for ever."""
        opening = asyncio.create_task(asyncio.to_thread(self._listen))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.to_thread(_close, await opening)
            raise

    async def _sweep_once(self) -> None:
        heard = self._heard
        try:
            documents = await self._sweep()
        except StoreUnavailable:
            return  # The listener's own stream knows when Firestore is back.
        if heard == self._heard:
            self._publish(documents)

    def _listen(self) -> Listener | None:
        try:
            return Listener.on(self._listened, self._on_result)
        except (GoogleAPICallError, ValueError):
            log.warning("a Firestore listener could not be opened", exc_info=True)
            return None

    def _on_result(self, documents: Collection[Document]) -> None:
        """Runs in the client's thread, and must not raise: an exception here would end the listener."""
        try:
            self._loop.call_soon_threadsafe(self._publish, in_order(documents, self._query))
        except Exception:  # Whatever it is, the keeper goes on sweeping.
            log.debug("a Firestore snapshot came after the end of its listener", exc_info=True)

    def _publish(self, documents: Sequence[Document]) -> None:
        self._heard += 1
        self._result = documents
        self._changed.set()


def in_order(documents: Collection[Document], query: Query) -> list[Document]:
    """As the query gives them: by its field, null before all else, and by path where that is the same."""
    if query.order_by is None:
        return sorted(documents, key=lambda document: document.path)
    names = query.order_by.split(".")

    def key(document: Document) -> tuple[bool, Any, str]:
        value: Any = document.fields
        for name in names:
            value = value[name]
        return value is not None, value, document.path

    return sorted(documents, key=key, reverse=query.descending)


def _close(listener: Listener | None) -> None:
    if listener is not None:
        listener.end()
