"""The truth for checkers: an append-only record of what happened to every message, with times and tags.

Kinds of events, in the order a message meets them:

- `sent` a phone begins to send · `accepted` the server took a message from a device · `refused` it did not
- `queued` for one device · `delivered` written to its socket or handed to a phone · `acknowledged` by it · `dropped` its queue
  was full
- `shown` by a phone · `waiting` a phone shows "Waiting for this message" · `duplicate` a phone dropped it · `lost` a phone
  dropped it although it was new
- `retried` one device gets it again · `retry_unanswered` its sender no longer has it · `unencryptable` a device's keys are bad
- `peer` a device's message to its own phone, or the other way round · `receipt` one was passed on
- `uploaded` `downloaded` a file of a message · `group` a group was changed · `app_state` settings of a number were changed ·
  `app_state_broken` its phone could not read them · `presence` a linked device said that it is online, or not

And of connections: `connected` `link_code` `paired` `login` `login_failed` `disconnected` `unlinked` `expired` `banned`
`protocol_error`; `rate` (a limit of the rate policy was passed); of what was broken on purpose: `fault_began`, `fault` (one
hit; `what` is the kind, `id` the stanza's), `fault_ended`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from simulator.limits import LOG_EVENTS_MAX, LOG_PAGE_EVENTS_MAX, LOG_TRIM_EVENTS

Event = dict[str, Any]


class TruthLog:
    """Bounded in memory (the oldest events go first), complete in the file if one is named."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        # A list trimmed in large steps: a cursor becomes an index at once, which a deque cannot do.
        self._events: list[Event] = []
        self._next = 1
        self._clock = clock
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path else None
        self.counts: dict[str, int] = {}

    def add(self, kind: str, **fields: Any) -> None:
        """Records an event; fields that are None are left out."""
        event: Event = {"n": self._next, "at": self._clock(), "kind": kind}
        for key, value in fields.items():
            if value is not None:
                event[key.rstrip("_")] = value
        self._next += 1
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._events.append(event)
        if len(self._events) > LOG_EVENTS_MAX + LOG_TRIM_EVENTS:
            del self._events[:LOG_TRIM_EVENTS]
        if self._file:
            self._file.write(json.dumps(event, separators=(",", ":")) + "\n")

    def since(self, cursor: int, kind: str | None = None, limit: int = LOG_PAGE_EVENTS_MAX) -> tuple[list[Event], int]:
        """Events after a cursor and the cursor for the next call; 0 starts at the oldest one kept."""
        if not self._events or cursor >= self._next - 1:
            return [], max(cursor, 0)
        first: int = self._events[0]["n"]
        found: list[Event] = []
        start = max(cursor + 1 - first, 0)
        last = cursor
        for index in range(start, len(self._events)):
            event = self._events[index]
            last = event["n"]
            if kind is None or event["kind"] == kind:
                found.append(event)
                if len(found) >= limit:
                    break
        return found, last

    def oldest(self) -> int:
        """The number of the oldest event kept, so that a reader can tell that it missed some."""
        return int(self._events[0]["n"]) if self._events else self._next

    def flush(self) -> None:
        if self._file:
            self._file.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
