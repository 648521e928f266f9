"""What proves that WhatsApp itself lives and understands this device: what the library has decrypted, and answers to what was
asked.

That bytes come, or that a kernel acknowledges ours, is no such proof (it judges the path: path.py).
"""

from __future__ import annotations

import time

from keepline.domain.link_events import Connected, LinkEvent, MessageHeard, MessageUnreadable, ReceiptHeard

_KINDS: dict[type[LinkEvent], str] = {
    Connected: "login",
    MessageHeard: "message",
    MessageUnreadable: "message",
    ReceiptHeard: "receipt",
}


class LifeSigns:
    """Of one device. Thread-safe."""

    def __init__(self) -> None:
        self._newest: tuple[str, float] | None = None

    def heard(self, event: LinkEvent) -> None:
        """The library tells this, at this moment."""
        if kind := _KINDS.get(type(event)):
            self._note(kind)

    def answered(self) -> None:
        """WhatsApp has answered what was sent or asked."""
        self._note("answer")

    def newest(self) -> tuple[str, int] | None:
        """What was heard last, and how many milliseconds ago; None before anything was."""
        newest = self._newest
        if newest is None:
            return None
        kind, at_s = newest
        return kind, round((time.monotonic() - at_s) * 1000)

    def _note(self, kind: str) -> None:
        self._newest = (kind, time.monotonic())
