"""A Firestore listener that does not die in silence.

The Python client's `on_snapshot` stops for good, without a word, when its callback raises, when the stream is cancelled, or
when re-opening fails once (read in google-cloud-firestore 2.34.1, watch.py). So the callback here cannot raise, a keeper
looks every second whether the listener lives and makes a new one if not, and a plain query sweeps up every half minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from google.api_core.exceptions import GoogleAPICallError

from keepline.ports.documents import Document, StoreUnavailable

_LOOK_INTERVAL_S = 1.0
_SWEEP_INTERVAL_S = 30.0
_OPEN_LIMIT_S = 5.0

log = logging.getLogger(__name__)


class FirestoreWatch:
    """One live query. Iterate inside `running()`; the newest result is given, states in between may be skipped."""

    def __init__(
        self,
        query: Any,
        sweep: Callable[[], Awaitable[list[Document]]],
        to_document: Callable[[Any], Document],
    ) -> None:
        self._query = query
        self._sweep = sweep
        self._to_document = to_document
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._result: Sequence[Document] = ()
        self._told: Sequence[Document] = ()  # what the listener said last; touched in the client's thread only
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

    async def _opened(self) -> Any:
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

    def _listen(self) -> Any:
        if not self._query._orders:
            # The client sorts the whole result after every change, and its own comparison makes a protobuf message each time:
            # with 100 documents that was a third of what a connector did at its start.
            self._query._comparator = _by_path
        try:
            return self._query.on_snapshot(self._on_snapshot)
        except (GoogleAPICallError, ValueError):
            log.warning("a Firestore listener could not be opened", exc_info=True)
            return None

    def _on_snapshot(self, snapshots: Sequence[Any], _changes: object, _read_time: object) -> None:
        """Runs in the client's thread, and must not raise: an exception here would end the listener."""
        try:
            # Most of a result is as it was in the one before.
            known = {(document.path, document.version): document for document in self._told}
            documents = [
                known.get((snapshot.reference.path, snapshot.update_time)) or self._to_document(snapshot)
                for snapshot in snapshots
            ]
            self._told = documents
            self._loop.call_soon_threadsafe(self._publish, documents)
        except Exception:  # Whatever it is, the keeper goes on sweeping.
            log.debug("a Firestore snapshot came after the end of its listener", exc_info=True)

    def _publish(self, documents: Sequence[Document]) -> None:
        self._heard += 1
        self._result = documents
        self._changed.set()


def _by_path(one: Any, other: Any) -> int:
    paths = one.reference._path, other.reference._path
    return int(paths[0] > paths[1]) - int(paths[0] < paths[1])


def _close(listener: Any) -> None:
    if listener is None:
        return
    rpc, opening = listener._rpc, getattr(listener._consumer, "_thread", None)
    listener.unsubscribe()
    # The client opens the stream in its thread. Closed before that, it leaves the stream open and reads nothing from it: the
    # server keeps everything that it has to say there, for as long as this process lives.
    if opening is not None:
        opening.join(_OPEN_LIMIT_S)
    if rpc is not None and rpc.call is not None:
        rpc.call.cancel()
