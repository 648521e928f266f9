"""`/api/contacts`: who is on WhatsApp, and what they show of themselves."""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import READ
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.group_schemas import CheckNumbers, OfSession
from keepline_functions.group_views import checked_json, contact_json
from keepline_functions.limit_headers import limit_headers
from keepline_functions.schemas import read_body, read_query
from keepline_functions.services import services

routes = Blueprint("contacts", __name__)


@routes.post("/api/contacts/check")
@needs(READ)
def check() -> ResponseReturnValue:
    body = read_body(CheckNumbers, request)
    checking = services().contacts.check(caller().tenant, own_session(body.session_id), body.numbers)
    checked = services().run(checking)
    told = zip(body.numbers, checked.contacts, strict=True)
    response = jsonify({"contacts": [checked_json(asked, contact) for asked, contact in told]})
    response.headers.update(limit_headers(checked.charged))
    return response


@routes.get("/api/contacts/<contact>")
@needs(READ)
def one(contact: str) -> ResponseReturnValue:
    query = read_query(OfSession, request)
    seeing = services().contacts.see(caller().tenant, own_session(query.session_id), contact)
    found, charged = services().run(seeing)
    response = jsonify(contact_json(found))
    response.headers.update(limit_headers(charged))
    return response
