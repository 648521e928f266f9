"""Log lines as Cloud Logging reads them: one JSON object per line, with the severity and the fields that were given."""

from __future__ import annotations

import json
import logging
import sys

# What `extra={FIELDS: {...}}` of a log call carries.
FIELDS = "keepline_fields"
_LOGGERS = ("keepline", "keepline_functions")


class JsonLines(logging.Formatter):
    """One line per record, also for records with a stack trace."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, FIELDS, None) or {}
        line = {"severity": record.levelname, "message": record.getMessage(), "logger": record.name, **fields}
        if record.exc_info:
            line["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def write_json_lines() -> None:
    """Send our loggers' records to standard output as JSON, beside whatever the framework does with everybody else's."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
