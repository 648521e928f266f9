"""The console's ways to what Firebase is not: the Firestore emulator and the simulator, through the console's own address.

So the console's policy needs no address of this machine. Nothing is opened that was closed: both listen on this machine without
any password. What the console may read of Firestore, the rules say, by a token that the browser's library makes and only the
emulator takes.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Where Firestore's library for browsers listens. It reads in no other way, and the console writes nothing.
FIRESTORE_LISTEN = "/google.firestore.v1.Firestore/Listen/"
SIMULATOR = "/simulator/"

# Above the minute for which the library holds a listening request open.
READ_TIMEOUT_S = 120.0
CHUNK_BYTES_MAX = 64 * 1024

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "host"})


def passing_on(host: str, *, without: str = "") -> WSGIApplication:
    """What passes requests on to `host` (name:port), each by its own path less the beginning `without`."""

    def pass_on(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return _answer(Request(environ), host, without)(environ, start_response)

    return pass_on


def _answer(request: Request, host: str, without: str) -> Response:
    connection = http.client.HTTPConnection(host, timeout=READ_TIMEOUT_S)
    target = quote(request.path.removeprefix(without), safe="/:@+")  # as WSGI gives it, it is decoded
    if request.query_string:
        target += "?" + request.query_string.decode("latin-1")
    try:
        connection.request(request.method, target, request.get_data(), _end_to_end(request.headers.items()))
        answer = connection.getresponse()
    except OSError:
        connection.close()
        return Response("what this leads to does not answer\n", 502)
    response = Response(_chunks(answer), answer.status, list(_end_to_end(answer.getheaders()).items()))
    response.call_on_close(connection.close)
    return response


def _end_to_end(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _HOP_BY_HOP}


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """What came, as soon as it has come."""
    try:
        while chunk := answer.read1(CHUNK_BYTES_MAX):
            yield chunk
    except (OSError, http.client.HTTPException):
        return  # It broke off; the reader notices, and asks anew.
