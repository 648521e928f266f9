"""Signs of life of the account's own phone: WhatsApp unlinks its devices when it has not been seen for 14 days.

WhatsApp tells a linked device nothing of the phone as such. What the phone does comes with its address, though: the account's, as
device 0. Those are messages written on it, and that it has read one. Linked devices have higher numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from keepline.domain.link_events import PhoneSeen

# Days are what counts; a busy phone is not to fill the pipe.
TOLD_EVERY = timedelta(hours=1)

_PHONE = 0


class OwnPhone:
    """What one device has told of it."""

    def __init__(self) -> None:
        self._told_at: datetime | None = None

    def look(self, event: Any) -> PhoneSeen | None:
        """What the library's event, a message or a receipt, says of the phone that is worth telling."""
        at = _seen_at(event)
        if at is None or (self._told_at is not None and at - self._told_at < TOLD_EVERY):
            return None
        self._told_at = at
        return PhoneSeen(at)


def _seen_at(event: Any) -> datetime | None:
    info = getattr(event, "Info", None)
    source = info.MessageSource if info is not None else getattr(event, "MessageSource", None)
    if source is None or not source.IsFromMe or source.Sender.Device != _PHONE:
        return None
    # neonize gives milliseconds of messages and seconds of receipts.
    return datetime.fromtimestamp(info.Timestamp / 1000 if info is not None else event.Timestamp, UTC)
