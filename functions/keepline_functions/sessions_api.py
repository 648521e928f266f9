"""`/api/sessions`: create, list, look, change, delete; and a session's standby device."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import ADMIN, READ
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.limit_headers import limit_headers
from keepline_functions.schemas import ChangeSession, CreateSession, read_body
from keepline_functions.services import services
from keepline_functions.views import session_json

routes = Blueprint("sessions", __name__)


@routes.post("/api/sessions/create")
@needs(ADMIN)
def create() -> ResponseReturnValue:
    body = read_body(CreateSession, request, may_be_empty=True)
    creating = services().sessions.create(caller().tenant, own_session(body.session_id), body.choices())
    created = services().run(creating)
    return jsonify(session_json(created.session)), 201, limit_headers(created.charged)


@routes.get("/api/sessions")
@needs(READ)
def of_caller() -> ResponseReturnValue:
    views = services().run(services().sessions.of_tenant(caller().tenant))
    return jsonify({"sessions": [session_json(view) for view in views if caller().may_touch(view.account.session_id)]})


@routes.get("/api/sessions/<session_id>/status")
@needs(READ)
def status(session_id: str) -> ResponseReturnValue:
    return jsonify(session_json(services().run(services().sessions.look(caller().tenant, session_id))))


@routes.patch("/api/sessions/<session_id>")
@needs(ADMIN)
def change(session_id: str) -> ResponseReturnValue:
    changes = read_body(ChangeSession, request).changes()
    services().run(services().session_settings.change(caller().tenant, session_id, changes))
    return jsonify(session_json(services().run(services().sessions.look(caller().tenant, session_id))))


@routes.delete("/api/sessions/<session_id>")
@needs(ADMIN)
def delete(session_id: str) -> ResponseReturnValue:
    services().run(services().sessions.delete(caller().tenant, session_id))
    return Response(status=204)


@routes.post("/api/sessions/<session_id>/standby")
@needs(ADMIN)
def add_standby(session_id: str) -> ResponseReturnValue:
    services().run(services().linking.add_standby(caller().tenant, session_id))
    return jsonify(session_json(services().run(services().sessions.look(caller().tenant, session_id)))), 202


@routes.delete("/api/sessions/<session_id>/standby")
@needs(ADMIN)
def remove_standby(session_id: str) -> ResponseReturnValue:
    services().run(services().linking.remove_standby(caller().tenant, session_id))
    return Response(status=204)
