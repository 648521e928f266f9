"""What a listener to live events has heard, how far it is, and when it comes back. Pure, for both clients."""

from __future__ import annotations

import json

from keepline_client.errors import KeeplineError, RateLimited, Unavailable
from keepline_client.types import WebhookEvent

# Keepline says something every 15 s; a connection on which nothing comes is dead.
SILENCE_S_MAX = 40.0
# Until Keepline has said what it likes.
_RETRY_S = 2.0
_PAUSE_S_MAX = 30.0
# A Retry-After that is longer is not meant for who waits anyway.
_ASKED_S_MAX = 60.0


class Place:
    """Where a listener is in what happens. `last_event_id` is what it comes back with, so that nothing is told twice."""

    def __init__(self, last_event_id: str | None) -> None:
        self.last_event_id = last_event_id
        self._fields: dict[str, str] = {}
        self._retry_s = _RETRY_S
        self._failures = 0
        self._has_reached = False

    def begin(self) -> None:
        """A new stream: what the one before left unfinished comes again."""
        self._fields = {}
        self._has_reached = True

    def hear(self, line: str) -> WebhookEvent | None:
        """The event that a line of the stream completes, if it completes one. Keepline sends each field once.

        httpx-sse would be one more dependency of every user's program for these ten lines, whose other end is Keepline's own;
        where to go on and when, which is most of listening, it leaves to its caller.
        """
        if line:
            name, _, value = line.partition(":")
            if name:  # else it is a comment
                self._fields[name] = value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        if "retry" in fields:
            self._retry_s = int(fields["retry"]) / 1_000
        else:
            self._failures = 0  # The stream lives: more has come than its beginning.
        self.last_event_id = fields.get("id", self.last_event_id)
        event: WebhookEvent | None = json.loads(fields["data"]) if "data" in fields else None
        return event

    def pause_s(self, error: KeeplineError | None, tries_max: int, chance: float) -> float:
        """How long to wait before the next stream; `error` ended this one, None if it just ended. `chance` is from 0 to 1.

        Raises the error when coming back does not help: it would be the same again, or Keepline was never reached.
        """
        bound_s = min(_PAUSE_S_MAX, self._retry_s * 2.0 ** min(self._failures, 10))
        self._failures += 1
        if error is None:
            return chance * bound_s
        if not isinstance(error, RateLimited | Unavailable):
            raise error
        if not self._has_reached and self._failures >= tries_max:
            raise error
        return min(error.retry_after_s or 0.0, _ASKED_S_MAX) + chance * bound_s
