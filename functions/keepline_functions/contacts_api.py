"""`/api/contacts`: who is on WhatsApp, and what they show of themselves."""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import READ
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.chats_api import AT_ONCE_ERRORS
from keepline_functions.describing import Described, Tag
from keepline_functions.group_answers import CheckedContactsJson, ContactJson
from keepline_functions.group_schemas import CheckNumbers, OfSession
from keepline_functions.group_views import checked_json, contact_json
from keepline_functions.limit_headers import limit_headers
from keepline_functions.schemas import read_body, read_query
from keepline_functions.services import services

routes = Blueprint("contacts", __name__)


_ERRORS = (*AT_ONCE_ERRORS, "bad_number")


@routes.post("/api/contacts/check")
@needs(READ)
@Described(
    Tag.CONTACTS,
    "check_contacts",
    "See who is on WhatsApp",
    body=CheckNumbers,
    examples={"a number": {"session_id": "support", "numbers": ["+1 415 555 0123"]}},
    answers={200: CheckedContactsJson},
    errors=_ERRORS,
    is_limited=True,
)
def check() -> ResponseReturnValue:
    """Up to 50 people. WhatsApp bans numbers that ask for many, so each one counts; an answer holds for a day and is free."""
    body = read_body(CheckNumbers, request)
    checking = services().contacts.check(caller().tenant, own_session(body.session_id), body.numbers)
    checked = services().run(checking)
    told = zip(body.numbers, checked.contacts, strict=True)
    shown: CheckedContactsJson = {"contacts": [checked_json(asked, contact) for asked, contact in told]}
    response = jsonify(shown)
    response.headers.update(limit_headers(checked.charged))
    return response


@routes.get("/api/contacts/<contact>")
@needs(READ)
@Described(
    Tag.CONTACTS,
    "get_contact",
    "Look at a contact",
    query=OfSession,
    answers={200: ContactJson},
    errors=_ERRORS,
    is_limited=True,
)
def one(contact: str) -> ResponseReturnValue:
    """Their picture and what they say about themselves, asked of WhatsApp at that moment."""
    query = read_query(OfSession, request)
    seeing = services().contacts.see(caller().tenant, own_session(query.session_id), contact)
    found, charged = services().run(seeing)
    response = jsonify(contact_json(found))
    response.headers.update(limit_headers(charged))
    return response
