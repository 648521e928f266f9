"""The session store: what is kept of linked devices in Firestore. Keeping the session of a running one is `session_keeping`'s.

A session is a chain of sealed segments and, now and then, a snapshot of everything. The chain is the lock as well: whoever opens
a session appends a segment that says so, and an earlier holder's next one collides with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NoReturn

from keepline.domain.compaction import (
    Growth,
    Link,
    RestorePolicy,
    SavedVersion,
    removable,
    segments_end,
    snapshots_end,
    with_version,
)
from keepline.domain.errors import KeeplineError
from keepline.domain.sealing import (
    KEY_BYTES,
    NONCE_BYTES,
    SEALED_EXTRA_BYTES,
    Header,
    Seal,
    SealBroken,
    SegmentKind,
    key_context,
    pack,
    unpack,
)
from keepline.ports.documents import Create, Delete, Document, DocumentStore, Query, StoreConflict, Write
from keepline.ports.keys import KeyRefused, KeyWrapper
from keepline.ports.session_file import Captured
from keepline.records import session_docs
from keepline.records.session_docs import CHUNK_SEALED_BYTES_MAX, CHUNKS_PAGE, SEGMENTS_PAGE, Head, Malformed, Segment

Entropy = Callable[[int], bytes]

# Each number that is taken already was reserved by somebody who died before the snapshot was finished.
_VERSION_TRIES_MAX = 50
_TAILS_AT_ONCE = 10


class SessionRefused(KeeplineError):
    """What is stored of a session must not be used. The code says what is wrong with it."""


@dataclass(frozen=True)
class OpenSession:
    """A stored session whose data key is at hand. `sequence` is the newest of its chain."""

    head: Head
    seal: Seal
    sequence: int
    tail: Header | None  # what the newest segment says; None when it is broken, which only FALLBACK lets pass
    damage: SessionRefused | None = None
    key_is_current: bool = True


@dataclass(frozen=True)
class Restored:
    """A session's contents, verified. `behind` counts the segments at the chain's end that are missing from it."""

    snapshot: bytes = field(repr=False)
    changes: list[bytes] = field(repr=False)
    sequence: int
    epoch: int
    header: Header  # of the newest segment that it contains
    version: int
    behind: int
    tail_sequence: int
    growth: Growth  # of what was read after the snapshot
    bytes: int
    broken_versions: frozenset[int] = frozenset()


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


# What follows is for whoever keeps a running session.


async def create_session(
    store: DocumentStore, keys: KeyWrapper, entropy: Entropy, *, tenant: str, account: str, slot: str, holder: str
) -> OpenSession:
    """The beginning of a session that holds nothing yet, taken by `holder`. Raises StoreConflict when somebody was first."""
    key = entropy(KEY_BYTES)
    try:
        wrapped = await keys.wrap(key, key_context(account, slot))
    except KeyRefused as error:
        raise _key_refused(account, slot) from error
    # What a deletion may have left behind was sealed under another key and is never read: the chain begins after it.
    leftover = await store.query(session_docs.newest_segment(account, slot))
    sequence = _sequence_of_tail(leftover, account, slot)
    head = Head(tenant, account, slot, wrapped, holder, epoch=0)
    session = OpenSession(head, Seal(key, account, slot), sequence, tail=None)
    return await take_session(store, session, holder, Header(None, 0), entropy)


async def open_session(
    store: DocumentStore,
    keys: KeyWrapper,
    account: str,
    slot: str,
    *,
    acknowledged: int = 0,
    policy: RestorePolicy = RestorePolicy.REFUSE,
) -> OpenSession | None:
    """Read the two ends of a session, its head and its newest segment, and unwrap its key. Raises as `restore_session` does."""
    document = await store.get(session_docs.head_path(account, slot))
    if document is None:
        if acknowledged:
            _refuse_rolled_back(account, slot, 0, acknowledged)
        return None
    try:
        head = Head.read(document)
    except Malformed:
        _refuse_broken(account, slot, "its first document")
    if (head.account, head.slot) != (account, slot):
        _refuse_broken(account, slot, "its first document")
    newest = await store.query(session_docs.newest_segment(account, slot))
    sequence = _sequence_of_tail(newest, account, slot)
    if sequence < acknowledged:
        _refuse_rolled_back(account, slot, sequence, acknowledged)
    seal, current = await _unwrapped(keys, head)
    tail, damage = None, None
    try:
        if not newest or (head.versions and head.versions[-1].sequence > sequence):
            _refuse_gap(account, slot, "the end of its chain")
        tail, _ = _open_link(seal, head, Segment.read(newest[0]))
    except Malformed:
        damage = _broken(account, slot, f"segment {sequence}")
    except SessionRefused as error:
        damage = error
    if damage is None and not head.versions and tail is not None and tail.incarnation is not None:
        damage = _gap(account, slot, "every one of its versions")
    if damage is not None and (policy is RestorePolicy.REFUSE or not head.versions):
        raise damage
    if head.versions:
        sequence = max(sequence, head.versions[-1].sequence)
    return OpenSession(head, seal, sequence, tail, damage, current)


def is_empty(session: OpenSession) -> bool:
    """Whether nothing of the device has ever been saved: it was not linked yet."""
    return not session.head.versions


async def read_chain(
    store: DocumentStore, session: OpenSession, policy: RestorePolicy, without: Collection[int] = ()
) -> Restored:
    """The newest state that is whole, leaving out the versions `without`. Raises SessionRefused."""
    head = session.head
    failure: SessionRefused | None = None
    broken = set(without)
    for saved in reversed(head.versions):
        if saved.version in broken:
            continue
        try:
            header, snapshot = await _read_snapshot(store, session, saved)
        except SessionRefused as error:
            if policy is RestorePolicy.REFUSE:
                raise
            failure = failure or error
            broken.add(saved.version)
            continue
        return await _read_links(store, session, policy, saved, header, snapshot, frozenset(broken))
    raise failure or _gap(head.account, head.slot, "every one of its versions")


async def take_session(
    store: DocumentStore, session: OpenSession, holder: str, header: Header, entropy: Entropy
) -> OpenSession:
    """Become the one who may append. Raises StoreConflict when the session has moved on since it was read.

    `header` says which local file the chain goes on from: a file of any other incarnation is out of date from now on.
    """
    head = session.head.taken_by(holder)
    taken = replace(session, head=head)
    marked = replace(header, holder=holder, epoch=head.epoch)
    link = sealed_link(taken, SegmentKind.TAKEN, marked, b"", entropy)
    versions = await store.commit([link, head.write()])
    return replace(
        taken, head=replace(head, version=versions[1]), sequence=session.sequence + 1, tail=marked, damage=None
    )


def sealed_link(session: OpenSession, kind: SegmentKind, header: Header, data: bytes, entropy: Entropy) -> Create:
    """The next segment of a session's chain, to be committed."""
    return payload_link(session, kind, pack(header, data), entropy)


