"""`GET /api/events`: what happens, as server-sent events; `POST /api/events/keep`, for who listens to Firestore itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import READ
from keepline.records.live_events import log_path
from keepline.usecases.live_events import Stream
from keepline_functions.answers import KeptEventsJson
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.describing import Described, Header, Tag
from keepline_functions.live_event_schemas import FollowEvents
from keepline_functions.loop import BackgroundLoop
from keepline_functions.schemas import read_query
from keepline_functions.services import CALL_TIMEOUT_S, services
from keepline_functions.views import rfc3339

# So often something is said: who listens knows that the stream lives, and we notice that nobody does.
HEARTBEAT_S = 15.0
# When a listener that was cut off comes back. Their cuts are as spread as their beginnings.
RETRY_MS = 2_000

# What a client may take for a line's end, though the specification does not. JSON writes them so as well.
_LINE_ENDS = str.maketrans({0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"})

routes = Blueprint("live_events", __name__)


@routes.get("/api/events")
@needs(READ)
@Described(
    Tag.EVENTS,
    "follow_events",
    "Hear what happens",
    query=FollowEvents,
    headers=(
        Header(
            "Last-Event-ID",
            "The last `id` that you heard; it counts more than the one in the query.",
            "evt_kw2qa7ivnbzyvw3bm72gyhx3lg",
        ),
    ),
    answers={200: {"text/event-stream": str}},
    answer_headers=(Header("X-Accel-Buffering", "Asks proxies to pass on each piece as it comes.", "no"),),
    errors=(
        *("session_not_found", "session_not_allowed", "bad_session_id", "bad_user_id", "bad_event", "events_gone"),
        *("too_many_streams", "busy"),
    ),
)
def follow() -> ResponseReturnValue:
    """Server-sent events: those of webhooks, in the same form and under the same ids, from now on or from where you were.

    Come back with the last `id` when the stream ends, which it does after 5 minutes: nothing is missed and nothing comes twice.
    An `id` may stand alone, and counts all the same. At least every 15 s something comes, if only a comment. What you missed is
    there for 3 days; after that the answer is `events_gone`.
    """
    query = read_query(FollowEvents, request)
    session_id = own_session(query.session_id) if query.session_id is not None else None
    # An EventSource repeats its address with each try, and says in the header how far it is by now.
    after = request.headers.get("Last-Event-ID") or query.last_event_id or ""
    parts = services()
    stream = parts.run(
        parts.live_events.listen(caller().tenant, session_id, caller().sessions, query.names(), after.strip())
    )
    return Response(_Body(parts.loop, stream), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


@routes.post("/api/events/keep")
@needs(READ)
@Described(
    Tag.EVENTS,
    "keep_events",
    "Have events written to Firestore",
    answers={200: KeptEventsJson},
    errors=("bad_user_id", "session_not_allowed"),
)
def keep() -> ResponseReturnValue:
    """For browsers that are signed in through Firebase and listen to Firestore itself. Not for keys of some sessions."""
    caller().require_all_sessions()
    log = services().run(services().live_events.keep(caller().tenant))
    shown: KeptEventsJson = {"collection": log_path(log.tenant), "kept_until": rfc3339(log.until)}
    return jsonify(shown)


class _Body(Iterator[bytes]):
    """The lines of a stream (HTML Living Standard, "Server-sent events"). Not a generator, whose end needs a beginning."""

    def __init__(self, loop: BackgroundLoop, stream: Stream) -> None:
        self._loop = loop
        self._stream = stream
        place = f"id: {stream.place}\n" if stream.place is not None else ""
        self._ready = [f"retry: {RETRY_MS}\n{place}\n".encode()]

    def __next__(self) -> bytes:
        if not self._ready:
            heard = self._loop.run(self._stream.next(HEARTBEAT_S), HEARTBEAT_S + CALL_TIMEOUT_S)
            if heard is None:
                raise StopIteration
            self._ready = [_lines(event) for event in heard.events]
            # An id without data tells nothing, and is come back with: what is not for this listener need not be looked at again.
            self._ready.append(
                f": alive\nid: {heard.place}\n\n".encode() if heard.place is not None else b": alive\n\n"
            )
        return self._ready.pop(0)

    def close(self) -> None:
        self._loop.run(self._stream.close(), CALL_TIMEOUT_S)


def _lines(event: dict[str, Any]) -> bytes:
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":")).translate(_LINE_ENDS)
    return f"id: {event['id']}\nevent: {event['type']}\ndata: {data}\n\n".encode()
