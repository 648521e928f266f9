"""One port for all functions that events set off: `POST /NAME` is a request to that function's app."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Dispatch:
    """`GET /` answers 200 as soon as the host serves."""

    def __init__(self, functions: Mapping[str, WSGIApplication]) -> None:
        self._functions = functions

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        name = environ["PATH_INFO"].strip("/")
        if not name:
            return Response("serving\n")(environ, start_response)
        function = self._functions.get(name)
        if function is None:
            return Response("no such function\n", 404)(environ, start_response)
        return function(environ | {"SCRIPT_NAME": f"/{name}", "PATH_INFO": "/"}, start_response)
