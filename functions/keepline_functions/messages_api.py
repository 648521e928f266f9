"""`/api/messages`: send, look at one, read backwards."""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import READ, SEND
from keepline_functions.auth import caller, needs
from keepline_functions.schemas import ListMessages, SendMessage, read_body, read_query
from keepline_functions.services import services
from keepline_functions.views import message_json, rfc3339

routes = Blueprint("messages", __name__)


@routes.post("/api/messages/send")
@needs(SEND)
def send() -> ResponseReturnValue:
    body = read_body(SendMessage, request)
    key = request.headers.get("Idempotency-Key")
    accepted = services().run(services().messages.send(caller().tenant, body.session_id, body.to, body.text, key))
    response = jsonify(message_json(accepted.message))
    if accepted.replayed:
        response.headers["Idempotent-Replay"] = "true"
    return response, 202


@routes.get("/api/messages/<message_id>")
@needs(READ)
def one(message_id: str) -> ResponseReturnValue:
    return jsonify(message_json(services().run(services().messages.get(caller().tenant, message_id))))


@routes.get("/api/messages")
@needs(READ)
def page() -> ResponseReturnValue:
    """Newest first."""
    query = read_query(ListMessages, request)
    found = services().run(
        services().messages.page(caller().tenant, query.session_id, query.chat, query.limit, query.before)
    )
    return jsonify(
        {
            "messages": [message_json(message) for message in found.messages],
            "next_before": rfc3339(found.next_before) if found.next_before else None,
        }
    )
