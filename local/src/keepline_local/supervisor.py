"""Keep one part of a run going: start it when what it needs is ready, start it again when it ends, stop it for good when told.

Stands in for the container platform, which restarts a container that ends, sooner at first and later each time.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from keepline_local.errors import LocalError
from keepline_local.processes import STOP_GRACE_S, Child, describe_exit, spawn, wait_ready

RESTART_DELAY_FIRST_S = 0.2
RESTART_DELAY_MAX_S = 5.0
# A part that ran this long before it ended starts again without the delays of earlier ends.
STEADY_AFTER_S = 10.0
DEPENDENCY_WAIT_S = 180.0  # longer than any part may take to get ready, so that the part itself is the one to be blamed


@dataclass(frozen=True)
class Launch:
    """What to execute; `env` is added to the runner's environment."""

    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One process of a run. `launch` is asked only once the parts in `after` are ready, so it may read what they wrote."""

    name: str
    launch: Callable[[], Launch]
    ready: Callable[[], bool]
    log: Path
    after: tuple[str, ...] = ()
    restarts: bool = False
    ready_limit_s: float = 60.0
    grace_s: float = STOP_GRACE_S
    cwd: Path | None = None


class Change(Enum):
    """What a supervisor reports to the runner."""

    STARTED = "started"  # has a process id now, maybe a new one
    READY = "ready"  # is ready for the first time
    ENDED = "ended"  # ended by itself and will be started again
    HEALED = "healed"  # is ready after it ended
    FAILED = "failed"  # cannot be started, or ended and may not be started again: the run is over


@dataclass(frozen=True)
class Report:
    """A change of one part; `error` says what happened, for ENDED and FAILED. `seconds`: how long it took to get ready."""

    part: str
    change: Change
    error: LocalError | None = None
    seconds: float = 0.0


def restart_delay_s(ends_in_a_row: int) -> float:
    """Seconds to wait before starting again after that many ends, each soon after the one before (1 or more)."""
    return min(RESTART_DELAY_FIRST_S * 2.0 ** min(ends_in_a_row - 1, 16), RESTART_DELAY_MAX_S)


class Supervisor:
    """Looks after one part in a thread of its own."""

    def __init__(self, part: Part, others: Mapping[str, Supervisor], reports: queue.SimpleQueue[Report]) -> None:
        self.part = part
        self.ready = threading.Event()
        self.child: Child | None = None
        self._others = others
        self._reports = reports
        self._stopping = threading.Event()
        self._spawning = threading.Lock()  # so that nothing is started after `stop` has looked for it
        self._thread = threading.Thread(target=self._run, name=part.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the process and its group; returns when they are gone."""
        self._stopping.set()
        with self._spawning:
            child = self.child
        if child is not None:
            child.stop(self.part.grace_s)

    def kill(self) -> None:
        """End it now, without grace; safe to call while `stop` waits."""
        self._stopping.set()
        if self.child is not None:
            self.child.clear()

    def restart(self, hangs: bool) -> None:
        """End the process, which is started again as after any other end. One that hangs hears no SIGTERM and is killed.

        Returns at once; does nothing to a part that is being stopped, or that ends the run when it ends.
        """
        with self._spawning:
            child = self.child
        if child is None or self._stopping.is_set() or not self.part.restarts:
            return
        end = child.clear if hangs else lambda: child.stop(self.part.grace_s)
        threading.Thread(target=end, name=f"restart {self.part.name}", daemon=True).start()

    def _run(self) -> None:
        try:
            if not self._dependencies_ready():
                return
            began = time.monotonic()
            if not self._start():
                return
            self.ready.set()
            self._report(Change.READY, seconds=time.monotonic() - began)
            self._look_after()
        except LocalError as error:
            if not self._stopping.is_set():
                self._report(Change.FAILED, error)

    def _dependencies_ready(self) -> bool:
        deadline = time.monotonic() + DEPENDENCY_WAIT_S
        for name in self.part.after:
            while not self._others[name].ready.wait(0.05):
                if self._stopping.is_set():
                    return False
                if time.monotonic() > deadline:
                    raise LocalError(f"{self.part.name} waited {DEPENDENCY_WAIT_S:.0f} s for {name}.")
        return not self._stopping.is_set()

    def _start(self) -> bool:
        """Start the process and wait until it is ready; False if a stop came in between."""
        launch = self.part.launch()
        with self._spawning:
            if self._stopping.is_set():
                return False
            self.child = spawn(self.part.name, launch.command, self.part.log, env=launch.env, cwd=self.part.cwd)
        self._report(Change.STARTED)
        wait_ready(self.child, self.part.ready, self.part.ready_limit_s, cancelled=self._stopping.is_set)
        return not self._stopping.is_set()

    def _look_after(self) -> None:
        ends_in_a_row = 0
        while True:
            child = self.child
            assert child is not None
            began = time.monotonic()
            code = child.wait()
            if self._stopping.is_set():
                return
            child.clear()
            ended = LocalError(f"{self.part.name} ended ({describe_exit(code or 0)}).", log_tail=child.tail())
            if not self.part.restarts:
                raise ended
            self._report(Change.ENDED, ended)
            if time.monotonic() - began > STEADY_AFTER_S:
                ends_in_a_row = 0
            # Without a limit on the tries, as a container platform does it; the limit is on their rate.
            healed = False
            while not healed:
                ends_in_a_row += 1
                if self._stopping.wait(restart_delay_s(ends_in_a_row)):
                    return
                healed = self._start_again()
            self._report(Change.HEALED)

    def _start_again(self) -> bool:
        try:
            return self._start()
        except LocalError:
            if self.child is not None:
                self.child.stop(self.part.grace_s)
            return False

    def _report(self, change: Change, error: LocalError | None = None, seconds: float = 0.0) -> None:
        self._reports.put(Report(self.part.name, change, error, seconds))
