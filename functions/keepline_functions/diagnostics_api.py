"""`GET /diagnostics/{session_id}`: all that is known of a session. `POST /reconnect/{session_id}`: have it try now."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import ADMIN, READ
from keepline_functions.answers import DiagnosisJson, SessionJson
from keepline_functions.auth import caller, needs
from keepline_functions.describing import Described, Tag
from keepline_functions.limit_headers import limit_headers
from keepline_functions.services import services
from keepline_functions.views import diagnosis_json, session_json

routes = Blueprint("diagnostics", __name__)


@routes.get("/diagnostics/<session_id>")
@needs(READ)
@Described(
    Tag.OPERATING,
    "diagnose_session",
    "All that is known of a session",
    answers={200: DiagnosisJson},
    errors=("session_not_found",),
)
def diagnostics(session_id: str) -> ResponseReturnValue:
    """With who holds its devices, its last changes of state, the limits used, and what is worth a look."""
    return jsonify(diagnosis_json(services().run(services().diagnosing.look(caller().tenant, session_id))))


@routes.post("/reconnect/<session_id>")
@needs(ADMIN)
@Described(
    Tag.OPERATING,
    "reconnect_session",
    "Have a session try to connect now",
    answers={202: SessionJson},
    errors=("session_not_found", "not_linked_yet", "cannot_reconnect", "session_being_deleted"),
    is_limited=True,
)
def reconnect(session_id: str) -> ResponseReturnValue:
    """Every linked device that is not connected tries at once. One that works is left alone."""
    charged = services().run(services().reconnect_requests.ask(caller().tenant, session_id))
    view = services().run(services().sessions.look(caller().tenant, session_id))
    return jsonify(session_json(view)), 202, limit_headers(charged)
