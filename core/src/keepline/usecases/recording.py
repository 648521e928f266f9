"""Recording what was heard: a batch per commit, at once when idle, and only then is the device's journal told.

The commit carries the changes of the device's local store too: what our users can read, no lost disk can make WhatsApp's library
decrypt again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from keepline.domain.addresses import is_group
from keepline.domain.content.heard import option_names, reference_in, resolved
from keepline.domain.content.references import MessageRef
from keepline.domain.link_events import MessageHeard, MessageUnreadable, NoticeHeard, RecordedEvent
from keepline.domain.tag import read_tag
from keepline.ports.documents import Create, DocumentStore, StoreConflict, StoreUnavailable, Version, Write
from keepline.records import changes, history, notices
from keepline.records.accounts import KeyedAccount

# A commit is on its way for some milliseconds; what comes meanwhile goes into the next one, so batches grow with the load.
BATCH_MAX = 100
# Firestore takes 10 MiB in a request, and the session's changes are in it as well.
BATCH_BYTES_MAX = 4 << 20
_STORE_RETRY_S = 1.0

log = logging.getLogger(__name__)


class Commits(Protocol):
    """What makes writes durable: the session of the device that hears, which adds what has changed in it, or the store itself."""

    async def commit(self, writes: Sequence[Write]) -> list[Version]: ...


class Journal(Protocol):
    """What keeps what was heard until it is told that it is durable."""

    async def acknowledge(self, seqs: Sequence[int]) -> None: ...


class Recorder:
    """Writes what one device heard: messages and notices. The journal in its cell bounds how many can be on the way at once."""

    def __init__(self, store: DocumentStore, session: Commits, journal: Journal, account: KeyedAccount) -> None:
        self._store = store
        self._session = session
        self._journal = journal
        self._account = account
        self._heard: list[RecordedEvent] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def heard(self, event: RecordedEvent) -> None:
        self._heard.append(event)
        self._idle.clear()
        self._wake.set()

    async def written(self) -> None:
        """Wait until all that was heard is recorded."""
        await self._idle.wait()

    async def run(self) -> None:
        """Record until cancelled. Raises SessionLost."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._heard:
                await self._record_batch()
            self._idle.set()

    async def _record_batch(self) -> None:
        batch = self._batch()
        try:
            await self.record(batch)
        except StoreUnavailable as error:
            log.warning("Firestore did not take %d events that were heard, trying again: %s", len(batch), error)
            await asyncio.sleep(_STORE_RETRY_S)
            return
        del self._heard[: len(batch)]
        await self._journal.acknowledge([event.seq for event in batch])

    def _batch(self) -> list[RecordedEvent]:
        """What goes into the next commit: what was heard first, as much as one request takes."""
        size = 0
        for count, event in enumerate(self._heard[:BATCH_MAX]):
            size += _bytes_at_most(event)
            if count and size > BATCH_BYTES_MAX:
                return self._heard[:count]
        return self._heard[:BATCH_MAX]

    async def record(self, batch: Sequence[RecordedEvent]) -> None:
        """Write what was heard, all messages that are readable in one commit. Raises StoreUnavailable and SessionLost."""
        names = (self._account.id, self._account.tenant, self._account.session_id)
        for event in batch:
            if isinstance(event, MessageUnreadable):
                # It may be there, perhaps readable: the other device of the account could decrypt it.
                await self._create(history.unreadable_message(*names, event))
            elif isinstance(event, NoticeHeard):
                # The other device has heard it too.
                await self._create(notices.new_notice(*names, event))
        readable = [event for event in batch if isinstance(event, MessageHeard) and not self._is_ours(event)]
        writes = [write for message in readable for write in await self._writes(message, readable)]
        if writes:
            await self._session.commit(writes)

    async def _create(self, document: Create) -> None:
        """Write a document unless it is there."""
        with contextlib.suppress(StoreConflict):
            await self._store.commit([document])

    async def _writes(self, heard: MessageHeard, batch: Sequence[MessageHeard]) -> list[Write]:
        """A message, or what it changes of an earlier one."""
        account = self._account
        content = resolved(heard.content, account.id, account.tag_key)
        match heard.kind:
            case "edit" | "revoke":
                return await self._change(heard, content, batch)
            case "vote":
                content = await self._with_names(content, batch)
        return [history.heard_message(account.id, account.tenant, account.session_id, heard, content)]

    async def _change(self, heard: MessageHeard, content: dict[str, Any], batch: Sequence[MessageHeard]) -> list[Write]:
        """What an edit or a revocation does to a message that we know; nothing, if its sender did not write that."""
        target = reference_in(heard.kind, content)
        if not await self._may_change(heard, target, content, batch):
            log.info(
                "a change of %s by somebody who did not write it, or of an unknown message, is ignored", target.chat
            )
            return []
        if heard.kind == "edit":
            return [changes.edited(self._account.id, target, heard.wa_message_id, heard.text or "", heard.at)]
        return [changes.revoked(self._account.id, target, heard.at)]

    async def _may_change(
        self, heard: MessageHeard, target: MessageRef, content: dict[str, Any], batch: Sequence[MessageHeard]
    ) -> bool:
        """Anybody can name any message: what counts is who wrote it."""
        path = changes.path_of(self._account.id, target)
        author = next(
            (one for one in batch if (one.chat, one.wa_message_id) == (target.chat, target.wa_message_id)), None
        )
        if author is not None:
            written_in, written_by = author.chat, (author.from_me, author.sender_phone, author.sender_lid)
        elif (document := await self._store.get(path)) is not None:
            written_in, written_by = document.fields["chat"], history.author(document)
        else:
            return False
        if is_group(heard.chat) and content[heard.kind].get("by_admin"):
            return bool(written_in == heard.chat)
        from_me, phone, lid = written_by
        same = bool(phone and phone == heard.sender_phone) or bool(lid and lid == heard.sender_lid)
        return from_me == heard.from_me and (from_me or same)

    async def _with_names(self, content: dict[str, Any], batch: Sequence[MessageHeard]) -> dict[str, Any]:
        """A vote with the names of the options, from the poll as we sent or recorded it; without, where we know no such poll."""
        hashes: list[str] | None = content["vote"].pop("hashes")
        if hashes is None:
            return content
        poll = reference_in("vote", content)
        said = next(
            (one.content for one in batch if (one.chat, one.wa_message_id) == (poll.chat, poll.wa_message_id)), None
        )
        if said is None:
            document = await self._store.get(changes.path_of(self._account.id, poll))
            said = document.fields.get("content") if document is not None else None
        names = option_names(hashes, said["poll"]["options"]) if said and "poll" in said else None
        return content if names is None else {**content, "vote": {**content["vote"], "options": names}}

    def _is_ours(self, message: MessageHeard) -> bool:
        """A copy of what this account's sending device sent for the outbox, where it stands already."""
        return message.from_me and message.tag is not None and read_tag(self._account.tag_key, message.tag) is not None


def _bytes_at_most(event: RecordedEvent) -> int:
    """In the one commit for all."""
    if not isinstance(event, MessageHeard):
        return 0
    return 4 * len(event.text or "") + len(json.dumps(event.content))
