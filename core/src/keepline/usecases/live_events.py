"""Listening to a tenant's events as they happen, and coming back to where one had come.

A stream reads the log by a watch and gives what its listener asks for when it is asked: nothing is kept for a slow one but how
far it is. How many listen is counted in the document that says whether there is a log, so it holds over all instances.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from base64 import b32encode
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from keepline.domain.errors import Gone, InvalidInput, TooMany, Unavailable
from keepline.domain.ids import check_tenant
from keepline.domain.live_events import PAGE_MAX, SETTLING, Position, Reading, read_token
from keepline.domain.webhook_events import wants
from keepline.domain.webhook_settings import check_events
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, Query, StoreConflict, StoreUnavailable, Version
from keepline.records import live_events
from keepline.records.live_events import EventLog
from keepline.records.webhooks import KEPT_DAYS, owner_path
from keepline.usecases.sessions import own_account

STREAMS_OF_TENANT_MAX = 20
# Each holds a thread of the server and some of Firestore's client, which takes 100 listeners on its connection.
STREAMS_MAX = 50
# Then the listener is to come back: functions may live for a while only.
STREAM_S = 300.0
# A stream whose instance died counts until then.
STREAM_GONE_S = STREAM_S + 60.0
# A place in the log that is older cannot be come back to: what follows it may be gone already.
RESUMED_WITHIN = timedelta(days=KEPT_DAYS - 1)
TRIES_MAX = 20
RETRY_AFTER_S = 15
_EVENT_ID = re.compile(r"evt_[a-z2-7]{26}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Heard:
    """Events with their ids, in their order; and where to come back to when nothing more comes, if no event's id says it."""

    events: Sequence[dict[str, Any]]
    place: str | None


