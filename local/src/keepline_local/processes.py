"""Child processes that cannot be left behind: started in a session of their own, logged to a file, ended as a group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keepline_local import keeper
from keepline_local.errors import LocalError

READY_POLL_S = 0.05
STOP_GRACE_S = 10.0
KILLED_WAIT_S = 5.0
LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 16 * 1024


@dataclass
class Child:
    """A running child; its process id is also the id of its process group."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The exit code once it has ended, or None after `timeout_s` seconds."""
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """SIGTERM to the process, SIGKILL to what is left of its group after `grace_s` seconds. Returns when it is gone.

        Only the leader is asked, as a container platform does it: how its own children end is its business.
        """
        with contextlib.suppress(ProcessLookupError):
            self.popen.terminate()
        self.wait(grace_s)
        self.clear()
        self.wait(KILLED_WAIT_S)

    def clear(self) -> None:
        """SIGKILL whatever of the group is left, and take it off the keeper's list."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        _keeper.forget(self.pid)

    def tail(self) -> str:
        return tail(self.log)


def spawn(
    name: str,
    command: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start a command in its own session, its output appended to `log`. `env` is added to this process's environment."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        try:
            popen = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                cwd=cwd,
                start_new_session=True,  # so a Ctrl-C reaches only the runner, and it stops its parts in order
            )
        except OSError as error:
            raise LocalError(f"{name} could not be started: {error}.") from error
    _keeper.remember(popen.pid)
    return Child(name, popen, log)


def wait_ready(
    child: Child,
    ready: Callable[[], bool],
    limit_s: float,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Return once `ready()` is true; `LocalError` with the log's end if the child ends or `limit_s` seconds pass before."""
    deadline = time.monotonic() + limit_s
    while not ready():
        if cancelled():
            return
        code = child.popen.poll()
        if code is not None:
            raise LocalError(f"{child.name} ended while it started ({describe_exit(code)}).", log_tail=child.tail())
        if time.monotonic() > deadline:
            raise LocalError(f"{child.name} was not ready within {limit_s:.0f} s.", log_tail=child.tail())
        time.sleep(READY_POLL_S)


def describe_exit(code: int) -> str:
    """`exit code 3`, or `killed by SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log file; empty if there is none."""
    try:
        with log.open("rb") as text:
            text.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            return "\n".join(text.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


class _Keeper:
    """This process's `keeper.py`, started with the first child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_pid = 0

    def remember(self, pid: int) -> None:
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None or self._owner_pid != os.getpid():
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", keeper.__file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
                self._owner_pid = os.getpid()
            pipe = self._process.stdin
            assert pipe is not None
            # A keeper that was killed cannot keep; the ordinary stop still ends every child.
            with contextlib.suppress(OSError):
                pipe.write(line.encode())
                pipe.flush()


_keeper = _Keeper()
