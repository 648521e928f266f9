"""`GET /api/limits`: what the caller may do and have, and how much of it is left."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import READ
from keepline_functions.answers import LimitsJson
from keepline_functions.auth import caller, needs
from keepline_functions.describing import Described, Tag
from keepline_functions.services import services
from keepline_functions.views import limit_json

routes = Blueprint("limits", __name__)


@routes.get("/api/limits")
@needs(READ)
@Described(Tag.OPERATING, "get_limits", "Your limits, and what is left of them", answers={200: LimitsJson})
def of_caller() -> ResponseReturnValue:
    """Asking uses none of them."""
    found = services().run(services().allowances.look(caller().tenant))
    shown: LimitsJson = {
        "limits": {one.limit.name: limit_json(one) for one in found.uses},
        "places": {
            "user_sessions": {"limit": found.sessions_max, "used": found.sessions_used},
            "installation_sessions": {"limit": found.installation_max, "used": found.installation_used},
        },
    }
    return jsonify(shown)
