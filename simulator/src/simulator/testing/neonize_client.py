"""A test's handle on a neonize client that runs in a process of its own, against a simulator."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulator.trust import environment

PROGRAM = Path(__file__).with_name("neonize_process.py")
WAIT_SECONDS = 20.0
END_SECONDS_MAX = 5.0

Event = dict[str, Any]


def _any(event: Event) -> bool:
    return True


class NeonizeClient:
    """A client with one store file; `about` is what `Simulator.describe()` or `simulator.json` says. Always `close` it."""

    def __init__(self, about: dict[str, Any], store: Path, keepalive: tuple[float, ...] | None = None) -> None:
        self.store = store
        self.events: list[Event] = []
        self._log = store.with_name(store.name + ".log")
        self._changed = threading.Condition()
        self._calls = 0
        reader, writer = os.pipe()
        options = {
            "store": str(store), "uuid": uuid.uuid4().hex, "proxy": about["proxy"], "noise_root": about["noise_root"],
            "keepalive": keepalive,
        }  # fmt: skip
        # A proxy meant for other things must not catch the client's connections.
        inherited = {key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM), json.dumps(options), str(writer)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
                env={**inherited, **environment(Path(about["ca"]).parent)},
                text=True,
            )
        os.close(writer)
        self._reader = threading.Thread(target=self._read, args=(reader,), daemon=True)
        self._reader.start()

    def _read(self, reader: int) -> None:
        with os.fdopen(reader) as pipe:
            for line in pipe:
                self._add(json.loads(line))
        self._add({"event": "exited"})

    def _add(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    # Events

    def wait(
        self, event: str, where: Callable[[Event], bool] = _any, after: int = 0, timeout: float = WAIT_SECONDS
    ) -> Event:
        """The first such event at or after a position in `events` (see `mark`); AssertionError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        at = after
        with self._changed:
            while True:
                for found in self.events[at:]:
                    if found["event"] == event and where(found):
                        return found
                    if found["event"] == "exited":
                        raise AssertionError(f"the client ended while {event!r} was awaited: {self._log_tail()}")
                at = len(self.events)
                if not self._changed.wait(deadline - time.monotonic()):
                    got = self.events[after:]
                    raise AssertionError(f"no {event!r} within {timeout} s, but {got}; {self._log_tail()}")

    def mark(self) -> int:
        """The position after everything that happened so far."""
        with self._changed:
            return len(self.events)

    def _log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-3_000:]

    # Commands

    def begin(self, do: str, **fields: Any) -> int:
        """Starts a command; its number is for `result`."""
        self._calls += 1
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": do, "call": self._calls, **fields}) + "\n")
        self._process.stdin.flush()
        return self._calls

    def result(self, call: int, timeout: float = WAIT_SECONDS) -> Event:
        """What came of a command; RuntimeError with neonize's words if it failed."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self.events:
                    if event.get("call") == call:
                        if event["event"] == "failed":
                            raise RuntimeError(event["error"])
                        return event
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"command {call} gave no result within {timeout} s; {self._log_tail()}")

    def begin_send(self, to: str, text: str, tag: str = "") -> int:
        return self.begin("send", to=to, text=text, tag=tag)

    def send(self, to: str, text: str, tag: str = "") -> str:
        """Sends and waits for the server's ack; gives the message id. `tag` is 64 hex digits for the message secret."""
        return str(self.result(self.begin_send(to, text, tag))["id"])

    def on_whatsapp(self, *numbers: str) -> dict[str, bool]:
        return dict(self.result(self.begin("on_whatsapp", numbers=numbers))["found"])

    # The end

    def kill(self) -> None:
        """What `kill -9` does: no goodbye."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(END_SECONDS_MAX)
