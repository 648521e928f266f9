"""What a sender may ask for one message: when it goes, until when it is worth sending, before what, and what to do in doubt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum

from keepline.domain.errors import InvalidInput
from keepline.domain.message import OnDoubt

# How far ahead a message may be scheduled. A promise for longer outlives most sessions.
SCHEDULE_DAYS_MAX = 90


class Priority(IntEnum):
    """Which chats of an account go first. The number is what the outbox row holds."""

    HIGH = 1
    NORMAL = 0
    LOW = -1

    @property
    def word(self) -> str:
        """As the API says it."""
        return self.name.lower()


@dataclass(frozen=True)
class SendOptions:
    """As they were asked for. Times are None where none was given; without `on_doubt` the session's default holds."""

    send_at: datetime | None = None
    expires_at: datetime | None = None
    priority: Priority = Priority.NORMAL
    on_doubt: OnDoubt | None = None

    def at(self, now: datetime) -> SendOptions:
        """What they come to for a message that is accepted now: a time to send that has passed is none.

        Raises InvalidInput (`bad_send_at`, `bad_expires_at`).
        """
        if self.send_at is not None and self.send_at - now > timedelta(days=SCHEDULE_DAYS_MAX):
            raise InvalidInput(
                "bad_send_at",
                f"send_at is more than {SCHEDULE_DAYS_MAX} days ahead.",
                f"Choose a time within {SCHEDULE_DAYS_MAX} days.",
            )
        send_at = self.send_at if self.send_at is not None and self.send_at > now else None
        if self.expires_at is not None and self.expires_at <= (send_at or now):
            raise InvalidInput(
                "bad_expires_at",
                "The message would expire before it could be sent.",
                "Choose an expires_at that is later than now and than send_at, or leave it out.",
            )
        return replace(self, send_at=send_at)
