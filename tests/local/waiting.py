"""Wait on a condition, with a limit; and the condition that a process is gone."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02


def eventually(condition: Callable[[], T], limit_s: float = 10.0, what: str = "") -> T:
    """What `condition()` gives as soon as that is true; `AssertionError` after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:.0f} s: {what or condition}")
        time.sleep(POLL_S)
    return value


def gone(pid: int) -> bool:
    """True if there is no such process, or one that has ended and waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
