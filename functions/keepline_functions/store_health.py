"""Whether Firestore answers, asked seldom enough that everybody may ask."""

from __future__ import annotations

import threading

from keepline.domain.errors import Unavailable
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreUnavailable
from keepline_functions.loop import BackgroundLoop

STORE_TIMEOUT_S = 2.0
# However many ask, Firestore is asked once in this time: a public page must not be a way to run up a bill.
LOOK_EVERY_S = 1.0
# Reading a document that is not there costs as little as a read can.
_PROBE_PATH = "connectors/health-probe"


class StoreHealth:
    """The latest look at the store, for all threads of the process."""

    def __init__(self, loop: BackgroundLoop, store: DocumentStore, clock: Clock) -> None:
        self._loop = loop
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_s: float | None = None
        self._answers = False

    def answers(self) -> bool:
        """Whether Firestore answered within 2 s, now or at most a second ago."""
        with self._lock:
            if self._looked_s is None or self._clock.monotonic_s() - self._looked_s >= LOOK_EVERY_S:
                self._answers = self._look()
                self._looked_s = self._clock.monotonic_s()
            return self._answers

    def _look(self) -> bool:
        try:
            self._loop.run(self._store.get(_PROBE_PATH), STORE_TIMEOUT_S)
        except (StoreUnavailable, Unavailable):
            return False
        return True
