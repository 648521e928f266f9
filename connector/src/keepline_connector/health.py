"""The health page and the metrics: a small Flask app on loopback, for the platform's probes, a collector, and people."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.serving import BaseWSGIServer, make_server

# The connector counts as healthy while its heartbeat has reached Firestore within this time (five beats).
BEAT_AGE_MAX_S = 10.0


def health_app(snapshot: Callable[[], dict[str, Any]], metrics: Callable[[], bytes]) -> Flask:
    """`snapshot` tells `last_beat_s` (monotonic, or None), `hangs`, and whatever else a person should see."""
    app = Flask(__name__)

    @app.get("/health")
    def health() -> tuple[Response, int]:
        seen = snapshot()
        last_beat_s = seen.pop("last_beat_s")
        age_s = None if last_beat_s is None else round(time.monotonic() - last_beat_s, 1)
        hangs = seen.pop("hangs")
        healthy = age_s is not None and age_s <= BEAT_AGE_MAX_S and not hangs
        status = "ok" if healthy else "starting" if age_s is None else "hung" if hangs else "firestore_silent"
        return jsonify(status=status, heartbeat_age_s=age_s, **seen), 200 if healthy else 503

    @app.get("/metrics")
    def figures() -> Response:
        return Response(metrics(), content_type=CONTENT_TYPE_LATEST)

    return app


class HealthServer:
    """Serves the app from a thread, on 127.0.0.1 only."""

    def __init__(self, app: Flask, port: int) -> None:
        self._server: BaseWSGIServer = make_server("127.0.0.1", port, app, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
