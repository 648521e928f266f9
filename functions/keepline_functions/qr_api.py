"""`GET /api/qr/{user_id}/{session_id}`: the code to scan, as an image, as JSON, as text or as terminal art."""

from __future__ import annotations

from typing import Literal

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.domain.errors import NotFound
from keepline.records.api_keys import ADMIN
from keepline.usecases.linking import PairingOffer
from keepline_functions import qr_images
from keepline_functions.answers import QrCodeJson
from keepline_functions.auth import caller, needs
from keepline_functions.describing import Described, Tag
from keepline_functions.schemas import Query, read_query
from keepline_functions.services import services
from keepline_functions.views import rfc3339

routes = Blueprint("qr", __name__)

Format = Literal["png", "json", "text", "ascii"]
_BY_TYPE: dict[str, Format] = {"image/png": "png", "application/json": "json", "text/plain": "text"}


class QrQuery(Query):
    """Query of `GET /api/qr/{user_id}/{session_id}`."""

    format: Format | None = None
    """Goes before the Accept header. `ascii` is half-block characters, for light text on a dark ground."""
    slot: Literal["a", "b"] = "a"
    """The device that is to be linked: `a` the first, `b` the standby."""


@routes.get("/api/qr/<user_id>/<session_id>")
@needs(ADMIN)
@Described(
    Tag.LINKING,
    "get_qr_code",
    "Get the QR code to scan",
    query=QrQuery,
    answers={200: {"image/png": bytes, "application/json": QrCodeJson, "text/plain": str}},
    errors=(*("session_not_found", "standby_not_found", "already_linked", "qr_not_ready", "qr_not_available"),),
    is_limited=True,
)
def code(user_id: str, session_id: str) -> ResponseReturnValue:
    """The code of this moment: an image, or by `Accept` or `format` as data, as text, or as a picture in a terminal.

    WhatsApp replaces a code about every 20 s. While there is none, ask again after `Retry-After`.
    """
    query = read_query(QrQuery, request)
    tenant = caller().tenant
    if user_id not in (tenant, "me"):
        raise NotFound("session_not_found", "There is no such session.", "Use your own user id, or 'me'.")
    offer = services().run(services().linking.pairing_offer(tenant, session_id, query.slot))
    return _answer(offer, query.format or _accepted())


def _accepted() -> Format:
    """The first of our types that the Accept header likes best; PNG when it likes none or all the same."""
    best = request.accept_mimetypes.best_match(list(_BY_TYPE), default="image/png")
    return _BY_TYPE[best]


def _answer(offer: PairingOffer, form: Format) -> Response:
    match form:
        case "png":
            return Response(qr_images.png(offer.qr), mimetype="image/png")
        case "ascii":
            return Response(qr_images.half_blocks(offer.qr), mimetype="text/plain")
        case "text":
            return Response(offer.qr + "\n", mimetype="text/plain")
        case "json":
            shown: QrCodeJson = {
                "qr": offer.qr,
                "offered_at": rfc3339(offer.offered_at),
                "expires_in_s": round(offer.expires_in_s, 3),
            }
            return jsonify(shown)
