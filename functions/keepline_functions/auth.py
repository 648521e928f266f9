"""Who asks, from a request's headers; and what each route demands of them. No route is open unless it says so."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, g, request
from werkzeug.exceptions import NotFound as NoSuchPage

from keepline.domain.errors import Unauthenticated
from keepline.records.api_keys import PREFIX
from keepline.usecases.access import Caller
from keepline_functions.services import services

PUBLIC = "public"
METRICS = "metrics"  # who knows the installation's metrics token
_MARK = "keepline_scope"

_View = TypeVar("_View", bound=Callable[..., Any])
_SessionId = TypeVar("_SessionId", str, str | None)


def needs(scope: str) -> Callable[[_View], _View]:
    """Mark a view with the scope that its callers need, PUBLIC or METRICS."""

    def mark(view: _View) -> _View:
        setattr(view, _MARK, scope)
        return view

    return mark


def scope_of(view: Callable[..., Any]) -> str:
    """The scope that a view is marked with."""
    scope: str = getattr(view, _MARK)
    return scope


def register(app: Flask) -> None:
    """Look at every caller before any view runs. All views must be there and marked by now."""
    for rule in app.url_map.iter_rules():
        if not hasattr(app.view_functions[rule.endpoint], _MARK):
            raise AssertionError(f"the route {rule.rule} does not say whom it lets in")
    app.before_request(_let_in)


def caller() -> Caller:
    """Whoever made the present request."""
    found: Caller = g.caller
    return found


def own_session(session_id: _SessionId) -> _SessionId:
    """A session id that the caller gave, if the caller's key is for it. Raises Forbidden (`session_not_allowed`)."""
    caller().require_session(session_id)
    return session_id


def _let_in() -> None:
    if request.endpoint is None:
        return  # No such route or method: the answer is the same for everybody.
    scope = scope_of(current_app.view_functions[request.endpoint])
    if scope == METRICS:
        _require_metrics_token()
    elif scope != PUBLIC:
        let_in(scope)


def let_in(scope: str) -> None:
    """Find out who asks, and whether they have this scope. Raises Unauthenticated and Forbidden."""
    g.caller = _identify()
    g.caller.require(scope)
    # Whichever route names a session in its address; what a body or query names, its view looks at.
    if request.view_args is not None and "session_id" in request.view_args:
        own_session(request.view_args["session_id"])


def _require_metrics_token() -> None:
    token = services().metrics_token
    if token is None:
        raise NoSuchPage  # As if there were no such page.
    _, _, given = request.headers.get("Authorization", "").partition(" ")
    if not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Unauthenticated(
            "bad_metrics_token",
            "This page is for the operator's monitoring.",
            "Send Authorization: Bearer with the value of KEEPLINE_METRICS_TOKEN.",
        )


def _identify() -> Caller:
    access, run = services().access, services().run
    key = request.headers.get("X-Api-Key")
    if key is not None:
        return run(access.by_api_key(key.strip()))
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential:
        raise Unauthenticated(
            "unauthenticated",
            "This needs an API key or a sign-in token.",
            "Send the header X-Api-Key, or Authorization: Bearer with an API key or a Firebase ID token.",
        )
    if credential.startswith(PREFIX):
        return run(access.by_api_key(credential))
    return run(access.by_token(credential, request.headers.get("X-Firebase-AppCheck", "").strip()))
