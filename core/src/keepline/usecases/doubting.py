"""Judging the doubts of one sender: it waits for receipts, asks the account's other device, or gives up waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from keepline.domain.doubt import Judgement, judge
from keepline.domain.message import MessageState
from keepline.domain.send_queue import Outgoing, SendQueue
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.usecases.witnessing import WitnessDesk, look_for_copies


class DoubtJudge:
    """Tells `queue` what became of its rows in doubt.

    `tag_of`: a row's tag by the number of the try. `is_anothers`: whether another device than this one made the row's last try.
    `found`: called when a search in the background has changed the queue. `known_since`: when the local store was rebuilt, if it
    was; copies of what other devices sent before may be missing in it.
    """

    def __init__(
        self,
        clock: Clock,
        link: DeviceLink,
        queue: SendQueue,
        desk: WitnessDesk,
        tag_of: Callable[[Outgoing, int], bytes],
        is_anothers: Callable[[Outgoing], bool],
        found: Callable[[], None],
        known_since: datetime | None,
    ) -> None:
        self._clock = clock
        self._link = link
        self._queue = queue
        self._desk = desk
        self._tag_of = tag_of
        self._is_anothers = is_anothers
        self._found = found
        self._known_since = known_since
        self._caught_up_since_s: float | None = None
        self._untold: set[str] = set()  # doubts of which the witness cannot say that it got no copy
        self._looking: asyncio.Task[None] | None = None  # for copies of what the account's other device tried

    def caught_up(self) -> None:
        """The receipts of the time away have been heard: from now on their absence means something."""
        if self._caught_up_since_s is None:
            self._caught_up_since_s = self._clock.monotonic_s()

    def disconnected(self) -> None:
        self._caught_up_since_s = None

    def stop(self) -> None:
        """Look for nothing more."""
        if self._looking is not None:
            self._looking.cancel()

    async def judge(self) -> None:
        """Take the next step for each doubt."""
        doubts = self._queue.doubts()
        if not doubts or self._caught_up_since_s is None:
            return
        witness = await self._desk.witness()
        now_s = self._clock.monotonic_s()
        asked: dict[str, bytes] = {}
        looked_for: list[Outgoing] = []
        for row in doubts:
            judgement = judge(
                now_s,
                doubt_since_s=row.doubt_since_s or 0.0,
                caught_up_since_s=self._caught_up_since_s,
                has_witness=(witness is not None or self._is_anothers(row)) and row.message_id not in self._untold,
            )
            if judgement is Judgement.GIVE_UP:
                self._queue.give_up_waiting(row, self._clock.now())
            elif judgement is Judgement.ASK and self._is_anothers(row):
                looked_for.append(row)
            elif judgement is Judgement.ASK:
                asked[row.message_id] = self._tag_of(row, row.doubtful_attempt)
        if looked_for and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look_for_copies(looked_for))
        if witness is None or not asked:
            return
        testimony = await self._desk.consult(witness.slot, asked)
        if testimony is None:
            return
        for row in doubts:
            if row.message_id not in testimony.asked:
                continue
            self._witnessed(row, testimony.seen.get(row.message_id), witness.restored_at)

    async def _look_for_copies(self, rows: list[Outgoing]) -> None:
        """What the account's other device tried shows in this one's own store, if WhatsApp took it."""
        since_s = self._caught_up_since_s
        tags = {row.message_id: self._tag_of(row, row.doubtful_attempt) for row in rows}
        copies = await look_for_copies(self._link, list(tags.values()))
        if copies is None or since_s is None or since_s != self._caught_up_since_s:
            return  # The link failed meanwhile. It is looked for again.
        for row in rows:
            if row.state is MessageState.IN_DOUBT:
                self._witnessed(row, copies.get(tags[row.message_id]), self._known_since)
        self._found()

    def _witnessed(self, row: Outgoing, seen: str | None, known_since: datetime | None) -> None:
        if seen is None and known_since is not None and (row.tried_at or row.created) <= known_since:
            self._untold.add(row.message_id)  # It may have had the copy on the disk that it lost.
        else:
            self._queue.witnessed(row.message_id, seen, self._clock.now())
