"""From changes to deliveries, and to the log of live events: each event gets its place in the lane of its chat, in the
chat's order, exactly once.

Triggers come at least once and in any order. So a trigger only says where to look: before a message's events get their places,
those of the chat's earlier messages get theirs, read from where they stand. The trigger of one of these finds it done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from keepline.domain.alerts import Alert, Notice
from keepline.domain.webhook_events import OF_MESSAGES, EventType, Happening
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.webhook_calls import DeliveryWaker
from keepline.records import history, outbox
from keepline.records.alerts import ALERTS
from keepline.records.monitoring import StateChange
from keepline.records.webhooks import KEPT_DAYS, Lane, Webhook, lane_name
from keepline.usecases.event_outlets import Outlet, ToWebhook, outlets_of
from keepline.usecases.message_views import MessageViewer, is_row
from keepline.usecases.webhook_events import (
    FIRST_WORDS,
    Rendering,
    Told,
    happenings,
    told_of_alert,
    told_of_message,
    told_of_notice,
    told_of_session,
)

# Others add to the same lane at the same time; each of them gets on, so one of so many tries is ours.
TRIES_MAX = 20
HEARD_PAGE = 100
# With that many messages of one second in one chat the order among them is the best guess.
HEARD_PAGE_MAX = 200
EARLIER_ROWS_MAX = 10
# What happened longer ago has been told, and what tells that it was may be gone by now.
TOLD_WITHIN = timedelta(days=KEPT_DAYS - 1)


class WebhookFeeder:
    """Lives in one event loop."""

    def __init__(self, store: DocumentStore, clock: Clock, waker: DeliveryWaker, rendering: Rendering) -> None:
        self._store = store
        self._clock = clock
        self._waker = waker
        self._rendering = rendering
        self._viewer = MessageViewer(store, clock)

    async def message_changed(self, tenant: str, path: str) -> None:
        """A message's document was written. Raises StoreUnavailable and WakeFailed; then the trigger is to come again."""
        found = [one for one in await self._outlets(tenant) if _is_for_messages(one)]
        document = await self._store.get(path) if found else None
        if document is None:
            return
        for outlet in found:
            if outlet.session_id in (None, document.fields["session_id"]):
                await self._feed_message(outlet, document)

    async def session_changed(self, change: StateChange) -> None:
        """Raises as `message_changed` does."""
        for outlet in await self._outlets(change.tenant):
            if outlet.session_id not in (None, change.session_id) or change.at < outlet.told_since:
                continue
            if outlet.wants(EventType.SESSION_STATUS):
                told = told_of_session(change, self._rendering)
                await self._feed_one(outlet, lane_name(change.account, None), told)

    async def notice_recorded(self, tenant: str, path: str) -> None:
        """A change of a group, or a call, was written down. Raises as `message_changed` does."""
        found = await self._outlets(tenant)
        document = await self._store.get(path) if found else None
        if document is None:
            return
        told = told_of_notice(document, self._rendering)
        name = lane_name(document.fields["account"], document.fields["chat"])
        for outlet in found:
            # One that waited for us at WhatsApp is new, however old it is.
            is_new = document.created >= max(outlet.told_since, self._clock.now() - TOLD_WITHIN)
            is_theirs = outlet.session_id in (None, document.fields["session_id"])
            if is_new and is_theirs and outlet.wants(EventType(document.fields["type"])):
                await self._feed_one(outlet, name, told)

    async def tell_alert(self, webhook: Webhook, alert: Alert, notice: Notice, shown: Mapping[str, object]) -> None:
        """An alert was opened or is over: a channel says that this webhook is to be told. Raises as `message_changed` does."""
        told = told_of_alert(alert, notice, shown, self._rendering)
        await self._feed_one(ToWebhook(webhook), lane_name(ALERTS, alert.key), told)

    async def _outlets(self, tenant: str) -> list[Outlet]:
        return await outlets_of(self._store, tenant, self._clock.now())

    async def _feed_one(self, outlet: Outlet, name: str, told: Told) -> None:
        for _ in range(TRIES_MAX):
            lane = await self._lane(outlet, name)
            if await self._store.get(outlet.event_path(told.event_id)) is not None:
                return await self._wake(lane)
            with contextlib.suppress(StoreConflict):
                return await self._wake(await self._append(outlet, lane, [told]))
        raise _crowded()

    async def _feed_message(self, outlet: Outlet, document: Document) -> None:
        name = lane_name(document.fields["account"], document.fields["chat"])
        page = HEARD_PAGE
        for _ in range(TRIES_MAX):
            lane = await self._lane(outlet, name)
            if is_row(document):
                found, after = await self._rows(outlet, lane, document)
            else:
                found, after = await self._heard(outlet, lane, document, page)
            told = await self._untold(outlet, found)
            if told or after != lane:
                try:
                    after = await self._append(outlet, after, told)
                except StoreConflict:
                    continue
            if document.path in {one.path for one in found}:
                return await self._wake(after)
            if after.heard_at == lane.heard_at:
                page = HEARD_PAGE_MAX
        raise _crowded()

    async def _heard(self, outlet: Outlet, lane: Lane, document: Document, page: int) -> tuple[list[Document], Lane]:
        """The messages of a chat that come before this one's events, and it, and how far the lane has got with them.

        Without this message where more come before it than one page takes.
        """
        if lane.recorded_at is not None and document.created <= lane.recorded_at:
            return [document], lane  # Its first words have been told: nothing comes before its changes.
        # Not through all that a chat said before the outlet was there, or while it was away.
        first = max(_second(outlet.told_since), self._clock.now() - TOLD_WITHIN)
        since = max(lane.heard_at or first, first)
        chat, account = document.fields["chat"], document.fields["account"]
        found = await self._store.query(history.heard_since(account, chat, since, page))
        whole = len(found) < page or page == HEARD_PAGE_MAX
        heard_at = found[-1].fields["at"] if found else since
        fresh = {one.path: one for one in found if lane.recorded_at is None or one.created > lane.recorded_at}
        if whole or document.fields["at"] <= heard_at:
            fresh[document.path] = document
        recorded_at = max([lane.recorded_at or document.created, *(one.created for one in fresh.values())])
        after = replace(lane, heard_at=heard_at, recorded_at=recorded_at if whole else lane.recorded_at)
        return sorted(fresh.values(), key=_heard_order), after

    async def _rows(self, outlet: Outlet, lane: Lane, document: Document) -> tuple[list[Document], Lane]:
        """A message of the API, after those of its chat that were sent before it, if it is told of for the first time."""
        sent_at = document.fields["times"].get("sent")
        if sent_at is None or (lane.sent_at is not None and sent_at <= lane.sent_at):
            return [document], lane
        fields = document.fields
        query = outbox.newest_rows(fields["account"], fields["chat"], EARLIER_ROWS_MAX, fields["accepted_at"])
        earlier = [row for row in await self._store.query(query) if _sent_between(row, lane.sent_at, sent_at)]
        rows = sorted([*earlier, document], key=lambda row: (row.fields["times"]["sent"], row.fields["accepted_at"]))
        return rows, replace(lane, sent_at=sent_at)

    async def _untold(self, outlet: Outlet, found: Sequence[Document]) -> list[Told]:
        """The events of these messages that this outlet is to get and does not have yet."""
        told_before = self._clock.now() - TOLD_WITHIN
        wanted = [
            (document, happening)
            for document in found
            for happening in happenings(document)
            if outlet.wants(happening.type) and _is_new(outlet, document, happening, told_before)
        ]
        paths = [outlet.event_path(happening.event_id) for _, happening in wanted]
        known = await asyncio.gather(*(self._store.get(path) for path in paths))
        untold = [one for one, there in zip(wanted, known, strict=True) if there is None]
        documents = list({document.path: document for document, _ in untold}.values())
        views = dict(zip((one.path for one in documents), await self._viewer.views(documents), strict=True))
        return [told_of_message(happening, views[document.path], self._rendering) for document, happening in untold]

    async def _lane(self, outlet: Outlet, name: str) -> Lane:
        return outlet.lane(name, await self._store.get(outlet.lane_path(name)))

    async def _append(self, outlet: Outlet, lane: Lane, told: Sequence[Told]) -> Lane:
        """Raises StoreConflict when somebody else has changed the lane."""
        after, writes = outlet.added(lane, told, self._clock.now())
        await self._store.commit(writes)
        return after

    async def _wake(self, lane: Lane) -> None:
        # Whoever holds it looks again before it lets go; what waits for its next try is woken by the minute. Of the log none is.
        if lane.is_due(self._clock.now()):
            await self._waker.wake(lane.webhook, lane.id)


def _is_for_messages(outlet: Outlet) -> bool:
    return any(outlet.wants(event) for event in OF_MESSAGES)


def _second(at: datetime) -> datetime:
    """WhatsApp's times are whole seconds: what happened in the same one may have happened after."""
    return datetime(at.year, at.month, at.day, at.hour, at.minute, at.second, tzinfo=at.tzinfo)


def _is_new(outlet: Outlet, document: Document, happening: Happening, told_before: datetime) -> bool:
    """Whether it came after the outlet: a message that waited for us at WhatsApp is new, however old it is."""
    if happening.type in FIRST_WORDS and not is_row(document):
        return document.created >= max(outlet.told_since, told_before)
    return happening.at >= max(_second(outlet.told_since), told_before)


def _heard_order(document: Document) -> tuple[datetime, datetime, int]:
    return document.fields["at"], document.created, document.fields.get("seq", 0)


def _sent_between(row: Document, after: datetime | None, until: datetime) -> bool:
    sent_at = row.fields["times"].get("sent")
    return sent_at is not None and (after is None or sent_at > after) and sent_at <= until


def _crowded() -> StoreUnavailable:
    return StoreUnavailable("too many others add to the same lane")
