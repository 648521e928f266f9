"""The Flask app: its routes, and what holds for every one of them (who may, how large, how errors look, what is logged)."""

from __future__ import annotations

import logging
import os
import re
import time
import uuid

from flask import Flask, Response, g, request

from keepline.domain.trace_context import child_of, traceparent
from keepline.log_lines import about
from keepline_functions import (
    alerts_api,
    auth,
    chats_api,
    connectors_api,
    contacts_api,
    diagnostics_api,
    errors,
    fleet_api,
    groups_api,
    health_api,
    keys_api,
    limits_api,
    live_events_api,
    media_api,
    messages_api,
    metrics_api,
    monitoring_api,
    openapi_api,
    pairing_code_api,
    qr_api,
    reports_api,
    sessions_api,
    uptime_api,
    webhooks_api,
)
from keepline_functions.schemas import BODY_BYTES_MAX
from keepline_functions.services import EXTENSION, Services, services

# A caller's own request id is kept when it is nothing but an id.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger(__name__)


def create_app(parts: Services) -> Flask:
    """The API on these services."""
    app = Flask("keepline", static_folder=None)
    # One byte more than the limit: werkzeug cuts a body of unknown length here without a word, so the excess must be seen.
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX + 1
    app.url_map.merge_slashes = False  # An address with // is none of ours, and a redirect would repeat it.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.extensions[EXTENSION] = parts
    for routes in (
        health_api.routes,
        sessions_api.routes,
        qr_api.routes,
        pairing_code_api.routes,
        messages_api.routes,
        media_api.routes,
        chats_api.routes,
        groups_api.routes,
        contacts_api.routes,
        webhooks_api.routes,
        live_events_api.routes,
        monitoring_api.routes,
        alerts_api.routes,
        keys_api.routes,
        reports_api.routes,
        diagnostics_api.routes,
        fleet_api.routes,
        uptime_api.routes,
        limits_api.routes,
        connectors_api.routes,
        metrics_api.routes,
        openapi_api.routes,
    ):
        app.register_blueprint(routes)
    app.before_request(_begin)
    auth.register(app)
    errors.register(app)
    app.after_request(_finish)
    return app


def _begin() -> None:
    g.began_s = time.monotonic()
    given = request.headers.get("X-Request-Id", "")
    g.caller_traceparent = traceparent(request.headers.get("traceparent"))
    # Where nobody collects traces, the caller's is passed on as it is.
    g.traceparent = child_of(g.caller_traceparent, os.urandom(24)) if services().traced else g.caller_traceparent
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _finish(response: Response) -> Response:
    if response.status_code in (204, 304):
        response.headers.pop("Content-Type", None)  # Flask names one even for nothing.
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Request-Id"] = g.request_id
    _note(response)
    return response


def _note(response: Response) -> None:
    """One line per request: the route and not the address, which names people's sessions; no body, no key, no number."""
    duration_s = time.monotonic() - g.began_s
    duration_ms = round(duration_s * 1000, 1)
    route = request.url_rule.rule if request.url_rule is not None else "(none)"
    method = request.method if request.url_rule is not None else "(any)"  # Whoever has no route may call it anything.
    services().metrics.answered(method, route, response.status_code, duration_s)
    fields = {
        "request_id": g.request_id,
        "method": request.method,
        "route": route,
        "status": response.status_code,
        "took_ms": duration_ms,
        "error": g.get("error_code"),
        "tenant": g.caller.tenant if "caller" in g else None,
        "traceparent": g.traceparent,
        "caller_traceparent": g.caller_traceparent,
        **g.get("step", {}),
    }
    log.info("%s %s %d in %.1f ms", request.method, route, response.status_code, duration_ms, extra=about(**fields))
