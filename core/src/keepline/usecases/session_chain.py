"""The chain of a stored session: reading its ends and its whole, taking it, and what is appended to it.

The chain is the lock as well: whoever opens a session appends a segment that says so, and an earlier holder's next one collides
with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from keepline.domain import session_refusals as refusals
from keepline.domain.compaction import (
    Growth,
    RestorePolicy,
    SavedVersion,
)
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
from keepline.domain.session_refusals import SessionRefused
from keepline.ports.documents import Create, Document, DocumentStore, StoreConflict, Write
from keepline.ports.keys import KeyRefused, KeyWrapper
from keepline.ports.session_file import Captured
from keepline.records import session_docs
from keepline.records.session_docs import CHUNK_SEALED_BYTES_MAX, CHUNKS_PAGE, Head, Malformed, Segment

Entropy = Callable[[int], bytes]

# Each number that is taken already was reserved by somebody who died before the snapshot was finished.
_VERSION_TRIES_MAX = 50


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


async def create_session(
    store: DocumentStore, keys: KeyWrapper, entropy: Entropy, *, tenant: str, account: str, slot: str, holder: str
) -> OpenSession:
    """The beginning of a session that holds nothing yet, taken by `holder`. Raises StoreConflict when somebody was first."""
    key = entropy(KEY_BYTES)
    try:
        wrapped = await keys.wrap(key, key_context(account, slot))
    except KeyRefused as error:
        raise refusals.key_refused(account, slot) from error
    # What a deletion may have left behind was sealed under another key and is never read: the chain begins after it.
    leftover = await store.query(session_docs.newest_segment(account, slot))
    sequence = sequence_of_tail(leftover, account, slot)
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
            raise refusals.rolled_back(account, slot, 0, acknowledged)
        return None
    try:
        head = Head.read(document)
    except Malformed:
        raise refusals.seal_broken(account, slot, "its first document") from None
    if (head.account, head.slot) != (account, slot):
        raise refusals.seal_broken(account, slot, "its first document")
    newest = await store.query(session_docs.newest_segment(account, slot))
    sequence = sequence_of_tail(newest, account, slot)
    if sequence < acknowledged:
        raise refusals.rolled_back(account, slot, sequence, acknowledged)
    seal, current = await _unwrapped(keys, head)
    tail, damage = None, None
    try:
        if not newest or (head.versions and head.versions[-1].sequence > sequence):
            raise refusals.gap(account, slot, "the end of its chain")
        tail, _ = _open_link(seal, head, Segment.read(newest[0]))
    except Malformed:
        damage = refusals.seal_broken(account, slot, f"segment {sequence}")
    except SessionRefused as error:
        damage = error
    if damage is None and not head.versions and tail is not None and tail.incarnation is not None:
        damage = refusals.gap(account, slot, "every one of its versions")
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
    raise failure or refusals.gap(head.account, head.slot, "every one of its versions")


async def take_session(
    store: DocumentStore,
    session: OpenSession,
    holder: str,
    header: Header,
    entropy: Entropy,
    writes: Sequence[Write] = (),
) -> OpenSession:
    """Become the one who may append. Raises StoreConflict when the session has moved on since it was read.

    `writes` become durable in the same instant.

    `header` says which local file the chain goes on from: a file of any other incarnation is out of date from now on.
    """
    head = session.head.taken_by(holder)
    taken = replace(session, head=head)
    marked = replace(header, holder=holder, epoch=head.epoch)
    link = sealed_link(taken, SegmentKind.TAKEN, marked, b"", entropy)
    versions = await store.commit([link, head.write(), *writes])
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


async def _unwrapped(keys: KeyWrapper, head: Head) -> tuple[Seal, bool]:
    try:
        unwrapped = await keys.unwrap(head.wrapped_key, key_context(head.account, head.slot))
    except KeyRefused as error:
        raise refusals.key_refused(head.account, head.slot) from error
    if len(unwrapped.key) != KEY_BYTES:
        raise refusals.key_refused(head.account, head.slot)
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
                raise refusals.gap(head.account, head.slot, name)
            try:
                payload += session.seal.open_chunk(
                    session_docs.sealed_of(document),
                    sequence=saved.sequence,
                    version=saved.version,
                    chunk=chunk,
                    chunks=saved.chunks,
                )
            except (SealBroken, Malformed):
                raise refusals.seal_broken(head.account, head.slot, name) from None
    if not payload:
        raise refusals.gap(head.account, head.slot, f"version {saved.version}")
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
    whole, more = True, True
    while whole and more:
        documents = await store.query(session_docs.segments_after(head.account, head.slot, read_to))
        more = len(documents) == session_docs.SEGMENTS_PAGE
        for document in documents:
            try:
                segment = _next_segment(head, document, sequence + 1)
                header, data = _open_link(session.seal, head, segment)
                if segment.kind is SegmentKind.WHOLE:
                    raise refusals.gap(
                        head.account, head.slot, f"the version that was saved as step {segment.sequence}"
                    )
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
        raise refusals.gap(head.account, head.slot, f"segment {sequence + 1}")
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
        raise refusals.seal_broken(head.account, head.slot, f"segment {expected}") from None
    if segment.sequence != expected:
        raise refusals.gap(head.account, head.slot, f"segment {expected}")
    return segment


def _open_link(seal: Seal, head: Head, segment: Segment) -> tuple[Header, bytes]:
    try:
        payload = seal.open_segment(segment.sealed, sequence=segment.sequence, epoch=segment.epoch, kind=segment.kind)
    except SealBroken:
        raise refusals.seal_broken(head.account, head.slot, f"segment {segment.sequence}") from None
    return unpack(payload)


def sequence_of_tail(newest: Sequence[Document], account: str, slot: str) -> int:
    """Of the answer to the question for the newest segment; 0 when there is none."""
    try:
        return session_docs.sequence_of(newest[0]) if newest else 0
    except Malformed:
        raise refusals.seal_broken(account, slot, "the end of its chain") from None
