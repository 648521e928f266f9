"""`/api/keys`: make an API key, list them, revoke one."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import ADMIN, SCOPES, ApiKey
from keepline_functions.auth import caller, needs
from keepline_functions.schemas import MakeKey, read_body
from keepline_functions.services import services
from keepline_functions.views import rfc3339

routes = Blueprint("keys", __name__)


@routes.post("/api/keys")
@needs(ADMIN)
def make() -> ResponseReturnValue:
    """The only answer that ever has the key itself."""
    body = read_body(MakeKey, request)
    made = services().run(services().api_keys.make(caller(), body.name, body.scopes, body.sessions))
    return jsonify(_key_json(made.about) | {"key": made.key}), 201


@routes.get("/api/keys")
@needs(ADMIN)
def of_caller() -> ResponseReturnValue:
    found = services().run(services().api_keys.of_caller(caller()))
    return jsonify({"keys": [_key_json(key) for key in found]})


@routes.delete("/api/keys/<key_id>")
@needs(ADMIN)
def revoke(key_id: str) -> ResponseReturnValue:
    services().run(services().api_keys.revoke(caller(), key_id))
    return Response(status=204)


def _key_json(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.id,
        "name": key.name,
        "scopes": [scope for scope in SCOPES if scope in key.scopes],
        "sessions": sorted(key.sessions) if key.sessions is not None else None,
        "created_at": rfc3339(key.created_at),
        "last_used_at": rfc3339(key.last_used_at) if key.last_used_at else None,
    }
