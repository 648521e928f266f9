"""The steps of a message's way through the connector, in the log: claimed, handed over, settled. See keepline/log_lines.py.

A line takes some 20 microseconds of a message's milliseconds (bench/log_costs.py). With tracing, each is a span as well.
"""

from __future__ import annotations

import logging

from keepline.domain.link_events import SendOutcome
from keepline.domain.message import MessageState
from keepline.domain.send_queue import Outgoing, Plan
from keepline.log_lines import about_message

log = logging.getLogger(__name__)


def committed(session_id: str, plan: Plan, took_s: float) -> None:
    """A commit is durable: what it settled, and what it claimed."""
    if not log.isEnabledFor(logging.INFO):
        return
    took_ms = round(took_s * 1000, 1)
    for row in plan.write:
        if row.state is MessageState.QUEUED:
            continue  # It waits for its next try.
        fields = {"state": row.state.value, "error_code": row.error_code, "attempts": row.attempts, "took_ms": took_ms}
        log.info(
            "%s is %s",
            *(row.message_id, row.state.value),
            extra=about_message(row.message_id, session_id, row.origin, "settle", **fields),
        )
    for row in plan.claim:
        log.info(
            "%s is claimed",
            row.message_id,
            extra=about_message(
                row.message_id, session_id, row.origin, "claim", attempts=row.attempts, took_ms=took_ms
            ),
        )


def handed_over(session_id: str, row: Outgoing, outcome: SendOutcome, took_s: float) -> None:
    """WhatsApp's library has said what became of a try."""
    fields = {"result": outcome.result, "error_code": outcome.error_code, "took_ms": round(took_s * 1000, 1)}
    log.info(
        "%s was handed over: %s",
        *(row.message_id, outcome.result),
        extra=about_message(row.message_id, session_id, row.origin, "wire", **fields),
    )
