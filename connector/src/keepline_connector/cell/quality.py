"""What becomes of a connection's quality while it stands: the samples of its path and the waits for WhatsApp's answers are scored
here, beside the socket, and the supervisor is told when it becomes poor or good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from keepline.domain.link_events import QualityChanged
from keepline.domain.link_quality import LinkQuality, PathSample


class QualityWatch:
    """Of one device. `tell` hears of each change between good and poor. Thread-safe."""

    def __init__(self, tell: Callable[[QualityChanged], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._quality = LinkQuality()
        self._logged_in = False
        self._told_poor = False
        self._waiting_since_s: list[float] = []
        self.score: int | None = None  # the newest; None before anything is known

    def connected(self) -> None:
        """The device has logged in: a connection begins to count."""
        with self._lock:
            self._begin_anew(logged_in=True)

    def disconnected(self) -> None:
        """The library knows by itself that there is no connection."""
        with self._lock:
            self._begin_anew(logged_in=False)

    def interrupted(self) -> None:
        """The connection has stalled, or goes on after that. The supervisor takes it for good until it hears otherwise."""
        with self._lock:
            self._begin_anew(logged_in=self._logged_in)

    @contextmanager
    def waiting(self) -> Iterator[Callable[[], None]]:
        """WhatsApp has to answer what is done inside; what this gives is to be called if it did."""
        began_s = time.monotonic()
        with self._lock:
            self._waiting_since_s.append(began_s)

        def answered() -> None:
            now_s = time.monotonic()
            with self._lock:
                self._quality.acknowledged((now_s - began_s) * 1000, now_s)

        try:
            yield answered
        finally:
            with self._lock:
                self._waiting_since_s.remove(began_s)

    def look(self, sample: PathSample) -> None:
        """The newest sample of the device's chat connection."""
        with self._lock:
            if not self._logged_in:
                return
            waiting_ms = [(sample.at_s - since_s) * 1000 for since_s in self._waiting_since_s]
            assessed = self._quality.assess(sample, waiting_ms)
            self.score = assessed.score
            if assessed.is_poor != self._told_poor:
                self._told_poor = assessed.is_poor
                self._tell(QualityChanged(assessed.is_poor, assessed.score, assessed.because))

    def _begin_anew(self, *, logged_in: bool) -> None:
        self._quality.begin_anew()
        self._logged_in, self._told_poor, self.score = logged_in, False, None
