"""`python -m keepline_local.functions_host`: serve every function of the table, and the console."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import waitress
from werkzeug.wrappers import Response

from keepline_local.errors import LocalError
from keepline_local.functions_host import apps
from keepline_local.functions_host.dispatch import Dispatch
from keepline_local.functions_host.hosting import Hosting
from keepline_local.functions_host.passing_on import FIRESTORE_LISTEN, SIMULATOR, passing_on
from keepline_local.functions_table import HttpTrigger, load
from keepline_local.paths import repository
from keepline_local.ports import LOOPBACK

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

API_THREADS = 80  # as in the cloud: a listener to live events holds one
EVENT_THREADS = 32
CONSOLE_THREADS = 64  # a page of the console that listens to Firestore holds one
CONNECTIONS_MAX = 2_000  # more than the largest load of `make bench-api`: whoever comes after these is not even refused
REQUEST_BYTES_MAX = 32 * 1024 * 1024  # what Cloud Run takes in an HTTP/1 request

_log = logging.getLogger("keepline_local.functions_host")


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a full thread pool is ordinary with streams
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        _serve(options)
    except LocalError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stop.wait()
    return 0


def _serve(options: argparse.Namespace) -> None:
    functions = load(options.table)
    built = {function.name: apps.build(options.source, function.entry_point) for function in functions}
    http = {f.name: built[f.name] for f in functions if isinstance(f.trigger, HttpTrigger)}
    if "api" in http:
        _listen(http["api"], options.api_port, API_THREADS)
    if options.console_port:
        _listen(Hosting(repository(), http, _own(options)), options.console_port, CONSOLE_THREADS)
    # Last, because it is what tells that the host serves.
    _listen(
        Dispatch({name: app for name, app in built.items() if name not in http}), options.events_port, EVENT_THREADS
    )
    _log.info("serving %s", ", ".join(built))


def _own(options: argparse.Namespace) -> dict[str, WSGIApplication]:
    """What the console finds here and not in the cloud."""
    emulator = os.environ.get("FIRESTORE_EMULATOR_HOST")
    if emulator is None:
        return {}
    console = {"sign_in": "key", "project": os.environ["KEEPLINE_PROJECT"], "user_id": options.user}
    own: dict[str, WSGIApplication] = {FIRESTORE_LISTEN: passing_on(emulator)}
    if options.simulator:
        console["simulator"] = SIMULATOR.rstrip("/")
        own[SIMULATOR] = passing_on(options.simulator, without=SIMULATOR.rstrip("/"))
    said = json.dumps(console)
    return own | {"/console.json": Response(said, mimetype="application/json", headers={"Cache-Control": "no-store"})}


def _listen(app: WSGIApplication, port: int, threads: int) -> None:
    """Serve in a thread that ends with the process. Bound here, so that a taken port is an error at the start."""
    server = waitress.create_server(
        app,
        host=LOOPBACK,
        port=port,
        threads=threads,
        connection_limit=CONNECTIONS_MAX,
        max_request_body_size=REQUEST_BYTES_MAX,
        # Lets a streaming answer notice that its reader has gone, so that it does not hold its thread.
        channel_request_lookahead=1,
        asyncore_use_poll=True,
        ident=None,
    )
    threading.Thread(target=server.run, name=f"port-{port}", daemon=True).start()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m keepline_local.functions_host", description=__doc__)
    parser.add_argument("--api-port", type=int, required=True, help="the function `api` at /")
    parser.add_argument("--events-port", type=int, required=True, help="the other functions, each at /NAME")
    parser.add_argument("--console-port", type=int, default=0, help="0 for no console")
    parser.add_argument("--user", default="local", help="whose API key the console is given")
    parser.add_argument("--simulator", default="", help="the simulator's control API as host:port, in the demo")
    parser.add_argument("--table", type=Path, default=None, help="default: infra/functions.json")
    parser.add_argument("--source", type=Path, default=repository() / "functions" / "main.py")
    return parser.parse_args()


if __name__ == "__main__":
    # Threads may be inside a function or a stream, which in the cloud would end with the container just so; an event that is
    # cut off is delivered again.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
