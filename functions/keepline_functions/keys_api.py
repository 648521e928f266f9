"""`/api/keys`: make an API key, list them, revoke one."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import ADMIN, SCOPES, ApiKey
from keepline_functions.answers import KeyJson, KeysJson, MadeKeyJson
from keepline_functions.auth import caller, needs
from keepline_functions.describing import Described, Tag
from keepline_functions.schemas import MakeKey, read_body
from keepline_functions.services import services
from keepline_functions.views import rfc3339

routes = Blueprint("keys", __name__)


@routes.post("/api/keys")
@needs(ADMIN)
@Described(
    Tag.KEYS,
    "make_key",
    "Make an API key",
    body=MakeKey,
    examples={"for one session": {"name": "the till", "scopes": ["read", "send"], "sessions": ["support"]}},
    answers={201: MadeKeyJson},
    errors=(
        *("session_not_allowed", "scope_not_yours", "session_not_found", "bad_session_id", "bad_user_id"),
        *("key_limit_reached", "busy"),
    ),
)
def make() -> ResponseReturnValue:
    """The only answer that ever has the key itself. Without `sessions` it is for all, those that come later too."""
    body = read_body(MakeKey, request)
    made = services().run(services().api_keys.make(caller(), body.name, body.scopes, body.sessions))
    shown: MadeKeyJson = {**_key_json(made.about), "key": made.key}
    return jsonify(shown), 201


@routes.get("/api/keys")
@needs(ADMIN)
@Described(Tag.KEYS, "list_keys", "List your API keys", answers={200: KeysJson}, errors=("session_not_allowed",))
def of_caller() -> ResponseReturnValue:
    """The oldest first, without the keys themselves."""
    found = services().run(services().api_keys.of_caller(caller()))
    shown: KeysJson = {"keys": [_key_json(key) for key in found]}
    return jsonify(shown)


@routes.delete("/api/keys/<key_id>")
@needs(ADMIN)
@Described(
    Tag.KEYS,
    "revoke_key",
    "Revoke an API key",
    answers={204: None},
    errors=("session_not_allowed", "key_not_found", "busy"),
)
def revoke(key_id: str) -> ResponseReturnValue:
    """It stops working within 5 s."""
    services().run(services().api_keys.revoke(caller(), key_id))
    return Response(status=204)


def _key_json(key: ApiKey) -> KeyJson:
    return {
        "key_id": key.id,
        "name": key.name,
        "scopes": [scope for scope in SCOPES if scope in key.scopes],
        "sessions": sorted(key.sessions) if key.sessions is not None else None,
        "created_at": rfc3339(key.created_at),
        "last_used_at": rfc3339(key.last_used_at) if key.last_used_at else None,
    }
