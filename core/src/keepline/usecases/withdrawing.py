"""Taking messages out of the queue again: by their sender's wish, or because their time ran out and nobody sent them.

A connector claims a message by writing the account's authority document and leaves the row alone. So a withdrawal writes both,
each at the version that was read: of a claim and a withdrawal made at the same moment, one is refused as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keepline.domain.message import MessageState
from keepline.ports.documents import SERVER_TIME, Document, DocumentStore, StoreConflict, Update
from keepline.records import outbox
from keepline.records.outbox import Authority

TRIES_MAX = 5


async def authority_of(store: DocumentStore, account: str) -> Authority:
    """The account's authority as it is now, also where nobody has ever sent."""
    document = await store.get(outbox.authority_path(account))
    return Authority.read(document) if document is not None else Authority.nobodys(account)


async def withdraw(store: DocumentStore, authority: Authority, changes: Sequence[Update]) -> None:
    """Commit changes that end queued rows which `authority` names in no claim.

    Raises StoreConflict when a row or the authority was written since it was read; then nothing was changed.
    """
    await store.commit([*changes, authority.after_recall().write()])


async def expire(store: DocumentStore, account: str, rows: Sequence[Document]) -> None:
    """End an account's rows whose time has run out, but none that an open claim names or of which a copy has left already.

    Raises StoreConflict when others kept getting in between.
    """
    for _ in range(TRIES_MAX):
        authority = await authority_of(store, account)
        claimed = frozenset(authority.message_ids())
        idle = [row for row in rows if row.id not in claimed and not is_repair(row)]
        if not idle:
            return
        try:
            await withdraw(store, authority, [_expired(row) for row in idle])
        except StoreConflict:
            again = await asyncio.gather(*(store.get(row.path) for row in idle))
            rows = [row for row in again if row is not None and row.fields["state"] == MessageState.QUEUED.value]
            continue
        return
    raise StoreConflict(f"{account} is being written all the time")


def is_repair(row: Document) -> bool:
    """Whether a queued row waits for its second copy because the first, which was sent, could not be read."""
    return row.fields["repair_of"] is not None


def _expired(row: Document) -> Update:
    fields = {"state": MessageState.EXPIRED.value, "error_code": "expired", "times.expired": SERVER_TIME}
    return Update(row.path, fields, row.version)
