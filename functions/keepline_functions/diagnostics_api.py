"""`GET /diagnostics/{session_id}`: all that is known of a session. `POST /reconnect/{session_id}`: have it try now."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import ADMIN, READ
from keepline_functions.auth import caller, needs
from keepline_functions.limit_headers import limit_headers
from keepline_functions.services import services
from keepline_functions.views import diagnosis_json, session_json

routes = Blueprint("diagnostics", __name__)


@routes.get("/diagnostics/<session_id>")
@needs(READ)
def diagnostics(session_id: str) -> ResponseReturnValue:
    return jsonify(diagnosis_json(services().run(services().diagnosing.look(caller().tenant, session_id))))


@routes.post("/reconnect/<session_id>")
@needs(ADMIN)
def reconnect(session_id: str) -> ResponseReturnValue:
    charged = services().run(services().reconnect_requests.ask(caller().tenant, session_id))
    view = services().run(services().sessions.look(caller().tenant, session_id))
    return jsonify(session_json(view)), 202, limit_headers(charged)
