"""A test's handle on a neonize client that runs in a process of its own, against a simulator."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulator.testing.process import Event, Options, Process

WAIT_SECONDS = 20.0


def _any(event: Event) -> bool:
    return True


class Handle:
    """A client in a process: its events, and commands to it."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._calls = 0
        self._process: Process
        self._index = 0

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

    def log(self) -> str:
        """What the process wrote to its standard output and error."""
        return self._process.log()

    def _log_tail(self) -> str:
        return self.log()[-3_000:]

    def exited(self) -> bool:
        return bool(self.events) and self.events[-1]["event"] == "exited"

    # Commands

    def begin(self, do: str, **fields: Any) -> int:
        """Starts a command; its number is for `result`."""
        self._calls += 1
        self._process.write({"client": self._index, "do": do, "call": self._calls, **fields})
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
                if self.exited():
                    raise AssertionError(f"the client ended during command {call}; {self._log_tail()}")
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"command {call} gave no result within {timeout} s; {self._log_tail()}")

    def begin_send(self, to: str, text: str, tag: str = "") -> int:
        return self.begin("send", to=to, text=text, tag=tag)

    def send(self, to: str, text: str, tag: str = "") -> str:
        """Sends and waits for the server's ack; gives the message id. `tag` is 64 hex digits for the message secret."""
        return str(self.result(self.begin_send(to, text, tag))["id"])

    def call(self, method: str, *args: Any, timeout: float = WAIT_SECONDS, **named: Any) -> Any:
        """Calls any method of neonize; see `neonize_calls` for arguments that are no JSON. Its result as JSON."""
        return self.result(self.begin("call", method=method, args=args, named=named), timeout).get("value")

    def content(self, message_id: str) -> dict[str, Any]:
        """What is in a message that came, as protobuf's JSON."""
        return dict(self.result(self.begin("content", id=message_id))["content"])

    def on_whatsapp(self, *numbers: str) -> dict[str, bool]:
        return dict(self.result(self.begin("on_whatsapp", numbers=numbers))["found"])


class NeonizeClient(Handle):
    """A client with one store file; `about` is what `Simulator.describe()` or `simulator.json` says. Always `close` it."""

    def __init__(
        self,
        about: dict[str, Any],
        store: Path,
        keepalive: tuple[float, ...] | None = None,
        request_timeout: float | None = None,
        label: str = "",
    ) -> None:
        """`label` is the user name for the proxy, by which `refuse` faults can tell clients apart: the phone's number."""
        super().__init__(store)
        options = Options(keepalive, request_timeout)
        self._process = Process(about, [(store, label)], lambda _, event: self._add(event), options)

    def kill(self) -> None:
        """What `kill -9` does: no goodbye."""
        self._process.kill()

    def close(self) -> None:
        self._process.close()


class NeonizeFleet:
    """Several clients in one process, which is much cheaper than a process each; they share its fate. Always `close` it."""

    def __init__(
        self,
        about: dict[str, Any],
        stores: list[tuple[Path, str]],
        keepalive: tuple[float, ...] | None = None,
        request_timeout: float | None = None,
    ) -> None:
        """`stores` are each client's store file and label."""
        self.clients = [Handle(store) for store, _ in stores]
        options = Options(keepalive, request_timeout)
        self._process = Process(about, stores, lambda client, event: self.clients[client]._add(event), options)
        for index, client in enumerate(self.clients):
            client._process, client._index = self._process, index

    def close(self) -> None:
        self._process.close()