class LiveEvents:
    """The live events of all tenants. Lives in one event loop. `entropy(n)` gives n random bytes."""

    def __init__(self, store: DocumentStore, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._open = 0

    async def keep(self, tenant: str) -> EventLog:
        """Have the tenant's events written down for as long as after a listener, for those who listen to Firestore itself.

        Raises InvalidInput (`bad_user_id`).
        """
        check_tenant(tenant)
        found, _ = await self._change(tenant, lambda kept: kept)
        return found

    async def listen(
        self, tenant: str, session_id: str | None, sessions: frozenset[str] | None, events: Collection[str], after: str
    ) -> Stream:
        """Open a stream of what happens from now on, or of what followed `after`, if that is not empty.

        `sessions` are those that the listener may hear of, None for all. The caller closes the stream.
        Raises InvalidInput (`bad_event`, `bad_field`, `bad_user_id`), NotFound (`session_not_found`), Gone (`events_gone`),
        TooMany (`too_many_streams`) and Unavailable (`busy`).
        """
        check_tenant(tenant)
        wanted = frozenset(check_events(events))
        if session_id is not None:
            await own_account(self._store, tenant, session_id)
            sessions = frozenset({session_id})
        place = await self._place(tenant, after) if after else None
        if self._open >= STREAMS_MAX:
            raise Unavailable(
                "busy", "This instance has as many listeners as it takes.", "Try again in a moment.", RETRY_AFTER_S
            )
        self._open += 1
        try:
            name = "s" + b32encode(self._entropy(10)).decode().lower()
            until = self._clock.now() + timedelta(seconds=STREAM_GONE_S)
            _, now = await self._change(tenant, lambda kept: _with_stream(self._whole(kept, place), name, until))
        except BaseException:
            self._open -= 1
            raise
        # A place that is still to come would be waited for without a word.
        reading = Reading.beginning(min(place or Position(now), Position(now)), now)
        return Stream(self._store, tenant, sessions, wanted, reading, lambda: self._closed(tenant, name))

    async def _place(self, tenant: str, after: str) -> Position:
        """Where a listener had come."""
        instant = read_token(after)
        if instant is not None:
            return instant
        if not _EVENT_ID.fullmatch(after):
            raise InvalidInput(
                "bad_field", "That is no id of an event.", "Send the id of the event that you heard last."
            )
        document = await self._store.get(live_events.event_path(tenant, after))
        if document is None:
            raise events_gone()
        return live_events.entry_of(document).position

    def _whole(self, kept: EventLog, place: Position | None) -> EventLog:
        """The log, if all is in it that followed `place`. Raises Gone."""
        if place is not None:
            gap = not isinstance(kept.since, datetime) or place.at < kept.since - SETTLING
            if gap or place.at < self._clock.now() - RESUMED_WITHIN:
                raise events_gone()
        return kept

    async def _change(self, tenant: str, change: Callable[[EventLog], EventLog]) -> tuple[EventLog, Version]:
        """The log, listened to and then changed, and the store's time of that."""
        for _ in range(TRIES_MAX):
            now = self._clock.now()
            owner = await self._store.get(owner_path(tenant))
            kept = EventLog.read(tenant, owner) or live_events.no_log(tenant, now)
            changed = change(kept.listened_to(now))
            with contextlib.suppress(StoreConflict):
                [version] = await self._store.commit([changed.write(owner)])
                return changed, version
        raise StoreUnavailable("too many listeners come at the same moment")

    async def _closed(self, tenant: str, name: str) -> None:
        self._open -= 1
        # It is counted no more when its time is over, whether this succeeds or not.
        with contextlib.suppress(StoreUnavailable):
            await self._change(tenant, lambda kept: _without_stream(kept, name))


class Stream:
    """One listener's way through the log: by queries as long as there is more than one takes, then by a watch.

    Ends by itself when its time is over.
    """

    def __init__(
        self,
        store: DocumentStore,
        tenant: str,
        sessions: frozenset[str] | None,
        events: frozenset[str],
        reading: Reading,
        on_close: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._sessions = sessions
        self._events = events
        self._reading = reading
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._ends_at_s = self._loop.time() + STREAM_S
        self._watching = AsyncExitStack()
        self._looks: AsyncIterator[Sequence[Document]] | None = None
        self._look: asyncio.Future[Sequence[Document]] | None = None
        self._is_open = True
        # However its reader ends, it does.
        self._end = self._loop.call_later(STREAM_GONE_S, lambda: self._loop.create_task(self.close()))

    @property
    def place(self) -> str | None:
        """What a listener who has all that was given so far can come back with; None where the last event's id says it."""
        return self._reading.cursor.token

    async def next(self, wait_s: float) -> Heard | None:
        """What has come since, waiting for it up to `wait_s`; nothing may be in it. None: the stream is over.

        Raises StoreUnavailable at its beginning; then the listener comes back.
        """
        give_up_at_s = min(self._loop.time() + wait_s, self._ends_at_s)
        while self._is_open and self._loop.time() < self._ends_at_s:
            documents = await self._looked(give_up_at_s)
            if documents is None:
                return Heard((), self.place) if self._loop.time() < self._ends_at_s else None
            if events := await self._told(documents):
                return Heard(events, self.place)
        return None

    async def close(self) -> None:
        """Stop reading and count no more. A second time does nothing."""
        if self._is_open:
            self._is_open = False
            self._end.cancel()
            await self._stop_watching()
            await self._on_close()

    async def _looked(self, give_up_at_s: float) -> Sequence[Document] | None:
        """The newest look at the log, None if there is none in time."""
        if self._looks is None:
            return await self._store.query(self._query())
        if self._look is None:
            self._look = asyncio.ensure_future(anext(self._looks))
        # Not `wait_for`, which would end the watch with the wait.
        done, _ = await asyncio.wait({self._look}, timeout=max(0.0, give_up_at_s - self._loop.time()))
        if not done:
            return None
        documents, self._look = self._look.result(), None
        return documents

    async def _told(self, documents: Sequence[Document]) -> list[dict[str, Any]]:
        """What is new in a look, for this listener."""
        of_id = {document.id: document for document in documents}
        before = self._reading
        fresh, self._reading = before.after([live_events.entry_of(document) for document in documents])
        if not self._reading.asks_as(before):
            await self._stop_watching()
        elif len(documents) >= PAGE_MAX:
            log.error("%s has more events than can be followed live", self._tenant)
            self._ends_at_s = self._loop.time()
        elif self._looks is None:
            self._looks = aiter(await self._watching.enter_async_context(self._store.watch(self._query())))
        return [live_events.event_of(of_id[one.event_id]) for one in fresh if self._is_for(of_id[one.event_id])]

    def _query(self) -> Query:
        return live_events.entries_since(self._tenant, self._reading.floor, self._reading.page)

    def _is_for(self, document: Document) -> bool:
        fields = document.fields
        return wants(self._events, fields["type"]) and (
            self._sessions is None or fields["session_id"] in self._sessions
        )

    async def _stop_watching(self) -> None:
        look, self._look = self._look, None
        if look is not None:
            look.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await look
        self._looks = None
        await self._watching.aclose()


def _with_stream(kept: EventLog, name: str, until: datetime) -> EventLog:
    if len(kept.streams) >= STREAMS_OF_TENANT_MAX:
        raise TooMany(
            "too_many_streams",
            f"{STREAMS_OF_TENANT_MAX} streams of yours are open, and that is the limit.",
            "Close one, or share one among your programs; one that broke off is forgotten within six minutes.",
            RETRY_AFTER_S,
        )
    return replace(kept, streams={**kept.streams, name: until})


def _without_stream(kept: EventLog, name: str) -> EventLog:
    return replace(kept, streams={other: until for other, until in kept.streams.items() if other != name})


def events_gone() -> Gone:
    return Gone(
        "events_gone",
        "What followed that event is not kept any more.",
        "Listen without Last-Event-ID, and read what you missed with GET /api/messages.",
    )
