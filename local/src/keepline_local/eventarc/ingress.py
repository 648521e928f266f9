"""Where the emulators send their events: a WSGI app that takes each one over and answers at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from werkzeug.wrappers import Request, Response

from keepline_local.eventarc.delivery import Lane
from keepline_local.eventarc.events import UnreadableEventError, from_firestore_emulator, from_pubsub_push

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# A Firestore event carries a document twice (old and new, 1 MiB each) as base64; a Pub/Sub message has 10 MiB at most.
EVENT_BYTES_MAX = 16 * 1024 * 1024


class Ingress:
    """`POST /functions/projects/P/triggers/NAME` for Firestore, `POST /push/NAME` for Pub/Sub."""

    def __init__(self, project: str, lanes: Mapping[str, Lane], topics: Mapping[str, str]) -> None:
        self._project = project
        self._lanes = lanes
        self._topics = topics

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = EVENT_BYTES_MAX
        return self._answer(request)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        match [request.method, *request.path.strip("/").split("/")]:
            case ["POST", "functions", "projects", self._project, "triggers", name] if name in self._lanes:
                return self._take(name, request)
            case ["POST", "push", name] if name in self._lanes and name in self._topics:
                return self._take(name, request)
            case _:
                return Response("no such function\n", 404)

    def _take(self, name: str, request: Request) -> Response:
        try:
            if name in self._topics:
                event = from_pubsub_push(name, self._project, self._topics[name], request.get_data())
            else:
                event = from_firestore_emulator(name, request.headers.items(), request.get_data())
        except UnreadableEventError as error:
            return Response(f"{error}\n", 400)
        if not self._lanes[name].accept(event):
            return Response("the queue is full\n", 503)
        return Response(status=200)
