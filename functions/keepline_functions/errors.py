"""Errors on the wire: one shape for all, `{"error": {"code", "message", "hint"}}`, without traces and without secrets.

An error about a limit has two more: `limit` and `used`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping

from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from keepline.domain.errors import (
    Forbidden,
    Gone,
    InvalidInput,
    KeeplineError,
    LimitReached,
    NotFound,
    StateConflict,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from keepline.ports.documents import StoreConflict, StoreUnavailable
from keepline_functions.limit_headers import limit_headers

log = logging.getLogger(__name__)

_STATUS_OF: dict[type[KeeplineError], int] = {
    InvalidInput: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    StateConflict: 409,
    Gone: 410,
    TooLarge: 413,
    TooMany: 429,
    Unavailable: 503,
}

# By status: the code, the sentence and the hint of what Flask itself finds wrong, or we before and beside it.
HTTP_ERRORS: dict[int, tuple[str, str, str]] = {
    400: ("bad_request", "The request cannot be read.", "Look at the request's syntax."),
    404: ("no_such_route", "There is nothing at this address.", "Look at the path; /docs lists the routes."),
    405: (
        "method_not_allowed",
        "This address does not take this method.",
        "Use one of the methods in the Allow header.",
    ),
    413: ("body_too_large", "The body is larger than 1 MiB.", "Send less at once."),
    415: (
        "unsupported_media_type",
        "The body is not declared as JSON.",
        "Send the header Content-Type: application/json.",
    ),
    500: (
        "internal_error",
        "Something went wrong on our side.",
        "Try again; if it stays, report the X-Request-Id of this answer.",
    ),
    503: ("not_ready", "The API cannot start.", "Its operator finds the reason in the log."),
}


def status_of(category: type[KeeplineError]) -> int:
    """The HTTP status of an error of this category."""
    return next((status for kind, status in _STATUS_OF.items() if issubclass(category, kind)), 500)


def register(app: Flask) -> None:
    """Let every error of the app leave in the one shape."""
    app.register_error_handler(KeeplineError, _of_keepline)
    app.register_error_handler(StoreUnavailable, _of_store)
    app.register_error_handler(StoreConflict, _of_store)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _of_bug)


def error_response(
    status: int,
    code: str,
    message: str,
    hint: str,
    headers: Mapping[str, str] | None = None,
    counts: Mapping[str, int] | None = None,
) -> Response:
    """An error as the caller gets it."""
    error = {"code": code, "message": message, "hint": hint, **(counts or {})}
    body = json.dumps({"error": error}, ensure_ascii=False, separators=(",", ":"))
    response = Response(body + "\n", status, headers, mimetype="application/json")
    response.headers.update(_ALWAYS)
    return response


def not_started() -> Response:
    """The answer of an API that could not be put together; its log says why."""
    return error_response(503, *HTTP_ERRORS[503], {"Retry-After": "10"})


_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _of_keepline(error: KeeplineError) -> Response:
    status = status_of(type(error))
    g.error_code = error.code
    headers = limit_headers(getattr(error, "charged", None))
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="keepline"'
    counts = {"limit": error.limit, "used": error.used} if isinstance(error, LimitReached) else None
    return error_response(status, error.code, error.message, error.hint, headers, counts)


def _of_store(error: Exception) -> Response:
    log.warning("Firestore did not do what was asked: %s", error)
    return _of_keepline(
        Unavailable(
            "store_unavailable",
            "The database did not answer. The request may or may not have been carried out.",
            "Try again in a second; a message with the same Idempotency-Key is never accepted twice.",
        )
    )


def _of_http(error: HTTPException) -> Response:
    status = error.code or 500
    name = re.sub(r"[^a-z]+", "_", error.name.lower())
    code, message, hint = HTTP_ERRORS.get(status, (name, f"{error.name}.", "Look at the request."))
    g.error_code = code
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return error_response(status, code, message, hint, headers)


def _of_bug(error: Exception) -> Response:
    log.error("a request failed in a way nobody thought of", exc_info=error)
    g.error_code = HTTP_ERRORS[500][0]
    return error_response(500, *HTTP_ERRORS[500])
