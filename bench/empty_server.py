"""An HTTP server like the functions host's that answers everybody with nothing: the yardstick of api_load.py.

`python bench/empty_server.py PORT`
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import waitress

from keepline_local.functions_host.__main__ import API_THREADS, CONNECTIONS_MAX
from keepline_local.ports import LOOPBACK

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def nothing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]


if __name__ == "__main__":
    waitress.serve(
        nothing,
        host=LOOPBACK,
        port=int(sys.argv[1]),
        threads=API_THREADS,
        connection_limit=CONNECTIONS_MAX,
        asyncore_use_poll=True,
    )
