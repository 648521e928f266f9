"""`GET /health`: whether this process answers and Firestore does. For everybody, so it is cheap and says little."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from keepline.domain.errors import Unavailable
from keepline_functions.auth import PUBLIC, needs
from keepline_functions.services import services

routes = Blueprint("health", __name__)


@routes.get("/health")
@needs(PUBLIC)
def health() -> ResponseReturnValue:
    if not services().store_health.answers():
        raise Unavailable("store_unavailable", "Firestore does not answer.", "Try again in a second.")
    return jsonify({"status": "ok", "store": "ok"})
