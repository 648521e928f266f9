"""A process with neonize clients in it, seen from the test: started, spoken to, ended."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from simulator.trust import environment

PROGRAM = Path(__file__).with_name("neonize_process.py")
END_SECONDS_MAX = 5.0

Event = dict[str, Any]


class Options(NamedTuple):
    """What the process changes in the library's memory; None leaves it alone (see `simulator.trust`)."""

    keepalive: tuple[float, ...] | None = None
    request_timeout: float | None = None


class Process:
    """`stores` are (store file, label) of the clients in it; `on_event` gets each client's number and event."""

    def __init__(
        self,
        about: dict[str, Any],
        stores: list[tuple[Path, str]],
        on_event: Callable[[int, Event], None],
        options: Options,
    ) -> None:
        self._on_event = on_event
        self._clients = range(len(stores))
        self._log = stores[0][0].with_name(stores[0][0].name + ".log")
        self._writing = threading.Lock()
        reader, writer = os.pipe()
        clients = [
            {"store": str(store), "uuid": uuid.uuid4().hex, "proxy": _labelled(about["proxy"], label)}
            for store, label in stores
        ]
        settings = {"clients": clients, "noise_root": about["noise_root"], **options._asdict()}
        # A proxy meant for other things must not catch the client's connections.
        inherited = {key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM), json.dumps(settings), str(writer)],
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
                event = json.loads(line)
                self._on_event(event.pop("client"), event)
        for client in self._clients:
            self._on_event(client, {"event": "exited"})

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def write(self, command: dict[str, Any]) -> None:
        assert self._process.stdin
        with self._writing:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()

    def kill(self) -> None:
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


def _labelled(proxy: str, label: str) -> str:
    return proxy.replace("://", f"://{label}@") if label else proxy
