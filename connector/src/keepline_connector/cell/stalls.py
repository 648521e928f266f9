"""When a connection that stands has stopped working: long before the library's own ping would tell (20 s and more).

Two things show it. The other kernel owes an acknowledgement: the path is gone. Or WhatsApp owes an answer, to something that was
asked or sent, and nothing at all has come from it since: the path may be fine, and it is no good. A frame alone is no proof, for
not every one wants an answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from keepline.domain.link_events import Resumed, Stalled
from keepline.domain.link_quality import PathSample
from keepline_connector.cell.egress import SILENCE_LIMIT_MS, UNACKED_LIMIT_MS


class Stalls:
    """Of one device. `tell` hears that its connection has stalled, and that the same connection goes on. Thread-safe."""

    def __init__(self, tell: Callable[[Stalled | Resumed], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._logged_in = False
        self._stalled: PathSample | None = None  # what showed it
        self._owed_since_s: list[float] = []

    def connected(self) -> None:
        """The device has logged in: a connection begins to count."""
        with self._lock:
            self._logged_in, self._stalled = True, None

    def disconnected(self) -> None:
        """The library knows by itself that there is no connection."""
        with self._lock:
            self._logged_in, self._stalled = False, None

    @contextmanager
    def answer_owed(self) -> Iterator[None]:
        """WhatsApp has to answer what is done inside."""
        began_s = time.monotonic()
        with self._lock:
            self._owed_since_s.append(began_s)
        try:
            yield
        finally:
            with self._lock:
                self._owed_since_s.remove(began_s)

    def look(self, sample: PathSample) -> None:
        """The newest sample of the device's chat connection."""
        with self._lock:
            if not self._logged_in:
                return
            owed_ms = max((sample.at_s - since_s for since_s in self._owed_since_s), default=0.0) * 1000
            is_mute = min(sample.silent_ms, owed_ms) > SILENCE_LIMIT_MS
            if is_mute or (sample.unacked_ms or 0) > UNACKED_LIMIT_MS:
                if self._stalled is None or self._stalled.connection != sample.connection:
                    self._stalled = sample
                    self._tell(Stalled())
            elif self._stalled is not None and _heard_since(self._stalled, sample):
                self._stalled = None
                self._tell(Resumed())


def _heard_since(stalled: PathSample, sample: PathSample) -> bool:
    """Whether anything has come on the connection that had stalled. Of another one its login will tell."""
    since_ms = (sample.at_s - stalled.at_s) * 1000
    return sample.connection == stalled.connection and sample.frame_age_ms < since_ms
