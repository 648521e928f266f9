"""The last one out: ends the process groups that a process leaves behind when it is killed.

Started as a file with a bare interpreter (no site-packages, some 10 ms). It reads `+PID` and `-PID` lines from its standard
input and outlives its parent on purpose: when the pipe closes, however the parent ended, each group still listed gets SIGTERM
and, after the grace, SIGKILL. A process group, because a connector's cells must not outlive it either.
"""

from __future__ import annotations

import os
import signal
import sys
import time

GRACE_S = 10.0
POLL_S = 0.05


def main() -> None:
    """Keep the list until the pipe closes, then end what is on it."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        sign, pid = line[:1], int(line[1:])
        if sign == "+":
            groups.add(pid)
        else:
            groups.discard(pid)
    end(groups)


def end(groups: set[int], grace_s: float = GRACE_S) -> None:
    """SIGTERM to each process group, SIGKILL to those that are still there after the grace (seconds)."""
    left = {group for group in groups if _signal(group, signal.SIGTERM)}
    deadline = time.monotonic() + grace_s
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = {group for group in left if _signal(group, 0)}
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
