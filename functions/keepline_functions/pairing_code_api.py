"""`POST /api/sessions/{session_id}/pairing-code`: a code to type into the phone, in place of a QR code to scan."""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import ADMIN
from keepline_functions.answers import PairingCodeJson
from keepline_functions.auth import caller, needs
from keepline_functions.describing import Described, Tag
from keepline_functions.limit_headers import limit_headers
from keepline_functions.schemas import AskForCode, read_body
from keepline_functions.services import services

routes = Blueprint("pairing_code", __name__)


@routes.post("/api/sessions/<session_id>/pairing-code")
@needs(ADMIN)
@Described(
    Tag.LINKING,
    "get_pairing_code",
    "Ask for a code to type into the phone",
    body=AskForCode,
    examples={"the session's number": {"phone": "+14155550100"}},
    answers={200: PairingCodeJson},
    errors=(
        *("session_not_found", "standby_not_found", "bad_number", "another_number", "already_linked", "number_refused"),
        *("pairing_code_not_ready", "pairing_code_not_available", "pairing_rate_limited", "busy"),
    ),
    is_limited=True,
)
def ask(session_id: str) -> ResponseReturnValue:
    """In place of a QR code: WhatsApp, Linked devices, Link a device, Link with phone number instead.

    Asking again gives the same code while it is good. If none comes in time, ask again after `Retry-After`.
    """
    body = read_body(AskForCode, request)
    found = services().run(services().pairing_codes.get(caller().tenant, session_id, body.phone, body.slot))
    shown: PairingCodeJson = {
        "code": found.code,
        "phone": found.phone,
        "slot": body.slot,
        "expires_in_s": round(found.expires_in_s, 3),
    }
    answer = jsonify(shown)
    answer.headers.update(limit_headers(found.charged))
    return answer
