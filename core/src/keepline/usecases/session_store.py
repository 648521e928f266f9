"""The session store: what is kept of linked devices in Firestore. Keeping the session of a running one is `session_keeping`'s.

A session is a chain of sealed segments (`session_chain`) and, now and then, a snapshot of everything.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime

from keepline.domain.compaction import (
    Link,
    RestorePolicy,
    SavedVersion,
    removable,
    segments_end,
    snapshots_end,
    with_version,
)
from keepline.domain.sealing import (
    Header,
    SegmentKind,
)
from keepline.domain.session_refusals import SessionRefused
from keepline.ports.documents import Delete, DocumentStore, Query, Write
from keepline.ports.keys import KeyWrapper
from keepline.ports.session_file import Captured
from keepline.records import session_docs
from keepline.records.session_docs import SEGMENTS_PAGE, Head, Malformed
from keepline.usecases.session_chain import (
    Entropy,
    OpenSession,
    Restored,
    is_empty,
    open_session,
    read_chain,
    sealed_link,
    sequence_of_tail,
    write_snapshot,
)

__all__ = [
    "Restored",
    "SessionListing",
    "SessionRefused",
    "delete_outdated",
    "delete_session",
    "list_sessions",
    "restore_session",
    "save_session",
]

_TAILS_AT_ONCE = 10


@dataclass(frozen=True)
class SessionListing:
    """That a session is kept, and how much of it. Sizes are as sealed."""

    tenant: str
    account: str
    slot: str
    holder: str
    epoch: int
    sequence: int
    versions: tuple[SavedVersion, ...]
    bytes: int
    saved_at: datetime | None


async def restore_session(
    store: DocumentStore,
    keys: KeyWrapper,
    account: str,
    slot: str,
    *,
    acknowledged: int = 0,
    policy: RestorePolicy = RestorePolicy.REFUSE,
) -> Restored | None:
    """Read a session and verify every byte of it; None when nothing of the device has ever been saved.

    Raises SessionRefused, also when it ends before the sequence `acknowledged`; and KeyUnavailable and StoreUnavailable.
    """
    session = await open_session(store, keys, account, slot, acknowledged=acknowledged, policy=policy)
    if session is None or is_empty(session):
        return None
    return await read_chain(store, session, policy)


async def save_session(
    store: DocumentStore, session: OpenSession, captured: Captured, entropy: Entropy, saved_at: datetime
) -> OpenSession:
    """Save everything of a device as a new version, which is also the next step of its chain.

    Raises StoreConflict when `session` is not the newest state of it: nothing that anybody reads was changed then.
    """
    sequence = session.sequence + 1
    saved = await write_snapshot(store, session, captured, sequence, entropy, saved_at)
    header = Header(captured.incarnation, captured.mark)
    link = sealed_link(session, SegmentKind.WHOLE, header, b"", entropy)
    head = replace(session.head, versions=with_version(session.head.versions, saved))
    versions = await store.commit([link, head.write()])
    return replace(session, head=replace(head, version=versions[1]), sequence=sequence, tail=header)


async def delete_session(store: DocumentStore, account: str, slot: str) -> None:
    """Remove everything that is kept of a device. The head goes last, so this can be repeated after any crash.

    Whoever runs the device must have stopped: what it appends afterwards would stay.
    """
    await _delete_all(store, session_docs.all_chunks(account, slot))
    await _delete_all(store, session_docs.all_segments(account, slot))
    await store.commit([Delete(session_docs.head_path(account, slot))])


async def list_sessions(
    store: DocumentStore, *, tenant: str | None = None, account: str | None = None
) -> list[SessionListing]:
    """What is kept of the devices of a tenant, or of one account. Never contents, never keys."""
    if (tenant is None) == (account is None):
        raise ValueError("name either the tenant or the account")
    if tenant is not None:
        documents = await store.query(session_docs.sessions_of_tenant(tenant))
    else:
        documents = await store.query(session_docs.sessions_of_account(account or ""))
    heads = [Head.read(document) for document in documents]
    listed: list[SessionListing] = []
    for start in range(0, len(heads), _TAILS_AT_ONCE):
        listed += await asyncio.gather(*(_listing(store, head) for head in heads[start : start + _TAILS_AT_ONCE]))
    return listed


async def delete_outdated(store: DocumentStore, head: Head) -> None:
    """Remove what no kept version needs. Harmless also in the hands of a holder that has lost the session."""
    links: list[Link] = []
    end = segments_end(head.versions)
    after = 0
    while documents := await store.query(session_docs.segments_between(head.account, head.slot, after, end)):
        try:
            links += map(session_docs.to_link, documents)
        except Malformed:
            break  # A restore says more about it; what comes after it is removed when it is mended.
        after = links[-1].sequence
    removals: list[Write] = [
        Delete(session_docs.segment_path(head.account, head.slot, link.sequence))
        for link in removable(links, end, head.epoch)
    ]
    for start in range(0, len(removals), SEGMENTS_PAGE):
        await store.commit(removals[start : start + SEGMENTS_PAGE])
    await _delete_all(store, session_docs.chunks_below(head.account, head.slot, snapshots_end(head.versions)))


async def _delete_all(store: DocumentStore, query: Query) -> None:
    while documents := await store.query(query):
        removals: list[Write] = [Delete(document.path) for document in documents]
        await store.commit(removals)


async def _listing(store: DocumentStore, head: Head) -> SessionListing:
    newest = await store.query(session_docs.newest_segment(head.account, head.slot))
    return SessionListing(
        tenant=head.tenant,
        account=head.account,
        slot=head.slot,
        holder=head.holder,
        epoch=head.epoch,
        sequence=sequence_of_tail(newest, head.account, head.slot),
        versions=head.versions,
        bytes=sum(saved.bytes for saved in head.versions),
        saved_at=head.versions[-1].saved_at if head.versions else None,
    )
