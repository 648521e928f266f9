"""`/api/sessions`: create, list, look, change, delete; and a session's standby device."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import ADMIN, READ
from keepline_functions.answers import SessionJson, SessionsJson
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.describing import Described, Tag
from keepline_functions.limit_headers import limit_headers
from keepline_functions.schemas import ChangeSession, CreateSession, read_body
from keepline_functions.services import services
from keepline_functions.views import session_json

routes = Blueprint("sessions", __name__)

PROXY_ERRORS = ("bad_proxy", "proxy_not_allowed", "no_sealing_key", "key_unavailable")


@routes.post("/api/sessions/create")
@needs(ADMIN)
@Described(
    Tag.SESSIONS,
    "create_session",
    "Create a session",
    body=CreateSession,
    body_may_be_empty=True,
    examples={
        "a name alone": {"session_id": "support"},
        "none": {},
        "choices": {"pacing": "careful", "on_doubt": "hold"},
    },
    answers={201: SessionJson},
    errors=(
        *("bad_session_id", "bad_user_id", "session_not_allowed", "session_exists", "session_being_deleted"),
        *("session_limit_reached", "installation_full", *PROXY_ERRORS),
    ),
    is_limited=True,
)
def create() -> ResponseReturnValue:
    """All fields can be left out, and so can the body. It can be linked at once, by a QR code or a pairing code."""
    body = read_body(CreateSession, request, may_be_empty=True)
    creating = services().sessions.create(caller().tenant, own_session(body.session_id), body.choices())
    created = services().run(creating)
    return jsonify(session_json(created.session)), 201, limit_headers(created.charged)


@routes.get("/api/sessions")
@needs(READ)
@Described(
    Tag.SESSIONS,
    "list_sessions",
    "List your sessions",
    answers={200: SessionsJson},
    errors=("bad_user_id",),
)
def of_caller() -> ResponseReturnValue:
    """All that a user can have, the oldest first. A key that is for some sessions sees those."""
    views = services().run(services().sessions.of_tenant(caller().tenant))
    return jsonify({"sessions": [session_json(view) for view in views if caller().may_touch(view.account.session_id)]})


@routes.get("/api/sessions/<session_id>/status")
@needs(READ)
@Described(
    Tag.SESSIONS,
    "get_session",
    "Look at a session",
    answers={200: SessionJson},
    errors=("session_not_found",),
)
def status(session_id: str) -> ResponseReturnValue:
    """Its state with the reason and the next step, the newest proof of life, its devices and its queue.

    The state is `connected` only with evidence that is a few seconds old at most.
    """
    return jsonify(session_json(services().run(services().sessions.look(caller().tenant, session_id))))


@routes.patch("/api/sessions/<session_id>")
@needs(ADMIN)
@Described(
    Tag.SESSIONS,
    "change_session",
    "Change a session",
    body=ChangeSession,
    examples={"presence": {"presence": "available"}, "back to the default": {"pacing": None}},
    answers={200: SessionJson},
    errors=("session_not_found", "session_being_deleted", "busy", *PROXY_ERRORS),
)
def change(session_id: str) -> ResponseReturnValue:
    """What is not named stays, what is null goes back to its default.

    A running connector follows within a second or so, with both devices, and nothing is restarted.
    """
    changes = read_body(ChangeSession, request).changes()
    services().run(services().session_settings.change(caller().tenant, session_id, changes))
    return jsonify(session_json(services().run(services().sessions.look(caller().tenant, session_id))))


@routes.delete("/api/sessions/<session_id>")
@needs(ADMIN)
@Described(
    Tag.SESSIONS,
    "delete_session",
    "Delete a session",
    answers={204: None},
    errors=("session_not_found", "busy"),
)
def delete(session_id: str) -> ResponseReturnValue:
    """Gone for its user at once. Its devices are unlinked, what waits is cancelled, and its chats are removed."""
    services().run(services().sessions.delete(caller().tenant, session_id))
    return Response(status=204)


@routes.post("/api/sessions/<session_id>/standby")
@needs(ADMIN)
@Described(
    Tag.LINKING,
    "add_standby",
    "Make the standby",
    answers={202: SessionJson},
    errors=("session_not_found", "not_linked_yet", "standby_being_removed", "busy"),
)
def add_standby(session_id: str) -> ResponseReturnValue:
    """Makes the second device without waiting for the offer; link it with the same phone. Asking again changes nothing."""
    services().run(services().linking.add_standby(caller().tenant, session_id))
    return jsonify(session_json(services().run(services().sessions.look(caller().tenant, session_id)))), 202


@routes.delete("/api/sessions/<session_id>/standby")
@needs(ADMIN)
@Described(
    Tag.LINKING,
    "remove_standby",
    "Remove the standby",
    answers={204: None},
    errors=("session_not_found", "standby_not_found", "busy"),
)
def remove_standby(session_id: str) -> ResponseReturnValue:
    """Unlinks the second device, or declines its offer. None is offered any more. The first device is not touched."""
    services().run(services().linking.remove_standby(caller().tenant, session_id))
    return Response(status=204)
