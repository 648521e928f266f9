"""One run at a time in a state folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from keepline_local.errors import LocalError
from keepline_local.paths import State


@contextmanager
def only_run(state: State, kind: str) -> Iterator[None]:
    """Hold the folder's lock; `LocalError` if another run has it. The system releases it however this process ends."""
    state.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # what a run keeps is secret
    with state.lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "starting"
            raise LocalError(
                f"Keepline is running here already ({holder}).",
                hint="Stop that one first (Ctrl-C in its terminal), or set KEEPLINE_STATE_DIR to run another beside it.",
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"make {kind}, pid {os.getpid()}\n")
        lock.flush()
        try:
            yield
        finally:
            lock.seek(0)
            lock.truncate()
