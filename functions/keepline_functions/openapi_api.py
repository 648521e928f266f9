"""`GET /openapi.json`: the API's description, for programs. `GET /docs`: the same for people."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from keepline_functions import docs_page, openapi
from keepline_functions.auth import PUBLIC, needs
from keepline_functions.describing import Described, Header, Tag

# It changes with a deployment only.
_CACHE_CONTROL = "public, max-age=300"
_EXTENSION = "keepline_pages"
_IF_NONE_MATCH = Header("If-None-Match", "The `ETag` of what you have: 304 when it is the same.", '"3f1c0a9be27d4c55"')
_ETAG = Header("ETag", "Names this version.", '"3f1c0a9be27d4c55"')
_POLICY = Header("Content-Security-Policy", "What the page may load.", docs_page.CONTENT_SECURITY_POLICY)

routes = Blueprint("openapi", __name__)


class Pages:
    """What these routes answer: made when it is first asked for, and kept from then on."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    @cached_property
    def document(self) -> dict[str, Any]:
        return openapi.document(self._app)

    @cached_property
    def description(self) -> bytes:
        return json.dumps(self.document, ensure_ascii=False, separators=(",", ":")).encode()

    @cached_property
    def page(self) -> bytes:
        return docs_page.render(self.document).encode()

    @cached_property
    def style(self) -> bytes:
        return docs_page.style()


@routes.record_once
def _add_pages(state: BlueprintSetupState) -> None:
    app = cast("Flask", state.app)
    app.extensions[_EXTENSION] = Pages(app)


@routes.get("/openapi.json")
@needs(PUBLIC)
@Described(
    Tag.DESCRIPTION,
    "get_description",
    "This description, for programs",
    answers={200: dict[str, Any], 304: None},
    headers=(_IF_NONE_MATCH,),
    answer_headers=(_ETAG,),
)
def description() -> ResponseReturnValue:
    """OpenAPI 3.1, made of the code that answers."""
    return _kept(_pages().description, "application/json")


@routes.get("/docs")
@needs(PUBLIC)
@Described(
    Tag.DESCRIPTION,
    "get_docs",
    "This description, for people",
    answers={200: {"text/html": str}, 304: None},
    headers=(_IF_NONE_MATCH,),
    answer_headers=(_ETAG, _POLICY),
)
def docs() -> ResponseReturnValue:
    """A page without JavaScript, which asks nobody else for anything."""
    answer = _kept(_pages().page, "text/html")
    answer.headers[_POLICY.name] = docs_page.CONTENT_SECURITY_POLICY
    return answer


@routes.get("/docs/style.css")
@needs(PUBLIC)
@Described(
    Tag.DESCRIPTION,
    "get_docs_style",
    "The style sheet of the page",
    answers={200: {"text/css": str}, 304: None},
    headers=(_IF_NONE_MATCH,),
    answer_headers=(_ETAG,),
)
def style() -> ResponseReturnValue:
    return _kept(_pages().style, "text/css")


def _pages() -> Pages:
    """Those of the app that answers the present request."""
    found: Pages = current_app.extensions[_EXTENSION]
    return found


def _kept(content: bytes, media: str) -> Response:
    """An answer that is the same until the next deployment, and is not sent to whoever has it."""
    response = Response(content, mimetype=media)
    response.headers["Cache-Control"] = _CACHE_CONTROL
    response.add_etag()
    response.make_conditional(request)
    return response
