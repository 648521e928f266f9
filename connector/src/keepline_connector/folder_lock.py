"""One holder per device folder on this machine: a cell whose supervisor died still writes down what it heard.

flock itself is a line, and the kernel lets go of it with the process; filelock would bring soft locks, re-entrance and platforms
that a connector does not have.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

TIMEOUT_S = 10.0
_LOOK_INTERVAL_S = 0.02


class FolderHeld(Exception):
    """Another process has held the device's folder for too long."""


class FolderLock:
    """Held from creation until `release` or the death of the process. Raises FolderHeld after `wait_s` seconds."""

    def __init__(self, folder: Path, wait_s: float = TIMEOUT_S) -> None:
        self._file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline_s = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    os.close(self._file)
                    raise FolderHeld(str(folder)) from None
                time.sleep(_LOOK_INTERVAL_S)
            else:
                return

    def release(self) -> None:
        os.close(self._file)