def payload_link(session: OpenSession, kind: SegmentKind, payload: bytes, entropy: Entropy) -> Create:
    head, sequence = session.head, session.sequence + 1
    sealed = session.seal.seal_segment(payload, entropy(NONCE_BYTES), sequence=sequence, epoch=head.epoch, kind=kind)
    return session_docs.new_segment(head.account, head.slot, Segment(sequence, head.epoch, kind, sealed))


def opened_link(session: OpenSession, segment: Segment) -> Header:
    """What a segment of this session says. Raises SessionRefused."""
    return _open_link(session.seal, session.head, segment)[0]


async def write_snapshot(
    store: DocumentStore, session: OpenSession, captured: Captured, sequence: int, entropy: Entropy, saved_at: datetime
) -> SavedVersion:
    """Write the chunks of a new snapshot. It is nothing yet: it becomes a version when the head names it."""
    head, seal = session.head, session.seal
    payload = pack(Header(captured.incarnation, captured.mark), captured.data)
    size_max = CHUNK_SEALED_BYTES_MAX - SEALED_EXTRA_BYTES
    pieces = [payload[start : start + size_max] for start in range(0, len(payload), size_max)]
    chunks = len(pieces)

    def sealed_chunk(version: int, chunk: int) -> Create:
        sealed = seal.seal_chunk(
            pieces[chunk], entropy(NONCE_BYTES), sequence=sequence, version=version, chunk=chunk, chunks=chunks
        )
        return session_docs.new_chunk(
            head.account, head.slot, sealed, version=version, chunk=chunk, chunks=chunks, sequence=sequence
        )

    version = await _reserve_version(store, head, lambda version: sealed_chunk(version, 0))
    for start in range(1, chunks, CHUNKS_PAGE):
        rest = range(start, min(start + CHUNKS_PAGE, chunks))
        await store.commit([sealed_chunk(version, chunk) for chunk in rest])
    return SavedVersion(version, sequence, chunks, len(payload) + chunks * SEALED_EXTRA_BYTES, saved_at)


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
        sequence=_sequence_of_tail(newest, head.account, head.slot),
        versions=head.versions,
        bytes=sum(saved.bytes for saved in head.versions),
        saved_at=head.versions[-1].saved_at if head.versions else None,
    )


