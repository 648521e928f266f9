"""`POST /api/sessions/{session_id}/pairing-code`: a code to type into the phone, in place of a QR code to scan."""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import ADMIN
from keepline_functions.auth import caller, needs
from keepline_functions.limit_headers import limit_headers
from keepline_functions.schemas import AskForCode, read_body
from keepline_functions.services import services

routes = Blueprint("pairing_code", __name__)


@routes.post("/api/sessions/<session_id>/pairing-code")
@needs(ADMIN)
def ask(session_id: str) -> ResponseReturnValue:
    body = read_body(AskForCode, request)
    found = services().run(services().pairing_codes.get(caller().tenant, session_id, body.phone, body.slot))
    answer = jsonify(
        {
            "code": found.code,
            "phone": found.phone,
            "slot": body.slot,
            "expires_in_s": round(found.expires_in_s, 3),
        }
    )
    answer.headers.update(limit_headers(found.charged))
    return answer
