"""A whole Keepline for tests and benches: `with Stack() as stack: requests.get(stack.run.api + "/health")`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from keepline_local import keeper, run_file
from keepline_local.errors import LocalError
from keepline_local.paths import State
from keepline_local.processes import tail
from keepline_local.run_file import Run

READY_LIMIT_S = 90.0
STOP_LIMIT_S = 30.0
POLL_S = 0.05

# For runs with more sessions than the pool's usual limits: all that may be set.
ROOMY = {"KEEPLINE_SESSIONS_PER_USER_MAX": "200", "KEEPLINE_SESSIONS_MAX": "1000"}
# For runs in which what is stopped on purpose is to stay stopped.
NOBODY_RECOVERS = {"KEEPLINE_RECOVERY": "off"}

_PORT_VARIABLES = ("KEEPLINE_PORT", "KEEPLINE_CONSOLE_PORT", "KEEPLINE_SIMULATOR_PORT")


class Stack:
    """Runs `python -m keepline_local KIND` as a subprocess, beside whatever else runs on the machine.

    kind: `demo` or `up`. state_dir: kept if given, else a temporary one that goes with the stack (kept after an error, for its
    logs). ports: `free` for any, `fixed` for those that a user's run has. env: added to the environment.
    It ends when this process ends, however that happens.
    """

    def __init__(
        self,
        kind: str = "demo",
        state_dir: Path | None = None,
        ports: str = "free",
        env: Mapping[str, str] | None = None,
    ) -> None:
        if ports not in ("free", "fixed"):
            raise ValueError(f"ports is {ports!r}, not 'free' or 'fixed'")
        self.kind = kind
        self._temporary = state_dir is None
        self.state = State(Path(state_dir or tempfile.mkdtemp(prefix="keepline-")).resolve())
        self._env = {"KEEPLINE_STATE_DIR": str(self.state.root)}
        if ports == "free":
            self._env |= dict.fromkeys(_PORT_VARIABLES, "0")
        self._env |= env or {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.stop()
        if self._temporary and error is None:
            self.remove()

    @property
    def run(self) -> Run:
        """What run.json says now (process ids change when a part is restarted); `LocalError` if there is no run."""
        run = run_file.read(self.state.run_json)
        if run is None:
            raise LocalError("Keepline is not running.", log_tail=self.output())
        return run

    @property
    def pid(self) -> int:
        """The runner's process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    def output(self) -> str:
        """The end of what the runner printed."""
        return tail(self._output_file, lines=60)

    def log(self, part: str) -> Path:
        """The log file of a part (`connector-1`, `functions`, `firestore`, …)."""
        return self.state.log(part)

    def start(self, limit_s: float = READY_LIMIT_S) -> Run:
        """Start and wait until everything is ready; `LocalError` with the runner's output if it is not."""
        self.state.root.mkdir(parents=True, exist_ok=True)
        with self._output_file.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "keepline_local", self.kind, "--until-stdin-closes"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._env},
                start_new_session=True,
            )
        deadline = time.monotonic() + limit_s
        while True:
            run = run_file.read(self.state.run_json)
            if run is not None and run.pids["runner"] == self._process.pid:
                return run
            code = self._process.poll()
            if code is not None:
                raise LocalError(f"make {self.kind} ended with {code} before it was ready.", log_tail=self.output())
            if time.monotonic() > deadline:
                self.stop()
                raise LocalError(f"make {self.kind} was not ready within {limit_s:.0f} s.", log_tail=self.output())
            time.sleep(POLL_S)

    def stop(self, limit_s: float = STOP_LIMIT_S) -> int:
        """SIGTERM to the runner; its exit code. Kills it and all its parts if that takes longer than `limit_s` seconds."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        pids = self._pids()
        if process.poll() is None:
            process.terminate()
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
            keeper.end(pids, grace_s=0.0)
        finally:
            if process.stdin is not None:
                process.stdin.close()
        return code

    def remove(self) -> None:
        """Delete the state folder."""
        shutil.rmtree(self.state.root, ignore_errors=True)

    def _pids(self) -> set[int]:
        run = run_file.read(self.state.run_json)
        return {pid for name, pid in run.pids.items() if name != "runner"} if run else set()

    @property
    def _output_file(self) -> Path:
        return self.state.root / "output.log"