async def _unwrapped(keys: KeyWrapper, head: Head) -> tuple[Seal, bool]:
    try:
        unwrapped = await keys.unwrap(head.wrapped_key, key_context(head.account, head.slot))
    except KeyRefused as error:
        raise _key_refused(head.account, head.slot) from error
    if len(unwrapped.key) != KEY_BYTES:
        raise _key_refused(head.account, head.slot)
    return Seal(unwrapped.key, head.account, head.slot), unwrapped.current


async def _reserve_version(store: DocumentStore, head: Head, first_chunk: Callable[[int], Create]) -> int:
    """Write the first chunk under a version number that nobody has used."""
    number = head.versions[-1].version + 1 if head.versions else 1
    for version in range(number, number + _VERSION_TRIES_MAX):
        try:
            await store.commit([first_chunk(version)])
        except StoreConflict:
            continue
        return version
    raise StoreConflict(f"no free version number after {number}")


async def _read_snapshot(store: DocumentStore, session: OpenSession, saved: SavedVersion) -> tuple[Header, bytes]:
    head = session.head
    payload = b""
    for start in range(0, saved.chunks, CHUNKS_PAGE):
        wanted = range(start, min(start + CHUNKS_PAGE, saved.chunks))
        paths = [session_docs.chunk_path(head.account, head.slot, saved.version, chunk) for chunk in wanted]
        for chunk, document in zip(wanted, await asyncio.gather(*map(store.get, paths)), strict=True):
            name = f"chunk {chunk} of version {saved.version}"
            if document is None:
                _refuse_gap(head.account, head.slot, name)
            try:
                payload += session.seal.open_chunk(
                    session_docs.sealed_of(document),
                    sequence=saved.sequence,
                    version=saved.version,
                    chunk=chunk,
                    chunks=saved.chunks,
                )
            except (SealBroken, Malformed):
                _refuse_broken(head.account, head.slot, name)
    if not payload:
        _refuse_gap(head.account, head.slot, f"version {saved.version}")
    return unpack(payload)


