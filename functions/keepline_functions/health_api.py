"""`GET /health`: whether this process answers and Firestore does. For everybody, so it is cheap and says little.

With `?detailed=true`, for callers with the scope `read`, also how the connectors and the caller's sessions are; and
`GET /health/{session_id}` of one session, for whoever watches it from outside.
"""

from __future__ import annotations

from collections import Counter

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.domain.errors import Unavailable
from keepline.domain.session import SessionState
from keepline.records.api_keys import READ
from keepline_functions.answers import HealthJson, SessionHealthJson
from keepline_functions.auth import PUBLIC, caller, let_in, needs
from keepline_functions.describing import Described, Tag
from keepline_functions.schemas import Query, read_query
from keepline_functions.services import services
from keepline_functions.views import proof_json, queue_json, reason_json

routes = Blueprint("health", __name__)


class HealthQuery(Query):
    """Query of `GET /health`."""

    detailed: bool = False
    """Also how the connectors and your sessions are; for callers with the scope `read`."""


@routes.get("/health")
@needs(PUBLIC)
@Described(
    Tag.OPERATING,
    "get_health",
    "Whether the API and Firestore answer",
    query=HealthQuery,
    answers={200: HealthJson},
    errors=("bad_user_id",),
    optional_scope=READ,
)
def health() -> ResponseReturnValue:
    """Needs no key, except to be `detailed`."""
    detailed = read_query(HealthQuery, request).detailed
    if detailed:
        let_in(READ)
    if not services().store_health.answers():
        raise Unavailable("store_unavailable", "Firestore does not answer.", "Try again in a second.")
    shown: HealthJson = {"status": "ok", "store": "ok"}
    if detailed:
        _add_details(shown)
    return jsonify(shown)


def _add_details(shown: HealthJson) -> None:
    connectors = services().run(services().fleet.look()).connectors
    sessions = services().run(services().sessions.of_tenant(caller().tenant))
    states = Counter(view.status.state.value for view in sessions if caller().may_touch(view.account.session_id))
    shown["connectors"] = {
        "alive": sum(not one.silent and not one.stopped for one in connectors),
        "silent": sum(one.silent for one in connectors),
        "stopped": sum(one.stopped for one in connectors),
    }
    shown["sessions"] = {state.value: states[state.value] for state in SessionState}


@routes.get("/health/<session_id>")
@needs(READ)
@Described(
    Tag.OPERATING,
    "get_session_health",
    "Whether a session can send and hear",
    answers={200: SessionHealthJson},
    errors=("session_not_found", "session_unhealthy"),
)
def of_session(session_id: str) -> ResponseReturnValue:
    """200 while the session can send and hear, badly perhaps; else 503, with the reason in the error."""
    view = services().run(services().sessions.look(caller().tenant, session_id))
    poor = view.status.code == "poor_connection"
    if view.status.state is not SessionState.CONNECTED and not poor:
        reason = view.status.reason
        raise Unavailable("session_unhealthy", f"{view.status.state.value}: {reason.sentence}", reason.next_step)
    shown: SessionHealthJson = {
        "status": "degraded" if poor else "ok",
        "session_id": view.account.session_id,
        "state": view.status.state,
        "reason": reason_json(view.status.reason),
        "evidence": proof_json(view.proof),
        "queue": queue_json(view),
    }
    return jsonify(shown)
