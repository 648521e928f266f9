"""Things that the runner does itself, beside looking after processes: each in a thread, started again after an error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from keepline_local.supervisor import restart_delay_s

STOP_WAIT_S = 5.0

_log = logging.getLogger(__name__)

Work = Callable[[threading.Event], None]
"""Works until the event is set; may raise anything."""


class Task:
    """A thread that does some work until it is stopped."""

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tell it to stop and wait a little; it is a daemon, so it cannot hold up the end."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_WAIT_S)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._work(self._stop)
            except Exception as error:  # noqa: BLE001 - the task comes back whatever went wrong, as a process would
                if failures == 0 and not self._stop.is_set():
                    _log.warning("%s failed and goes on: %r", self.name, error, exc_info=True)
                failures += 1
                self._stop.wait(restart_delay_s(failures))
            else:
                failures = 0
