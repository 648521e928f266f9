"""The pool of places for sessions: a session takes one when it is created and gives it back when its account is gone.

Both happen in the commit that creates or removes the account, so neither can happen alone, and a limit holds for all processes
together (docs/decisions/015-one-document-of-places.md). What was put right or wrong by hand is noticed by the minute round.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict, Write
from keepline.records import accounts, pool
from keepline.records.pool import Places

# A drift of as many too many as too few is not seen in the number: whoever causes one by hand waits this long for its healing.
COMPARED_EVERY = timedelta(hours=1)

log = logging.getLogger(__name__)


async def places(store: DocumentStore) -> Places:
    """The places as they are now; they are written down first where nobody has done so. Raises StoreConflict, rarely."""
    document = await store.get(pool.PATH)
    if document is None:
        await store.commit([pool.new_places(await _tenants(store))])
        document = await store.get(pool.PATH)
        if document is None:
            raise StoreConflict(f"{pool.PATH} was removed")
    return Places.read(document)


async def give_back(store: DocumentStore, account: str) -> list[Write]:
    """What goes into the commit that removes the account. Nothing where there are no places yet: they are made without it."""
    return [pool.give_back(account)] if await store.get(pool.PATH) is not None else []


async def heal(store: DocumentStore, clock: Clock) -> None:
    """Compare the places with the accounts, when their numbers differ or an hour has gone by; the accounts are right.

    An account that is created or removed meanwhile moves the document's version, and the comparison is left to the next round.
    """
    try:
        found = await places(store)
        number = await store.count(accounts.all_accounts())
        if number == len(found.tenants) and clock.now() - found.checked_at < COMPARED_EVERY:
            return
        tenants = await _tenants(store)
        await store.commit([pool.checked_places(found, tenants)])
    except StoreConflict:
        log.info("the places were changed while they were compared")
        return
    if tenants != found.tenants:
        log.warning(
            "the places of the pool had drifted: %d were written, %d are right", len(found.tenants), len(tenants)
        )


async def _tenants(store: DocumentStore) -> dict[str, str]:
    documents = await store.query(accounts.all_accounts())
    return {document.id: document.fields["tenant"] for document in documents}
