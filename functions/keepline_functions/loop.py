"""An event loop in a thread of its own, for the asyncio clients behind synchronous entry points."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from keepline.domain.errors import Unavailable

_T = TypeVar("_T")

_STOP_TIMEOUT_S = 2.0


class BackgroundLoop:
    """Runs coroutines for any thread. The thread is a daemon: it never keeps a process from ending."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="event-loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
        """The coroutine's result, for any other thread. Cancels it and raises Unavailable (`timed_out`) after `timeout_s`."""
        future: Future[_T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            # A TimeoutError of the coroutine's own comes this way too, and means the same to the caller.
            future.cancel()
            raise Unavailable("timed_out", "This took too long and was given up.", "Try again in a moment.") from None

    def stop(self) -> None:
        """Cancel what still runs, and end the loop and its thread."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result(_STOP_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_TIMEOUT_S)
        if not self._thread.is_alive():
            self._loop.close()

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
