"""An event loop whose time is virtual: waiting costs nothing, and hours pass in seconds.

Deterministic: no threads, no sockets, no real clock. Everything that happens follows from the program and its seeds.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from keepline.testing.stopping import stoppable_task

T = TypeVar("T")


class NothingLeftToHappen(RuntimeError):
    """Every task waits for something that no other task or timer can bring about: a deadlock."""


class _NoWaiting(selectors.SelectSelector):
    """Stands where the loop waits for sockets, and lets time jump to the next timer instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingLeftToHappen
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at time 0."""

    def __init__(self) -> None:
        self._waiting = _NoWaiting()
        super().__init__(self._waiting)
        self.set_task_factory(stoppable_task)

    def time(self) -> float:
        return self._waiting.now_s

    def get_debug(self) -> bool:
        """Asked several times for each step, which is a good part of what a step costs."""
        return False


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
