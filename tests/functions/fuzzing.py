"""The API's description as schemathesis takes it, and the world that its requests meet: with ids that are really there."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import schemathesis
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks
from schemathesis.specs.openapi.schemas import OpenApiSchema

from .seeded import EXAMPLE_IDS, SESSION, Seeded

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# Left out: `positive_data_acceptance`, because whose number it is, whether a time has passed and what a message may refer to is
# no matter of shapes; `use_after_free` and `ensure_resource_availability`, which follow one request by another (each one here
# stands alone); `unsupported_method`, because GET of /api/messages/send is that of a message called `send`; `max_response_time`,
# because how long an answer takes is measured elsewhere.
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.negative_data_rejection,
    openapi_checks.missing_required_header,
    openapi_checks.ignored_auth,
]

_MESSAGES = [one for one in EXAMPLE_IDS if one.startswith(("m_", "i_"))]
# What a field of this name should hold, so that requests that fit the description find something.
_USEFUL = {
    "session_id": [SESSION, "nobody"],
    "user_id": ["me"],
    "message_id": [*_MESSAGES, "m_aaaaaaaaaaaaaaaaaaaaaaaaaa"],
    "message": _MESSAGES,
    "quote": _MESSAGES,
    "chat": ["14155550123@s.whatsapp.net", "120363000000000000@g.us"],
    "group": ["120363000000000000@g.us", "120363000000000009@g.us"],
    "contact": ["14155550123", "14155550199"],
    "members": ["+1 415 555 0199", "14155550123"],
    **{name: ["14155550199", "14155550123"] for name in ("add", "promote", "demote", "remove", "numbers")},
    "last_event_id": ["", "evt_kw2qa7ivnbzyvw3bm72gyhx3lg", "evt_aaaaaaaaaaaaaaaaaaaaaaaaaa"],
    "to": ["14155550123", "120363000000000000@g.us"],
    "webhook_id": ["wk4q2m3zt6b7r5xoe", "waaaaaaaaaaaaaaaa"],
    "key_id": ["3f1c0a9be27d4c55", "0000000000000000"],
}


class Target:
    """The app that requests go to: that of the present world, whose ids stand in for those of the examples."""

    seeded: Seeded

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        for example, real in self.seeded.ids.items():
            path, query = path.replace(example, real), query.replace(example, real)
            body = body.replace(example.encode(), real.encode())
        changed = {
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
        }
        return self.seeded.world.process.app({**environ, **changed}, start_response)


def narrowed(document: dict[str, Any], target: Target, *, thorough: bool) -> OpenApiSchema:
    """The description with useful values in place of any text, asked of this target.

    `thorough`: also with every value at a bound of its shape, which makes thousands of requests.
    """
    useful = copy.deepcopy(document)
    for methods in useful["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                _narrow(parameter["name"], parameter["schema"])
    for schema in useful["components"]["schemas"].values():
        if schema.get("additionalProperties") is False:  # a body's
            for name, field in schema["properties"].items():
                _narrow(name, field)
    loaded = schemathesis.openapi.from_dict(useful)
    loaded.config.phases.coverage.enabled = thorough
    loaded.app = target
    return loaded


def _narrow(name: str, schema: dict[str, Any]) -> None:
    parts = (schema, schema.get("items", {}), *schema.get("anyOf", ()))
    of_text = [one for one in parts if one.get("type") == "string" and "enum" not in one]
    for one in of_text if name in _USEFUL else ():
        one.pop("pattern", None)
        one["enum"] = _USEFUL[name]
