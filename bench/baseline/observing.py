"""What is seen of the baseline from outside: what its status says, and what its webhook got."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from bench.baseline.container import Container

LOOK_S = 0.05
ANSWER_LIMIT_S = 1.0


class StatusWatch:
    """Asks a gateway for its status all the time. A gateway that does not answer is noticed, too."""

    def __init__(self, container: Container) -> None:
        self.queued = 0
        self._changes: list[tuple[float, str]] = []
        self._container = container
        self._stopping = threading.Event()
        self._asking = threading.Thread(target=self._ask, name=f"status {container.phone}", daemon=True)
        self._asking.start()

    def stop(self) -> None:
        self._stopping.set()
        self._asking.join()

    @property
    def is_connected(self) -> bool:
        return bool(self._changes) and self._changes[-1][1] == "connected"

    def noticed_at(self, since: float) -> float | None:
        """When it said for the first time after `since` that it is not connected (Unix time)."""
        return next((at for at, said in self._changes if at > since and said != "connected"), None)

    def _ask(self) -> None:
        http = requests.Session()
        http.trust_env = False
        while not self._stopping.wait(LOOK_S):
            try:
                answer = http.get(f"{self._container.api}/status", timeout=ANSWER_LIMIT_S).json()
            except (requests.RequestException, ValueError):
                answer = {"status": "no answer", "queued": self.queued}
            self.queued = answer["queued"]
            if not self._changes or self._changes[-1][1] != answer["status"]:
                self._changes.append((time.time(), answer["status"]))


class Inbox:
    """The program behind the gateways' webhooks: it is always there, and keeps what it gets."""

    def __init__(self, containers: int) -> None:
        self.heard: list[list[str]] = [[] for _ in range(containers)]
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                inbox.heard[int(self.path.lstrip("/"))].append(body["id"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """No line for each request."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, name="inbox", daemon=True).start()

    def url(self, container: int) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{container}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def wait_until_idle(watches: Sequence[StatusWatch], limit_s: float) -> bool:
    """Whether all were connected with nothing left to send, within the limit."""
    deadline = time.monotonic() + limit_s
    while not all(watch.is_connected and not watch.queued for watch in watches):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True
