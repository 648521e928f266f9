"""The API's description (OpenAPI 3.1), made of the code: its routes, what is said beside them, the shapes, the error codes.

Nothing of it is written twice. `described(app)` makes it once per process, when it is first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from keepline.domain.errors import LimitReached
from keepline_functions.auth import METRICS, PUBLIC, scope_of
from keepline_functions.describing import Described, Header, Tag, description_of
from keepline_functions.error_codes import ERROR_CODES, KnownError
from keepline_functions.openapi_schemas import REFERENCE, Schemas

VERSION = "0.1.0"
_DOCUMENT = "keepline_openapi"

_JSON = "application/json"

INTRODUCTION = """
An always-on WhatsApp gateway. Link a number once; then send and receive through this API. What it has accepted with 202 is kept
until it has ended well or badly, whatever is killed on the way.

Send `X-Api-Key: kl_…`, or `Authorization: Bearer …` with an API key or a Firebase ID token. A key has the scopes `read`, `send`
or `admin`; each route says which it needs. You see and move only what is yours: everything else is not found.

Times are RFC 3339 in UTC. A body is at most 1 MiB, declared as JSON; fields and parameters that are not known are refused. An
error has one shape, with a stable `code`, a sentence in `message` and the next step in `hint`; a refused request has changed
nothing.
""".strip()

TAGS: dict[Tag, str] = {
    Tag.SESSIONS: "A session is one WhatsApp number's connection.",
    Tag.LINKING: "A phone links a session by a QR code to scan or a code to type; and a second device, the standby.",
    Tag.MESSAGES: "Send, and see what became of it; read both directions.",
    Tag.MEDIA: "Files of messages: taken in, kept for a while, given out by signed links.",
    Tag.CHATS: "What is done at once by the session's device, or not at all.",
    Tag.GROUPS: "What is asked and changed is asked of WhatsApp at that moment; a change is made once.",
    Tag.CONTACTS: "Who is on WhatsApp, and what they show of themselves.",
    Tag.WEBHOOKS: "Keepline calls an address of yours when something happens, signed after Standard Webhooks.",
    Tag.ALERTS: "What happened, what needs somebody, and who is told of it.",
    Tag.EVENTS: "What webhooks are told, as it happens, on a connection that your program keeps open.",
    Tag.KEYS: "Keys for programs, with scopes, for all sessions or some.",
    Tag.REPORTS: "What each day was like: uptime, messages, delays, limits, costs.",
    Tag.OPERATING: "How the API, a session, or the installation is. All of this reads the database and asks WhatsApp nothing.",
    Tag.UPTIME: "What is watched, for operators: Keepline's own parts and what they add, with what is on record of each.",
    Tag.DESCRIPTION: "This description.",
}


@dataclass(frozen=True)
class PathParameter:
    """A part of an address. `pattern` is the form that it has; what has another is not found or refused."""

    description: str
    example: str
    pattern: str | None = None


PATH_PARAMETERS: dict[str, PathParameter] = {
    "session_id": PathParameter("The session's id.", "support", r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"),
    "user_id": PathParameter("Your own user id, or `me`.", "me"),
    "message_id": PathParameter(
        "`m_…` for what was sent through the API, `i_…` for what WhatsApp brought.", "m_6temzapiw5q236squ7ntrghjom"
    ),
    "chat": PathParameter(
        "A phone number with its country code, or `…@s.whatsapp.net`, `…@lid` or `…@g.us`.",
        "14155550123@s.whatsapp.net",
    ),
    "group": PathParameter("The group's `chat`.", "120363000000000000@g.us"),
    "contact": PathParameter("A phone number with its country code, or an address.", "14155550123"),
    "media_id": PathParameter("The file's id.", "f_6temzapiw5q236squ7ntrghjom"),
    "webhook_id": PathParameter("The webhook's id.", "wk4q2m3zt6b7r5xoe"),
    "day": PathParameter("A day.", "2026-02-28", r"^\d{4}-\d{2}-\d{2}$"),
    "alert_id": PathParameter("The alert's id.", "session_banned_kw2qa7ivnbzyvw3bm72gyhx3lg_1"),
    "channel_id": PathParameter("The channel's id.", "chk4q2m3zt6b7r5xoe"),
    "key_id": PathParameter("The key's id.", "3f1c0a9be27d4c55"),
    "target_id": PathParameter("The target's id.", "connector_connector-1"),
    "connector": PathParameter("The connector's name.", "connector-2"),
}

# What any request can be answered with, and what those can that need a credential, name a session, or have a body or a query.
_ALWAYS = ("internal_error", "store_unavailable", "timed_out", "not_ready")
_OF_CALLERS = ("unauthenticated", "bad_api_key", "bad_token", "bad_app_check", "missing_scope", "auth_unavailable")
_OF_SESSIONS = ("session_not_allowed", "bad_session_id", "bad_user_id")
_OF_METRICS = ("bad_metrics_token", "no_such_route")
_OF_FIELDS = ("missing_field", "unknown_field", "bad_field")
_OF_BODIES = ("bad_request", "bad_json", *_OF_FIELDS, "body_too_large", "unsupported_media_type")

_LIMIT_HEADERS = (
    Header(
        "RateLimit-Policy",
        "The limit: `q` uses in `w` seconds in the long run, `burst` at once.",
        '"messages";q=60;w=60;burst=30',
    ),
    Header("RateLimit", "What is left: `r` uses now, all of the burst in `t` seconds.", '"messages";r=20;t=10'),
    Header("X-RateLimit-Limit", "For older clients: the burst.", "30"),
    Header("X-RateLimit-Remaining", "For older clients: what is left.", "20"),
    Header("X-RateLimit-Reset", "For older clients: when the burst is whole again, in seconds from now.", "10"),
)
_REQUEST_ID = Header("X-Request-Id", "Names the request in the logs.", "4f0c3a6a5f7b4d0fb6a1f3f7c9f1a2b3")
_RETRY_AFTER = Header("Retry-After", "When the same request may succeed, in seconds.", "1")
_AUTHENTICATE = Header("WWW-Authenticate", "How to say who you are.", 'Bearer realm="keepline"')
_HEADERS = (*_LIMIT_HEADERS, _REQUEST_ID, _RETRY_AFTER, _AUTHENTICATE)


def document(app: Flask) -> dict[str, Any]:
    """The description of this app, made anew."""
    routes = list(_routes(app))
    schemas = Schemas(_bodies(routes), _answers(routes))
    paths: dict[str, dict[str, Any]] = {}
    for rule, view, said in routes:
        for method in sorted(rule.methods or ()):
            if method not in ("HEAD", "OPTIONS"):
                operation = _operation(rule, view, said, schemas)
                paths.setdefault(_path(rule), {})[method.lower()] = operation
    named = _named_in(paths, schemas.components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Keepline",
            "version": VERSION,
            "summary": "An always-on WhatsApp gateway.",
            "description": INTRODUCTION,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag.value, "description": words} for tag, words in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR_SCHEMA} | {name: schemas.components[name] for name in sorted(named)},
            "examples": {code: _error_example(known) for code, known in sorted(ERROR_CODES.items())},
            "headers": {header.name: _header(header) for header in _HEADERS},
            "securitySchemes": _SECURITY,
        },
    }


def _named_in(part: Any, components: Mapping[str, Any]) -> set[str]:
    """The shapes that a part of the description refers to, and those that they refer to."""
    named: set[str] = set()
    waiting = [part]
    while waiting:
        found = {ref for ref in re.findall(rf"'{REFERENCE}(\w+)'", repr(waiting.pop())) if ref in components}
        waiting.extend(components[name] for name in found - named)
        named |= found
    return named


def _routes(app: Flask) -> Iterator[tuple[Rule, Callable[..., Any], Described]]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        said = description_of(view)
        if said is not None:
            yield rule, view, said


def _bodies(routes: list[tuple[Rule, Callable[..., Any], Described]]) -> list[Any]:
    queries = [said.query for _, _, said in routes if said.query is not None]
    return [*queries, *(shape for _, _, said in routes for shape in _content(said.body).values() if shape is not bytes)]


def _answers(routes: list[tuple[Rule, Callable[..., Any], Described]]) -> list[Any]:
    return [
        shape
        for _, _, said in routes
        for answer in said.answers.values()
        for shape in _content(answer).values()
        if shape is not bytes
    ]


def _content(body: Any) -> Mapping[str, Any]:
    """The shapes of a body by their media types."""
    if body is None:
        return {}
    return body if isinstance(body, Mapping) else {_JSON: body}


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


def _operation(rule: Rule, view: Callable[..., Any], said: Described, schemas: Schemas) -> dict[str, Any]:
    scope = scope_of(view)
    operation: dict[str, Any] = {
        "operationId": said.operation_id,
        "tags": [said.tag.value],
        "summary": said.summary,
        "security": _security(scope, said),
        "responses": _responses(said, schemas) | _refusals(_codes(rule, scope, said), said),
    }
    if view.__doc__:
        operation["description"] = "\n\n".join(
            " ".join(paragraph.split()) for paragraph in view.__doc__.strip().split("\n\n")
        )
    parameters = [*_path_parameters(rule), *_query_parameters(said, schemas), *map(_header_parameter, said.headers)]
    if parameters:
        operation["parameters"] = parameters
    if said.body is not None:
        content = {
            media: {} if shape is bytes else {"schema": schemas.of(shape)}
            for media, shape in _content(said.body).items()
        }
        if said.examples:
            content[_JSON]["examples"] = {name: {"value": value} for name, value in said.examples.items()}
        operation["requestBody"] = {"required": not said.body_may_be_empty, "content": content}
    return operation


def _path_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    # In the order of the address.
    for name in re.findall(r"<(?:\w+:)?(\w+)>", rule.rule):
        known = PATH_PARAMETERS[name]
        schema = {"type": "string", "minLength": 1} | ({"pattern": known.pattern} if known.pattern else {})
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": known.description,
            "schema": schema,
            "example": known.example,
        }


def _query_parameters(said: Described, schemas: Schemas) -> Iterator[dict[str, Any]]:
    if said.query is None:
        return
    reference = schemas.of(said.query)["$ref"].rpartition("/")[2]
    model = schemas.components[reference]
    for name, field in model["properties"].items():
        schema = {key: value for key, value in field.items() if key not in ("description", "examples")}
        options = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]
        schema |= options[0] if options else {}  # A query has no null: what is not there is left out.
        parameter = {"name": name, "in": "query", "required": name in model.get("required", ()), "schema": schema}
        if "description" in field:
            parameter["description"] = field["description"]
        if "examples" in field:
            parameter["example"] = field["examples"][0]
        yield parameter


def _header_parameter(header: Header) -> dict[str, Any]:
    return {
        "name": header.name,
        "in": "header",
        "required": False,
        "description": header.description,
        "schema": {"type": "string"},
        "example": header.example,
    }


def _responses(said: Described, schemas: Schemas) -> dict[str, Any]:
    headers = _references((*(_LIMIT_HEADERS if said.is_limited else ()), _REQUEST_ID))
    headers |= {header.name: _header(header) for header in said.answer_headers}
    found: dict[str, Any] = {}
    for status, answer in said.answers.items():
        found[str(status)] = {"description": HTTPStatus(status).phrase, "headers": headers}
        content = {media: _media(shape, schemas) for media, shape in _content(answer).items()}
        if content:
            found[str(status)]["content"] = content
    return found


def _media(shape: Any, schemas: Schemas) -> dict[str, Any]:
    if shape is bytes:
        return {}  # As OpenAPI 3.1 has what is no text.
    schema = schemas.of(shape)
    return {"schema": schema} if shape is str else {"schema": schema, "example": schemas.example(schema)}


def _codes(rule: Rule, scope: str, said: Described) -> set[str]:
    codes = {*_ALWAYS, *said.errors}
    if scope == METRICS:
        codes.update(_OF_METRICS)
    elif scope != PUBLIC or said.optional_scope:
        codes.update(_OF_CALLERS)
    if "session_id" in rule.arguments:
        codes.update(_OF_SESSIONS)
    if said.query is not None:
        codes.update(_OF_FIELDS)
    if said.body is not None:
        codes.update(_OF_BODIES)
    if said.is_limited:
        codes.update(("rate_limited", "busy"))
    return codes


def _refusals(codes: set[str], said: Described) -> dict[str, Any]:
    """The errors with these codes, by their status."""
    found: dict[str, Any] = {}
    for status in sorted({ERROR_CODES[code].status for code in codes}):
        of_status = sorted(code for code in codes if ERROR_CODES[code].status == status)
        headers = [_REQUEST_ID]
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append(_AUTHENTICATE)
        if status in (HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            headers.append(_RETRY_AFTER)
        if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.CONFLICT and said.is_limited):
            headers.extend(_LIMIT_HEADERS)
        found[str(status)] = {
            "description": ", ".join(f"`{code}`" for code in of_status),
            "headers": _references(headers),
            "content": {
                _JSON: {
                    "schema": {
                        "$ref": "#/components/schemas/Error",
                        "properties": {"error": {"properties": {"code": {"enum": of_status}}}},
                    },
                    "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in of_status},
                }
            },
        }
    return found


def _security(scope: str, said: Described) -> list[dict[str, list[str]]]:
    if scope == METRICS:
        return [{"MetricsToken": []}]
    needed: list[dict[str, list[str]]] = []
    if scope == PUBLIC and not said.optional_scope:
        return needed
    asked = said.optional_scope or scope
    needed = [{"ApiKey": [asked]}, {"Bearer": [asked]}]
    return [{}, *needed] if scope == PUBLIC else needed


def _references(headers: Any) -> dict[str, Any]:
    return {header.name: {"$ref": f"#/components/headers/{header.name}"} for header in headers}


def _header(header: Header) -> dict[str, Any]:
    return {"description": header.description, "schema": {"type": "string"}, "example": header.example}


def _error_example(known: KnownError) -> dict[str, Any]:
    words: dict[str, Any] = dict(known.words._asdict())
    if known.category is LimitReached:
        words |= {"limit": 5, "used": 5}
    return {"summary": known.words.message, "value": {"error": words}}


_ERROR_SCHEMA = {
    "description": "Why a request was refused, in the one shape that all errors have.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": {
                "code": {"type": "string", "description": "Stable, for programs."},
                "message": {"type": "string", "description": "What is wrong, for people."},
                "hint": {"type": "string", "description": "What to do next."},
                "limit": {"type": "integer", "description": "Of what has a number of places: how many there are."},
                "used": {"type": "integer", "description": "Of what has a number of places: how many are taken."},
            },
        }
    },
}

_SECURITY = {
    "ApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Api-Key",
        "description": "An API key (`kl_…`). `POST /api/keys` makes one.",
    },
    "Bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or the Firebase ID token of a signed-in user, who has all scopes. Where the operator demands"
        " App Check, a token also needs the header `X-Firebase-AppCheck`.",
    },
    "MetricsToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The operator's token of the installation's metrics.",
    },
}
