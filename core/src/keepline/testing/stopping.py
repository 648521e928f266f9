"""Processes that can be stopped in one event loop: while one is, none of its tasks takes a step, and virtual time goes on.

Timers and answers that come meanwhile are met when it goes on, as by a process after SIGCONT.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any


class Stoppable:
    """One process. What is started by `run`, and all that this starts, is its."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] | None = (
            None  # the tasks that are to take a step, while it is stopped
        )

    @property
    def stopped(self) -> bool:
        return self._waiting is not None

    def stop(self) -> None:
        """SIGSTOP."""
        if self._waiting is None:
            self._waiting = []

    def go_on(self) -> None:
        """SIGCONT."""
        waiting, self._waiting = self._waiting, None
        for step in waiting or ():
            if not step.done():
                step.set_result(None)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start the process's main task."""
        token = _process.set(self)
        try:
            return asyncio.create_task(coroutine)
        finally:
            _process.reset(token)

    def next_step(self) -> asyncio.Future[None]:
        """Done when the process goes on."""
        assert self._waiting is not None
        self._waiting.append(asyncio.get_running_loop().create_future())
        return self._waiting[-1]


_process: ContextVar[Stoppable | None] = ContextVar("process", default=None)


def stoppable_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """A task factory."""
    context = options.get("context")
    process = _process.get() if context is None else context.get(_process)
    return asyncio.Task(coroutine if process is None else _Held(coroutine, process), loop=loop, **options)


class _Held(Coroutine[Any, Any, Any]):
    """A task's coroutine that takes its steps only while its process may."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], process: Stoppable) -> None:
        self._coroutine = coroutine
        self._process = process
        self._thrown: tuple[Any, ...] | None = None  # while it was stopped

    def send(self, value: Any) -> Any:
        if self._process.stopped:
            return next(self._process.next_step().__await__())
        if self._thrown is not None:
            thrown, self._thrown = self._thrown, None
            return self._coroutine.throw(*thrown)
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        if self._process.stopped:
            self._thrown = error
            return next(self._process.next_step().__await__())
        self._thrown = None
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()
