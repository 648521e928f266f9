"""Log lines of the supervisor and its cells: one JSON object each, as Cloud Logging reads them."""

from __future__ import annotations

import logging
import os
import sys

from keepline.log_lines import JsonLines


def set_up_logging() -> None:
    """Log to stderr. The libraries' own chatter starts at WARNING: it names numbers and message ids."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(os.environ.get("KEEPLINE_PROJECT")))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("keepline").setLevel(logging.INFO)
    logging.getLogger("keepline_connector").setLevel(logging.INFO)
