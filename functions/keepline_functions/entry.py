"""From functions-framework's calls to ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from cloudevents.http import CloudEvent
from flask import Request, Response
from werkzeug.test import run_wsgi_app

from keepline.domain.events import Severity, state_severity
from keepline.usecases.monitoring import record_message_turn, record_state_change
from keepline_functions.assembling import Process
from keepline_functions.bootstrap import bootstrap
from keepline_functions.errors import not_started
from keepline_functions.events import MalformedEvent, due_lane, message_turn, state_change, written_document

# A round that takes longer than this is left to the next one.
MINUTE_ROUND_TIMEOUT_S = 50.0
WAKING_TIMEOUT_S = 8.0
FEEDING_TIMEOUT_S = 50.0
# Channels have 20 s each and are told a few at a time; what is left is told a minute later.
ALERT_ROUND_TIMEOUT_S = 50.0
# Shorter than what Cloud Run functions grant by themselves (60 s); a lane that is left is taken up again.
DELIVERING_TIMEOUT_S = 58.0
# A round of removals that is given up goes on where it was.
MEDIA_ROUND_TIMEOUT_S = 50.0
# The function has 540 s (infra/functions.json); what is not made by then is made in the next hour.
REPORTS_TIMEOUT_S = 500.0
# A run's minute, its turn's wait before it, and what reacts to a verdict after it (keepline.usecases.uptime).
UPTIME_RUN_TIMEOUT_S = 178.0
_DRAIN_CHUNK_BYTES = 64 * 1024

T = TypeVar("T")

log = logging.getLogger(__name__)


class _PassedOn(Response):
    """An answer of our app on its way through the framework's: its headers are complete, nothing is added."""

    default_mimetype = None


def http(request: Request) -> Response:
    """Answer through our own Flask app. A body that is made bit by bit also leaves bit by bit."""
    try:
        app = bootstrap().app
    except Exception:  # Whatever it is, the log gets it; the framework would send its words to the caller.
        log.critical("the API cannot start", exc_info=True)
        return not_started()
    # Both apps read the body through one stream, so that neither waits for bytes that the other has taken.
    environ = {**request.environ, "wsgi.input": request.stream}
    body, status, headers = run_wsgi_app(app, environ)
    _drain(request)
    return _PassedOn(body, status, headers)


def account_written(event: CloudEvent) -> None:
    """Put a change of state on record. Store trouble raises, so that the event comes again."""
    process = bootstrap()
    change = _readable(state_change, event)
    if change is not None:
        process.services.run(record_state_change(process.services.store, change))
        process.services.run(process.feeder.session_changed(change), FEEDING_TIMEOUT_S)
        if state_severity(change.state) is Severity.CRITICAL:
            process.services.run(process.alert_round.hurry(), ALERT_ROUND_TIMEOUT_S)


def outbox_written(event: CloudEvent) -> None:
    """Put on record what a message of the API has come to, and tell webhooks. Fails as `account_written` does."""
    process = bootstrap()
    turn = _readable(message_turn, event)
    if turn is not None:
        process.services.run(record_message_turn(process.services.store, turn))
    message_written(event)


def message_written(event: CloudEvent) -> None:
    """Give the events of a written message their places in front of the webhooks. Fails as `account_written` does."""
    process = bootstrap()
    written = _readable(written_document, event)
    if written is not None:
        process.services.run(process.feeder.message_changed(written.tenant, written.path), FEEDING_TIMEOUT_S)


def notice_written(event: CloudEvent) -> None:
    """Give the event of a notice its places in front of the webhooks. Fails as `account_written` does."""
    process = bootstrap()
    written = _readable(written_document, event)
    if written is not None:
        process.services.run(process.feeder.notice_recorded(written.tenant, written.path), FEEDING_TIMEOUT_S)


def webhook_due(event: CloudEvent) -> None:
    """Deliver what a lane has waiting. A message that comes twice, or late, finds nothing to do."""
    process = bootstrap()
    due = _readable(due_lane, event)
    if due is not None:
        process.services.run(process.deliverer.deliver(due.webhook, due.lane), DELIVERING_TIMEOUT_S)


def minute(event: CloudEvent) -> None:
    """The round looks at what is there now, so it makes no difference which minute's event this is."""
    process = bootstrap()
    try:
        process.services.run(process.deliverer.wake_due(), WAKING_TIMEOUT_S)
    finally:
        process.services.run(process.minute_round.make(), MINUTE_ROUND_TIMEOUT_S)
    # After the round, which notices silent connectors.
    process.services.run(process.alert_round.make(), ALERT_ROUND_TIMEOUT_S)
    if process.media_round is not None:
        process.services.run(process.media_round.make(), MEDIA_ROUND_TIMEOUT_S)


def report_hour(event: CloudEvent) -> None:
    """The round looks at which days are over, so it makes no difference which hour's event this is."""
    process = bootstrap()
    process.services.run(process.reporting.make(), REPORTS_TIMEOUT_S)


def uptime_minute(event: CloudEvent) -> None:
    """Look after what is watched for a minute. Which minute's event this is makes no difference: one run is enough."""
    process = bootstrap()
    process.services.run(_watch(process), UPTIME_RUN_TIMEOUT_S)


async def _watch(process: Process) -> None:
    # Beside each other: a recovery that was left takes as long as it takes, and the checks tell when it is over.
    await asyncio.gather(process.uptime_monitor.watch(), process.recoverer.take_up())


def _readable(read: Callable[[CloudEvent], T | None], event: CloudEvent) -> T | None:
    """What an event says. A malformed one is logged and done with: it would be as malformed the next time."""
    try:
        return read(event)
    except MalformedEvent as error:
        log.error("an event cannot be read and is dropped: %s", error)
        return None


def _drain(request: Request) -> None:
    """Read what is left of a refused body, piece by piece: a server that closes on unread bytes can lose the answer."""
    while request.stream.read(_DRAIN_CHUNK_BYTES):
        pass
