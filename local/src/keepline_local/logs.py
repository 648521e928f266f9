"""The log files of a run: the one before is kept, and none grows without limit."""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path

LOG_BYTES_MAX = 64 * 1024 * 1024
CHECK_EVERY_S = 60.0


def set_aside(folder: Path) -> None:
    """`NAME.log` becomes `NAME.log.1`, so that a new run's logs begin empty and the last run's can still be read."""
    for log in folder.glob("*.log"):
        log.replace(log.with_suffix(".log.1"))


def to_file(log: Path) -> None:
    """Send this process's own log lines to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=log, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )


def keep_small(folder: Path, stop: threading.Event) -> None:
    """Empty a log that has outgrown the limit, after copying its second half aside; until `stop` is set."""
    while not stop.wait(CHECK_EVERY_S):
        for log in folder.glob("*.log"):
            with contextlib.suppress(OSError):
                if log.stat().st_size > LOG_BYTES_MAX:
                    _cut(log)


def _cut(log: Path) -> None:
    with log.open("r+b") as text:
        text.seek(LOG_BYTES_MAX // 2)
        log.with_suffix(".log.1").write_bytes(text.read(LOG_BYTES_MAX))
        # The writer appends, so after the cut it goes on at the beginning. Lines written in between are lost; it is a log.
        text.truncate(0)
