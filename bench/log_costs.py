"""What a line of the log costs a connector or a function: the time to make and write one, and to leave one out."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time

from keepline.log_lines import JsonLines, about_message

LINES = 50_000


def main() -> None:
    log = logging.getLogger("keepline.bench")
    log.propagate = False
    took_us = {}
    with tempfile.TemporaryFile("w") as target:
        handler = logging.StreamHandler(target)
        handler.setFormatter(JsonLines("a-project"))
        log.handlers = [handler]
        origin = {"request_id": "4f0c3a6a5f7b4d0fb6a1f3f7c9f1a2b3"}
        for name, level in (("written", logging.INFO), ("left_out", logging.WARNING)):
            log.setLevel(level)
            began_s = time.perf_counter()
            for _ in range(LINES):
                log.info(
                    "%s is %s",
                    *("m_6temzapiw5q236squ7ntrghjom", "sent"),
                    extra=about_message(
                        "m_6temzapiw5q236squ7ntrghjom", "support", origin, "settle", state="sent", took_ms=3.1
                    ),
                )
            took_us[name] = round((time.perf_counter() - began_s) / LINES * 1e6, 2)
    sys.stdout.write(json.dumps({"line_us": took_us["written"], "line_left_out_us": took_us["left_out"]}) + "\n")


if __name__ == "__main__":
    main()
