"""Log lines as Cloud Logging reads them: one JSON object each, with the severity, and fields that can be searched for.

The way of one message through all parts is found by its id: each part says `message_id`, `session_id`, `request_id` and which
`step` it was, with `took_ms`. No line has a text, a number, a chat or a secret. `python -m keepline_local logs ID` shows
them in order.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from keepline.domain.trace_context import trace_id_of

# What `extra={FIELDS: {...}}` of a log call carries.
FIELDS = "keepline_fields"
# How Cloud Logging finds the lines of a trace.
_TRACE = "logging.googleapis.com/trace"


def about(**fields: Any) -> dict[str, Any]:
    """The `extra` of a log call; what is None is left out."""
    return {FIELDS: {name: value for name, value in fields.items() if value is not None}}


def about_message(
    message_id: str, session_id: str, origin: Mapping[str, Any], step: str, **fields: Any
) -> dict[str, Any]:
    """The `extra` of one step of a message's way. `origin` is what its row has of the request that brought it."""
    return about(message_id=message_id, session_id=session_id, step=step, **origin, **fields)


class JsonLines(logging.Formatter):
    """One line per record, also for records with a stack trace. `project` is for the names of traces."""

    def __init__(self, project: str | None = None) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(getattr(record, FIELDS, None) or {})
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.pop("caller_traceparent", None)
        trace_id = trace_id_of(fields.pop("traceparent", None))
        if trace_id is not None:
            line[_TRACE] = trace_id if self._project is None else f"projects/{self._project}/traces/{trace_id}"
        line |= fields
        if record.exc_info:
            line["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
