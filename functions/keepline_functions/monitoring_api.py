"""`GET /api/monitoring`: what happened."""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import OPERATOR, READ
from keepline_functions.alert_answers import EventsJson
from keepline_functions.alert_schemas import ListEvents
from keepline_functions.alert_views import event_json
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.describing import Described, Tag
from keepline_functions.schemas import read_query
from keepline_functions.services import services
from keepline_functions.views import rfc3339

routes = Blueprint("monitoring", __name__)


@routes.get("/api/monitoring")
@needs(READ)
@Described(
    Tag.ALERTS,
    "list_events",
    "What happened",
    query=ListEvents,
    answers={200: EventsJson},
    errors=("session_not_allowed", "session_not_found", "bad_session_id", "bad_user_id"),
)
def events() -> ResponseReturnValue:
    """To your sessions, the newest first, in pages; events are kept for 90 days. Operators may ask for `all`."""
    asked = read_query(ListEvents, request).asked()
    if asked.everybody:
        caller().require(OPERATOR)
        caller().require_all_sessions()
    if asked.session_id is not None:
        own_session(asked.session_id)
    found, next_before = services().run(services().event_log.look(caller(), asked))
    page: EventsJson = {
        "events": [event_json(event) for event in found],
        "next_before": rfc3339(next_before) if next_before else None,
    }
    return jsonify(page)