async def _read_links(
    store: DocumentStore,
    session: OpenSession,
    policy: RestorePolicy,
    saved: SavedVersion,
    header: Header,
    snapshot: bytes,
    broken: frozenset[int],
) -> Restored:
    """The segments after a snapshot, up to the end, or (FALLBACK) up to the first that is missing or broken."""
    head = session.head
    changes: list[bytes] = []
    growth = Growth()
    epoch, sequence, tail = head.epoch, saved.sequence, session.sequence
    read_to = saved.sequence
    whole = True
    while whole and (documents := await store.query(session_docs.segments_after(head.account, head.slot, read_to))):
        for document in documents:
            try:
                segment = _next_segment(head, document, sequence + 1)
                header, data = _open_link(session.seal, head, segment)
                if segment.kind is SegmentKind.WHOLE:
                    _refuse_gap(head.account, head.slot, f"the version that was saved as step {segment.sequence}")
            except SessionRefused:
                if policy is RestorePolicy.REFUSE:
                    raise
                whole = False
                break
            sequence, epoch = segment.sequence, segment.epoch
            growth = growth.plus(len(segment.sealed))
            if segment.kind is SegmentKind.ROWS:
                changes.append(data)
        read_to = sequence
    tail = max(tail, sequence)
    if sequence < tail and policy is RestorePolicy.REFUSE:
        _refuse_gap(head.account, head.slot, f"segment {sequence + 1}")
    return Restored(
        snapshot=snapshot,
        changes=changes,
        sequence=sequence,
        epoch=epoch,
        header=header,
        version=saved.version,
        behind=tail - sequence,
        tail_sequence=tail,
        growth=growth,
        bytes=saved.bytes + growth.bytes,
        broken_versions=broken,
    )


def _next_segment(head: Head, document: Document, expected: int) -> Segment:
    try:
        segment = Segment.read(document)
    except Malformed:
        _refuse_broken(head.account, head.slot, f"segment {expected}")
    if segment.sequence != expected:
        _refuse_gap(head.account, head.slot, f"segment {expected}")
    return segment


def _open_link(seal: Seal, head: Head, segment: Segment) -> tuple[Header, bytes]:
    try:
        payload = seal.open_segment(segment.sealed, sequence=segment.sequence, epoch=segment.epoch, kind=segment.kind)
    except SealBroken:
        _refuse_broken(head.account, head.slot, f"segment {segment.sequence}")
    return unpack(payload)


def _sequence_of_tail(newest: Sequence[Document], account: str, slot: str) -> int:
    """Of the answer to the question for the newest segment; 0 when there is none."""
    try:
        return session_docs.sequence_of(newest[0]) if newest else 0
    except Malformed:
        _refuse_broken(account, slot, "the end of its chain")


def _broken(account: str, slot: str, what: str) -> SessionRefused:
    return SessionRefused(
        "session_seal_broken",
        f"The stored session of {account}, device {slot}, was changed or belongs elsewhere: {what} does not open.",
        "Find out who can write to the store. Bring it back from a backup, allow an older version, or link the device again.",
    )


def _gap(account: str, slot: str, what: str) -> SessionRefused:
    return SessionRefused(
        "session_gap",
        f"The stored session of {account}, device {slot}, is not whole: {what} is missing.",
        "Bring the store back from a backup, allow an older version, or link the device again.",
    )


def _key_refused(account: str, slot: str) -> SessionRefused:
    return SessionRefused(
        "session_key_refused",
        f"The key of the stored session of {account}, device {slot}, cannot be wrapped or unwrapped.",
        "Give the connector the key file or the Cloud KMS key that the session is saved with, and the right to use it.",
    )


def invalid(account: str, slot: str) -> SessionRefused:
    """The refusal of a session that opens, and is no usable store."""
    return SessionRefused(
        "session_invalid",
        f"The stored session of {account}, device {slot}, opens but is not a usable store of a linked device.",
        "Allow an older version, or link the device again.",
    )


def _refuse_broken(account: str, slot: str, what: str) -> NoReturn:
    raise _broken(account, slot, what)


def _refuse_gap(account: str, slot: str, what: str) -> NoReturn:
    raise _gap(account, slot, what)


def _refuse_rolled_back(account: str, slot: str, sequence: int, acknowledged: int) -> NoReturn:
    raise SessionRefused(
        "session_rolled_back",
        f"The stored session of {account}, device {slot}, ends at step {sequence}, but step {acknowledged} was acknowledged.",
        "An older state was put in its place. Bring the newer one back, or link the device again.",
    )
