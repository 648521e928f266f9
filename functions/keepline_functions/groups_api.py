"""`/api/groups`: list, make, look at, change and leave them."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.domain.addresses import parse_group
from keepline.records.api_keys import READ, SEND
from keepline.usecases.groups import GroupAnswer
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.chats_api import AT_ONCE_ERRORS
from keepline_functions.describing import Described, Header, Tag
from keepline_functions.group_answers import (
    ChangedMembersJson,
    GroupJson,
    GroupsJson,
    InviteJson,
    MadeGroupJson,
    RenamedGroupJson,
)
from keepline_functions.group_schemas import ChangeGroupMembers, InSession, MakeGroup, OfSession, RenameAGroup
from keepline_functions.group_views import changed_members_json, group_json, group_list_json, made_group_json
from keepline_functions.limit_headers import limit_headers
from keepline_functions.schemas import read_body, read_query
from keepline_functions.services import services

routes = Blueprint("groups", __name__)

_QUESTION_ERRORS = (*AT_ONCE_ERRORS, "group_forbidden", "group_not_found", "group_refused", "group_full")
_CHANGE_ERRORS = (*_QUESTION_ERRORS, "outcome_unknown", "bad_idempotency_key", "idempotency_mismatch")
_IDEMPOTENCY_KEY = Header(
    "Idempotency-Key",
    "1 to 255 printable characters of your own. A repeat with the same key within a day gets what came of the first request.",
    "walks-1",
)
_REPLAY = Header("Idempotent-Replay", "`true`: an earlier request with this key had it done.", "true")


@routes.get("/api/groups")
@needs(READ)
@Described(
    Tag.GROUPS,
    "list_groups",
    "List the groups of a number",
    query=OfSession,
    answers={200: GroupsJson},
    errors=_QUESTION_ERRORS,
    is_limited=True,
)
def listed() -> ResponseReturnValue:
    """Those that the number is in, as WhatsApp lists them at that moment."""
    query = read_query(OfSession, request)
    found = _run(services().groups.listed(caller().tenant, own_session(query.session_id)))
    return _answer(found, group_list_json(found.result))


@routes.post("/api/groups")
@needs(SEND)
@Described(
    Tag.GROUPS,
    "create_group",
    "Make a group",
    body=MakeGroup,
    examples={"a group": {"session_id": "support", "subject": "Walks", "members": ["+1 415 555 0123"]}},
    headers=(_IDEMPOTENCY_KEY,),
    answers={201: MadeGroupJson},
    answer_headers=(_REPLAY,),
    errors=(*_CHANGE_ERRORS, "bad_subject", "bad_number"),
    is_limited=True,
)
def create() -> ResponseReturnValue:
    """With 1 to 100 members. WhatsApp does not add everybody: the answer says who is refused, and why.

    Like every change of a group it is made once, and it is never tried again by itself. `outcome_unknown` leaves open whether it
    was made.
    """
    body = read_body(MakeGroup, request)
    made = _run(
        services().groups.create(
            caller().tenant, own_session(body.session_id), body.subject, body.members, _idempotency_key()
        )
    )
    return _answer(made, made_group_json(made.result)), 201


@routes.get("/api/groups/<group>")
@needs(READ)
@Described(
    Tag.GROUPS,
    "get_group",
    "Look at a group",
    query=OfSession,
    answers={200: GroupJson},
    errors=(*_QUESTION_ERRORS, "bad_group"),
    is_limited=True,
)
def one(group: str) -> ResponseReturnValue:
    """Its name, how it is set, and its members."""
    query = read_query(OfSession, request)
    found = _run(services().groups.see(caller().tenant, own_session(query.session_id), group))
    return _answer(found, group_json(found.result))


@routes.patch("/api/groups/<group>")
@needs(SEND)
@Described(
    Tag.GROUPS,
    "rename_group",
    "Rename a group",
    body=RenameAGroup,
    examples={"a name": {"session_id": "support", "subject": "Longer walks"}},
    headers=(_IDEMPOTENCY_KEY,),
    answers={200: RenamedGroupJson},
    answer_headers=(_REPLAY,),
    errors=(*_CHANGE_ERRORS, "bad_group", "bad_subject"),
    is_limited=True,
)
def rename(group: str) -> ResponseReturnValue:
    """In a group that is `locked`, only those who run it can."""
    body = read_body(RenameAGroup, request)
    session = own_session(body.session_id)
    done = _run(services().groups.rename(caller().tenant, session, group, body.subject, _idempotency_key()))
    shown: RenamedGroupJson = {"chat": parse_group(group), "subject": body.subject}
    return _answer(done, shown)


@routes.post("/api/groups/<group>/members")
@needs(SEND)
@Described(
    Tag.GROUPS,
    "change_group_members",
    "Change the members of a group",
    body=ChangeGroupMembers,
    examples={"some": {"session_id": "support", "add": ["+1 415 555 0199"], "promote": ["14155550123"]}},
    headers=(_IDEMPOTENCY_KEY,),
    answers={200: ChangedMembersJson},
    answer_headers=(_REPLAY,),
    errors=(*_CHANGE_ERRORS, "bad_group", "bad_number", "no_members"),
    is_limited=True,
)
def change_members(group: str) -> ResponseReturnValue:
    """Adds, promotes, demotes and removes people, in this order, up to 100 for each.

    Each of the four is a question of its own to WhatsApp, and the answer says of each person what came of it. An error of the
    whole request says that nothing was changed, unless it is `outcome_unknown`.
    """
    body = read_body(ChangeGroupMembers, request)
    session = own_session(body.session_id)
    done = _run(services().groups.change_members(caller().tenant, session, group, body.changes(), _idempotency_key()))
    return _answer(done, changed_members_json(done.result))


@routes.get("/api/groups/<group>/invite")
@needs(READ)
@Described(
    Tag.GROUPS,
    "get_group_invite",
    "See the invite link of a group",
    query=OfSession,
    answers={200: InviteJson},
    errors=(*_QUESTION_ERRORS, "bad_group"),
    is_limited=True,
)
def invite(group: str) -> ResponseReturnValue:
    """For those who run the group."""
    query = read_query(OfSession, request)
    found = _run(services().groups.invite(caller().tenant, own_session(query.session_id), group))
    return _answer(found, _invite_json(found))


@routes.post("/api/groups/<group>/invite/reset")
@needs(SEND)
@Described(
    Tag.GROUPS,
    "reset_group_invite",
    "Make a new invite link",
    body=InSession,
    examples={"a new link": {"session_id": "support"}},
    headers=(_IDEMPOTENCY_KEY,),
    answers={200: InviteJson},
    answer_headers=(_REPLAY,),
    errors=(*_CHANGE_ERRORS, "bad_group"),
    is_limited=True,
)
def reset_invite(group: str) -> ResponseReturnValue:
    """The link before leads nowhere from then on. For those who run the group."""
    body = read_body(InSession, request)
    session = own_session(body.session_id)
    done = _run(services().groups.reset_invite(caller().tenant, session, group, _idempotency_key()))
    return _answer(done, _invite_json(done))


@routes.post("/api/groups/<group>/leave")
@needs(SEND)
@Described(
    Tag.GROUPS,
    "leave_group",
    "Leave a group",
    body=InSession,
    examples={"leave": {"session_id": "support"}},
    headers=(_IDEMPOTENCY_KEY,),
    answers={204: None},
    answer_headers=(_REPLAY,),
    errors=(*_CHANGE_ERRORS, "bad_group"),
    is_limited=True,
)
def leave(group: str) -> ResponseReturnValue:
    """The number is not in the group any more."""
    body = read_body(InSession, request)
    session = own_session(body.session_id)
    done = _run(services().groups.leave(caller().tenant, session, group, _idempotency_key()))
    return _answer(done, {}), 204


def _run(doing: Coroutine[Any, Any, GroupAnswer]) -> GroupAnswer:
    return services().run(doing)


def _idempotency_key() -> str | None:
    return request.headers.get("Idempotency-Key")


def _invite_json(answer: GroupAnswer) -> InviteJson:
    return {"link": answer.result["link"]}


def _answer(answer: GroupAnswer, body: Mapping[str, object]) -> Response:
    response = jsonify(body) if body else Response()
    response.headers.update(limit_headers(answer.charged))
    if answer.replayed:
        response.headers["Idempotent-Replay"] = "true"
    return response
