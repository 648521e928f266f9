"""Room in a session's queue: every message that is to wait takes its place here first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from keepline.domain.errors import TooMany
from keepline.domain.queue_cap import QUEUED_MAX, Counted
from keepline.domain.rate_limits import Limit
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore
from keepline.records import outbox

REMEMBERED_ACCOUNTS_MAX = 1_000
# A connected session makes room within seconds; one that is not takes as long as it takes.
RETRY_AFTER_S = 10


@dataclass
class _Tally:
    """What this process knows of one queue. `given` and `ended` count the places taken and those whose commit is over."""

    given: int = 0
    ended: int = 0
    counted: Counted | None = None


class QueueRoom:
    """The room of all queues, as this process sees it. Lives in one event loop.

    One process alone never lets a queue grow beyond the cap. Several at once can: by as many messages as the others are accepting
    at that instant, and by what they accept within five seconds where that is more than half of the cap. What its limit lets a
    user send in a longer time is reckoned with.
    """

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._tallies: OrderedDict[str, _Tally] = OrderedDict()

    @asynccontextmanager
    async def place(self, account: str, limit: Limit) -> AsyncIterator[None]:
        """A place for one more queued row, which is committed inside as one use of the user's `limit`.

        Raises TooMany (`queue_full`). The place is free again at once where TooMany is raised inside.
        """
        tally = self._tally(account)
        now_s = self._clock.monotonic_s()
        if tally.counted is None or not tally.counted.is_good(now_s, limit):
            ended = tally.ended
            queued = await self._store.count(outbox.queued_rows(account, QUEUED_MAX))
            # Whatever was not over when the count began may be missing in it.
            tally.counted = Counted(queued + tally.given - ended, now_s)
        if not tally.counted.has_room():
            raise _queue_full()
        tally.counted = replace(tally.counted, queued=tally.counted.queued + 1)
        tally.given += 1
        try:
            yield
        except TooMany:
            # Nothing was written: a program that meets its limit again and again must not fill a queue in our memory.
            tally.counted = replace(tally.counted, queued=tally.counted.queued - 1)
            raise
        finally:
            tally.ended += 1

    def _tally(self, account: str) -> _Tally:
        tally = self._tallies.setdefault(account, _Tally())
        self._tallies.move_to_end(account)
        while len(self._tallies) > REMEMBERED_ACCOUNTS_MAX:
            self._tallies.popitem(last=False)
        return tally


def _queue_full() -> TooMany:
    return TooMany(
        "queue_full",
        f"{QUEUED_MAX:,} messages of this session are waiting already.",
        "Wait until some have been sent; look at the session's status if none are.",
        RETRY_AFTER_S,
    )
