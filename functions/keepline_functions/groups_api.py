"""`/api/groups`: list, make, look at, change and leave them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.domain.addresses import parse_group
from keepline.records.api_keys import READ, SEND
from keepline.usecases.groups import GroupAnswer
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.group_schemas import ChangeGroupMembers, InSession, MakeGroup, OfSession, RenameAGroup
from keepline_functions.group_views import changes_json, group_json, group_list_json, refused_json
from keepline_functions.limit_headers import limit_headers
from keepline_functions.schemas import read_body, read_query
from keepline_functions.services import services

routes = Blueprint("groups", __name__)


@routes.get("/api/groups")
@needs(READ)
def listed() -> ResponseReturnValue:
    query = read_query(OfSession, request)
    found = _run(services().groups.listed(caller().tenant, own_session(query.session_id)))
    return _answer(found, group_list_json(found.result))


@routes.post("/api/groups")
@needs(SEND)
def create() -> ResponseReturnValue:
    body = read_body(MakeGroup, request)
    made = _run(
        services().groups.create(
            caller().tenant, own_session(body.session_id), body.subject, body.members, _idempotency_key()
        )
    )
    return _answer(made, {**group_json(made.result), "refused": refused_json(made.result["refused"])}), 201


@routes.get("/api/groups/<group>")
@needs(READ)
def one(group: str) -> ResponseReturnValue:
    query = read_query(OfSession, request)
    found = _run(services().groups.see(caller().tenant, own_session(query.session_id), group))
    return _answer(found, group_json(found.result))


@routes.patch("/api/groups/<group>")
@needs(SEND)
def rename(group: str) -> ResponseReturnValue:
    body = read_body(RenameAGroup, request)
    session = own_session(body.session_id)
    done = _run(services().groups.rename(caller().tenant, session, group, body.subject, _idempotency_key()))
    return _answer(done, {"chat": parse_group(group), "subject": body.subject})


@routes.post("/api/groups/<group>/members")
@needs(SEND)
def change_members(group: str) -> ResponseReturnValue:
    body = read_body(ChangeGroupMembers, request)
    session = own_session(body.session_id)
    done = _run(services().groups.change_members(caller().tenant, session, group, body.changes(), _idempotency_key()))
    changed, refused = changes_json(done.result["changed"]), refused_json(done.result["refused"])
    return _answer(done, {"changed": changed, "refused": refused})


@routes.get("/api/groups/<group>/invite")
@needs(READ)
def invite(group: str) -> ResponseReturnValue:
    query = read_query(OfSession, request)
    found = _run(services().groups.invite(caller().tenant, own_session(query.session_id), group))
    return _answer(found, {"link": found.result["link"]})


@routes.post("/api/groups/<group>/invite/reset")
@needs(SEND)
def reset_invite(group: str) -> ResponseReturnValue:
    body = read_body(InSession, request)
    session = own_session(body.session_id)
    done = _run(services().groups.reset_invite(caller().tenant, session, group, _idempotency_key()))
    return _answer(done, {"link": done.result["link"]})


@routes.post("/api/groups/<group>/leave")
@needs(SEND)
def leave(group: str) -> ResponseReturnValue:
    body = read_body(InSession, request)
    session = own_session(body.session_id)
    done = _run(services().groups.leave(caller().tenant, session, group, _idempotency_key()))
    return _answer(done, {}), 204


def _run(doing: Coroutine[Any, Any, GroupAnswer]) -> GroupAnswer:
    return services().run(doing)


def _idempotency_key() -> str | None:
    return request.headers.get("Idempotency-Key")


def _answer(answer: GroupAnswer, body: dict[str, Any]) -> Response:
    response = jsonify(body) if body else Response()
    response.headers.update(limit_headers(answer.charged))
    if answer.replayed:
        response.headers["Idempotent-Replay"] = "true"
    return response
