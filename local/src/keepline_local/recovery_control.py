"""Where a run's parts can be restarted from outside: the far end of Keepline's recovery webhooks, on loopback.

What ends by itself the supervisor starts again. What hangs does not end; the uptime monitor sees that, and its order comes here,
signed as to any other receiver. Only parts that may be restarted are: the emulators hold what the run has stored.
"""

from __future__ import annotations

import hmac
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import waitress
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from keepline.domain import webhook_signing
from keepline.domain.webhook_signing import Secret
from keepline_local.ports import LOOPBACK

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PATH = "/recoveries"
# Standard Webhooks' advice against a recorded order that is played again.
OLD_S_MAX = 300.0
BODY_BYTES_MAX = 64 * 1024
REMEMBERED_MAX = 1_000
THREADS = 2

_log = logging.getLogger(__name__)

Restart = Callable[[bool], None]
"""Ends a part, which is then started again. True: it hangs and is killed; False: it is asked to end first."""


class RecoveryControl:
    """A WSGI app. `parts` by name."""

    def __init__(self, secret: Secret, parts: Mapping[str, Restart]) -> None:
        self._secret = secret
        self._parts = parts
        self._done: dict[str, None] = {}  # in the order in which they came
        self._lock = threading.Lock()

    def serve(self, port: int) -> None:
        """In a thread that ends with the process."""
        server = waitress.create_server(
            self, host=LOOPBACK, port=port, threads=THREADS, max_request_body_size=BODY_BYTES_MAX, ident=None
        )
        threading.Thread(target=server.run, name="recovery", daemon=True).start()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if request.path != PATH or request.method != "POST":
            return Response("no such page\n", 404)
        body = request.get_data()
        if not self._is_signed(request.headers, body):
            return Response("the signature is not right\n", 401)
        try:
            order = json.loads(body)
            event_type, about = str(order["type"]), dict(order["data"])
        except (ValueError, KeyError, TypeError):
            return Response("no order\n", 400)
        if event_type != "recovery.restart":
            return Response("only restarts are offered here\n", 501)
        restart = self._parts.get(_part(about))
        if restart is None:
            return Response("no such part\n", 404)
        with self._lock:
            key = request.headers["webhook-id"]
            if key not in self._done:
                self._done[key] = None
                while len(self._done) > REMEMBERED_MAX:
                    del self._done[next(iter(self._done))]
                _log.warning("%s is restarted: recovery %s (%s)", _part(about), key, about.get("reason"))
                restart(about.get("reason") == "down")
        return Response("restarted\n", 202)

    def _is_signed(self, headers: Headers, body: bytes) -> bool:
        stamp = headers.get("webhook-timestamp", "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12):
            return False
        sent_at = datetime.fromtimestamp(int(stamp), UTC)
        if abs((datetime.now(UTC) - sent_at).total_seconds()) > OLD_S_MAX:
            return False
        event_id = headers.get("webhook-id", "")
        right = webhook_signing.headers([self._secret], event_id, sent_at, body)["webhook-signature"]
        given = headers.get("webhook-signature", "").split()
        return any(hmac.compare_digest(one.encode(), right.encode()) for one in given)


def _part(about: Mapping[str, Any]) -> str:
    """The part that a target is: a connector has its own name, and the API is one of the functions."""
    return "functions" if about.get("kind") == "api" else str(about.get("name"))
