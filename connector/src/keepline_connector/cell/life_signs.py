"""What proves that WhatsApp itself lives and understands this device: what the library has decrypted, and answers to what was
asked.

That bytes come, or that a kernel acknowledges ours, is no such proof (it judges the path: path.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from keepline.domain.link_events import Connected, Evidence, LinkEvent, MessageHeard, MessageUnreadable, ReceiptHeard

_KINDS: dict[type[LinkEvent], str] = {
    Connected: "login",
    MessageHeard: "message",
    MessageUnreadable: "message",
    ReceiptHeard: "receipt",
}


class LifeSigns:
    """Of one device. `tell` gets the newest sign that it has not got yet, whenever `report` is called. Thread-safe."""

    def __init__(self, tell: Callable[[Evidence], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._newest: tuple[str, float] | None = None

    def heard(self, event: LinkEvent) -> None:
        """The library tells this, at this moment."""
        if kind := _KINDS.get(type(event)):
            self._note(kind)

    def answered(self) -> None:
        """WhatsApp has answered what was sent or asked."""
        self._note("answer")

    def report(self) -> None:
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is not None:
            kind, at_s = newest
            self._tell(Evidence(kind, round((time.monotonic() - at_s) * 1000)))

    def _note(self, kind: str) -> None:
        with self._lock:
            self._newest = (kind, time.monotonic())
