"""Reading backwards, page by page: what went out and came in, and the dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from keepline.domain.addresses import parse_chat
from keepline.ports.clock import Clock
from keepline.ports.documents import Document, DocumentStore, Query, Where
from keepline.records import history, outbox
from keepline.usecases.message_views import MessageView, MessageViewer, instant, is_row
from keepline.usecases.sessions import own_account

PAGE_MESSAGES_MAX = 100
# As many messages of one instant as a page takes beyond its limit, rather than cut them apart.
SAME_INSTANT_MESSAGES_MAX = 500

_MILLISECOND = timedelta(milliseconds=1)

# A query for up to so many of the newest documents before a time.
_Source = Callable[[int, datetime | None], Query]


@dataclass(frozen=True)
class Page:
    """Messages, newest first. `next_before` asks for the page behind this one; None when there is none."""

    messages: list[MessageView]
    next_before: datetime | None


class MessageLists:
    """The messages of all tenants, by session.

    Messages of one instant are never divided between two pages, so that `next_before` loses none of them: a page may be shorter
    than `limit`, and longer when one instant alone has more.
    """

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._viewer = MessageViewer(store, clock)

    async def page(self, tenant: str, session_id: str, chat: str | None, limit: int, before: datetime | None) -> Page:
        """The newest messages of a session, or of one of its chats, older than `before`; in and out together."""
        account = await own_account(self._store, tenant, session_id)
        parsed = parse_chat(chat) if chat else None
        heard = (
            partial(history.newest_of_account, account.id)
            if parsed is None
            else partial(history.newest_in_chat, account.id, parsed)
        )
        kept, next_before = await self._newest((partial(outbox.newest_rows, account.id, parsed), heard), limit, before)
        copies = await self._copies(account.id, kept)
        shown = [document for document in kept if document.path not in copies]
        return Page(await self._viewer.views(shown), next_before)

    async def dead_letters(self, tenant: str, session_id: str, limit: int, before: datetime | None) -> Page:
        """The messages of a session that failed, by the time of their acceptance."""
        account = await own_account(self._store, tenant, session_id)
        kept, next_before = await self._newest((partial(outbox.dead_letters, account.id),), limit, before)
        return Page(await self._viewer.views(kept), next_before)

    async def _newest(
        self, sources: Sequence[_Source], limit: int, before: datetime | None
    ) -> tuple[list[Document], datetime | None]:
        """One page of what the sources have together, and what the next one is asked for with."""
        limit = max(1, min(limit, PAGE_MESSAGES_MAX))
        found = await self._look([source(limit + 1, before) for source in sources])
        kept = _whole_instants(found, limit)
        if not kept and found:
            since = instant(found[0])
            kept, more = await self._look([_in_instant(source(1, None), since) for source in sources]), True
        else:
            more = len(kept) < len(found)
        return kept, instant(kept[-1]) if more and kept else None

    async def _look(self, queries: Sequence[Query]) -> list[Document]:
        results = await asyncio.gather(*(self._store.query(query) for query in queries))
        found = [document for documents in results for document in documents]
        return sorted(found, key=lambda document: (instant(document), document.id), reverse=True)

    async def _copies(self, account: str, found: Sequence[Document]) -> frozenset[str]:
        """Heard messages that are other devices' copies of what the outbox sent: shown once, as the outbox has them."""
        heard = {
            document.fields["wa_message_id"]: document.path
            for document in found
            if not is_row(document) and document.fields["direction"] == "out"
        }
        ids = list(heard)
        groups = [ids[start : start + outbox.RECEIPT_IDS_MAX] for start in range(0, len(ids), outbox.RECEIPT_IDS_MAX)]
        results = await asyncio.gather(*(self._store.query(outbox.rows_by_wa_id(account, group)) for group in groups))
        return frozenset(heard[row.fields["wa_message_id"]] for rows in results for row in rows)


def _whole_instants(found: Sequence[Document], limit: int) -> list[Document]:
    """The newest messages, up to `limit`, without the last instant if it goes on beyond them.

    Each source was asked for one more than `limit`, so whatever it kept back is as old as that last instant, or older.
    """
    if len(found) <= limit:
        return list(found)
    divided = instant(found[limit])
    return [document for document in found[:limit] if instant(document) > divided]


def _in_instant(query: Query, since: datetime) -> Query:
    """The query for the messages of one millisecond."""
    assert query.order_by is not None
    within = (Where(query.order_by, ">=", since), Where(query.order_by, "<", since + _MILLISECOND))
    return replace(query, where=query.where + within, limit=SAME_INSTANT_MESSAGES_MAX)
