"""A gateway as they are commonly built: the other side of `python -m bench.compare`. README.md says what is taken from where.

One process, one neonize client, one queue in memory. `POST /api/messages/send` answers 202 at once; a worker sends, and tries
again after a fixed pause. The session is a file on the container's disk. What comes in is acknowledged to WhatsApp as soon as
the callback returns, and goes to a webhook from a list in memory. `GET /status` says what the library's flag says.

It tells its container (container.py) of QR codes as JSON lines on standard output. Needs the environment that
`simulator.trust.environment` names.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import signal
import sys
import threading
import time
import urllib.request
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from neonize._binder import ProxySettings
from neonize.client import NewClient
from neonize.events import MessageEv
from neonize.exc import SendMessageError
from neonize.utils.jid import build_jid

from simulator import trust

# The pause after a send that failed. What WhatsApp refused is tried so often, what could not be sent until it can.
RETRY_PAUSE_S = 1.0
REFUSED_TRIES = 3
# whatsmeow connects again by itself after a loss; this is for when it has given up.
RECONNECT_PAUSE_S = 5.0
# A webhook that failed is called again, as long as the process lives.
WEBHOOK_PAUSE_S = 2.0
WEBHOOK_TIMEOUT_S = 5.0
# Docker waits 10 s between SIGTERM and SIGKILL.
DRAIN_S = 8.0
LOOK_S = 0.05


@dataclass(frozen=True)
class Message:
    id: str
    to: str
    text: str


class Gateway:
    """One number. `heard_at`: where incoming messages are posted to."""

    def __init__(self, store: Path, proxy: str, heard_at: str) -> None:
        self.stopping = threading.Event()
        self._store = store
        self._proxy = proxy
        self._heard_at = heard_at
        self._client: NewClient | None = None
        self._clients: list[NewClient] = []  # the library may still call into an old one
        self._numbers = itertools.count(1)
        self._waiting: queue.Queue[Message] = queue.Queue()
        self._heard: queue.Queue[dict[str, str]] = queue.Queue()
        self._sending = threading.Lock()
        self._accepted: dict[str, str] = {}  # a client's key → the id that it was told

    def start(self) -> None:
        for work in (self._keep_connected, self._send_all, self._post_all):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()

    def accept(self, to: str, text: str, key: str) -> str:
        """Into the queue; a client that repeats itself with its key gets the first answer."""
        with self._sending:
            if key in self._accepted:
                return self._accepted[key]
            message = Message(uuid.uuid4().hex, to, text)
            self._accepted[key] = message.id
            self._waiting.put(message)
        return message.id

    def status(self) -> dict[str, Any]:
        client = self._client
        # Connected it is while it shows a QR code, too; logged in it stays when the connection is gone.
        connected = client is not None and client.is_connected and client.is_logged_in
        return {"status": "connected" if connected else "disconnected", "queued": self._waiting.unfinished_tasks}

    def drain(self) -> None:
        """Before a stop: nothing new, and what is queued as far as there is time."""
        self.stopping.set()
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline and (self._waiting.unfinished_tasks or self._heard.unfinished_tasks):
            time.sleep(LOOK_S)

    def _keep_connected(self) -> None:
        while True:
            # A new name each time: two clients of one name end each other (neonize 0.5.2).
            client = NewClient(str(self._store), uuid=f"gateway-{next(self._numbers)}")
            client._stop_finalizer.detach()
            client.qr(lambda _, code: say(qr=code.decode()))
            client.event(MessageEv)(lambda _, event: self._hear(event))
            self._clients.append(client)
            self._client = client
            try:
                client.connect(ProxySettings(proxy_address=self._proxy))  # returns when the library has given up
            except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again
                print(f"connecting failed: {error}", file=sys.stderr, flush=True)
            time.sleep(RECONNECT_PAUSE_S)

    def _send_all(self) -> None:
        while True:
            message = self._waiting.get()
            tries = 0
            while tries < REFUSED_TRIES:
                try:
                    assert self._client is not None
                    self._client.send_message(build_jid(message.to), message.text)
                    break
                except SendMessageError as error:
                    # Of a message without an answer nobody knows whether it has left: it is sent again.
                    tries += "server returned error" in str(error)
                except Exception as error:  # noqa: BLE001 - not connected yet
                    print(f"sending failed: {error}", file=sys.stderr, flush=True)
                time.sleep(RETRY_PAUSE_S)
            self._waiting.task_done()

    def _hear(self, event: Any) -> None:
        if event.Info.MessageSource.IsFromMe:
            return
        text = event.Message.conversation or event.Message.extendedTextMessage.text
        if text:
            self._heard.put({"id": event.Info.ID, "text": text})

    def _post_all(self) -> None:
        while True:
            message = self._heard.get()
            while not self._post(message):
                time.sleep(WEBHOOK_PAUSE_S)
            self._heard.task_done()

    def _post(self, message: dict[str, str]) -> bool:
        request = urllib.request.Request(self._heard_at, json.dumps(message).encode())  # noqa: S310 - a bench's own URL
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=WEBHOOK_TIMEOUT_S):
                return True
        except OSError:
            return False


class Handler(BaseHTTPRequestHandler):
    """Keepline's paths, as far as the load needs them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    gateway: Gateway

    def do_GET(self) -> None:
        self._answer(200, self.gateway.status())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.gateway.stopping.is_set():
            self._answer(503, {"error": "stopping"})
            return
        key = self.headers.get("Idempotency-Key", uuid.uuid4().hex)
        self._answer(202, {"message_id": self.gateway.accept(body["to"], body["text"], key)})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """No line for each request."""


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulator", type=Path, required=True, help="the simulator's folder")
    parser.add_argument("--disk", type=Path, required=True, help="the container's disk: the session file is there")
    parser.add_argument("--port", type=int, required=True, help="of its API, on loopback")
    parser.add_argument("--webhook", required=True, help="where incoming messages go")
    arguments = parser.parse_args()
    about = json.loads((arguments.simulator / "simulator.json").read_text())
    trust.trust_this_simulator((arguments.simulator / "noise_root.hex").read_text())
    arguments.disk.mkdir(parents=True, exist_ok=True)
    gateway = Gateway(arguments.disk / "session.db", about["proxy"], arguments.webhook)
    gateway.start()
    Handler.gateway = gateway
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    gateway.drain()
    os._exit(0)  # The library's threads are not daemons.


if __name__ == "__main__":
    # Before the first thread, so that it is the main thread that hears of it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main()
