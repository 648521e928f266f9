"""Where the functions' log lines go."""

from __future__ import annotations

import logging
import sys

from keepline.log_lines import JsonLines

LOGGERS = ("keepline", "keepline_functions")


def write_json_lines(project: str | None = None) -> None:
    """Send our loggers' records to standard output as JSON, beside whatever the framework does with everybody else's."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(project))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
