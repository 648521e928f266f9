"""`/api/messages`: send, look at one, read backwards, cancel, replay; and `/api/dead-letters`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.adapters.url_fetching import FETCH_LIMIT_S
from keepline.domain.content.bodies import Content
from keepline.domain.content.files import Media
from keepline.records.api_keys import READ, SEND
from keepline.usecases.message_lists import Page
from keepline.usecases.message_views import MessageView
from keepline.usecases.messages import message_not_found
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.limit_headers import limit_headers
from keepline_functions.media_api import check_named
from keepline_functions.schemas import ListDeadLetters, ListMessages, read_query
from keepline_functions.send_schemas import read_message
from keepline_functions.services import CALL_TIMEOUT_S, services
from keepline_functions.views import message_json, rfc3339

routes = Blueprint("messages", __name__)


@routes.post("/api/messages/send")
@needs(SEND)
def send() -> ResponseReturnValue:
    body = read_message(request)
    key = request.headers.get("Idempotency-Key")
    session_id, content = own_session(body.session_id), body.content()
    _check_file(content)
    sending = services().messages.send(caller().tenant, session_id, body.recipient(), content, key, body.options())
    # A file that is named by its address is fetched first.
    accepted = services().run(sending, CALL_TIMEOUT_S + FETCH_LIMIT_S)
    response = jsonify(message_json(accepted.message))
    response.headers.update(limit_headers(accepted.charged))
    if accepted.replayed:
        response.headers["Idempotent-Replay"] = "true"
    return response, 202


@routes.get("/api/messages/<message_id>")
@needs(READ)
def one(message_id: str) -> ResponseReturnValue:
    return jsonify(message_json(_own(message_id)))


@routes.post("/api/messages/<message_id>/cancel")
@needs(SEND)
def cancel(message_id: str) -> ResponseReturnValue:
    _check(message_id)
    return jsonify(message_json(services().run(services().messages.cancel(caller().tenant, message_id))))


@routes.post("/api/messages/<message_id>/replay")
@needs(SEND)
def replay(message_id: str) -> ResponseReturnValue:
    _check(message_id)
    return jsonify(message_json(services().run(services().messages.replay(caller().tenant, message_id)))), 202


@routes.get("/api/messages")
@needs(READ)
def page() -> ResponseReturnValue:
    """Newest first."""
    query = read_query(ListMessages, request)
    lists = services().message_lists
    found = services().run(
        lists.page(caller().tenant, own_session(query.session_id), query.chat, query.limit, query.before)
    )
    return jsonify({"messages": _shown(found), "next_before": _next(found)})


@routes.get("/api/dead-letters")
@needs(READ)
def dead_letters() -> ResponseReturnValue:
    """Newest first."""
    query = read_query(ListDeadLetters, request)
    lists = services().message_lists
    found = services().run(
        lists.dead_letters(caller().tenant, own_session(query.session_id), query.limit, query.before)
    )
    return jsonify({"dead_letters": _shown(found), "next_before": _next(found)})


def _own(message_id: str) -> MessageView:
    """A message, if the caller's key is for its session: else there is none. Raises NotFound (`message_not_found`)."""
    view = services().run(services().messages.get(caller().tenant, message_id))
    if not caller().may_touch(view.session_id):
        raise message_not_found()
    return view


def _check(message_id: str) -> None:
    """Before something is done to a message. A message never changes its session."""
    if caller().sessions is not None:
        _own(message_id)


def _check_file(content: Content) -> None:
    """The file that a message names by its id, if it does. Raises NotFound (`media_not_found`)."""
    if isinstance(content.body, Media) and content.body.file.media_id is not None:
        check_named(content.body.file.media_id)


def _shown(page: Page) -> list[dict[str, Any]]:
    return [message_json(message) for message in page.messages]


def _next(page: Page) -> str | None:
    return rfc3339(page.next_before) if page.next_before else None
