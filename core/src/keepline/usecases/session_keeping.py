"""Keeping the session of one running device: what changes in its local store is made durable before anybody relies on it.

One `SessionKeeper` per device. Its lock makes it the only writer of its chain in this process; the chain itself fences other
processes. A commit whose answer was lost may have been applied: the next one then finds its own segment at the place where it
wanted to append (only one holder ever has an epoch), and goes on after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NoReturn

from keepline.domain import session_refusals as refusals
from keepline.domain.compaction import Growth, RestorePolicy, SavedVersion, is_outdated, with_version
from keepline.domain.sealing import SEALED_EXTRA_BYTES, Header, SegmentKind, key_context, pack
from keepline.domain.session_refusals import SessionRefused
from keepline.ports.clock import Clock
from keepline.ports.documents import (
    COMMIT_WRITES_MAX,
    DocumentStore,
    StoreConflict,
    StoreUnavailable,
    Version,
    Write,
)
from keepline.ports.keys import KeyRefused, KeyUnavailable, KeyWrapper
from keepline.ports.session_file import (
    Captured,
    Position,
    SessionFile,
    SessionFileInvalid,
    SessionFileUnavailable,
)
from keepline.records import session_docs
from keepline.records.session_docs import SEGMENT_SEALED_BYTES_MAX, Head, Malformed, Segment
from keepline.usecases.session_chain import (
    Entropy,
    OpenSession,
    Restored,
    create_session,
    is_empty,
    open_session,
    opened_link,
    payload_link,
    read_chain,
    take_session,
    write_snapshot,
)
from keepline.usecases.session_store import delete_outdated, save_session

__all__ = ["Opened", "SessionKeeper", "SessionLost", "SessionRefused", "Step"]

# Something happened on the device: what belongs together comes within a second, and goes into one segment.
FLUSH_DELAY_S = 1.0
# What nobody told us of, such as new pre-keys, is found by looking.
SWEEP_EVERY_S = 60.0
PRUNE_EVERY_S = 3_600.0
MESSAGE_SECRETS_KEPT_S = 30 * 86_400.0
# A conflict means that somebody was first, or that an answer of ours was lost; more in a row than this is a quarrel.
_TRIES_MAX = 5
_RETRY_MIN_S = 1.0
_RETRY_MAX_S = 60.0

log = logging.getLogger(__name__)


class SessionLost(Exception):
    """Another process has opened this session: whoever gets this holds it no more, and must fall silent at once."""


@dataclass(frozen=True)
class Step:
    """How far a session is durable: the newest of its chain, and which life of the local file that describes ("": none yet)."""

    sequence: int
    incarnation: str


@dataclass(frozen=True)
class Opened:
    """How a session was opened. `behind`: how many steps of it were lost (FALLBACK only); `bytes`: how much was restored."""

    kind: Literal["new", "local", "restored"]
    sequence: int
    version: int | None = None
    behind: int = 0
    bytes: int = 0
    seconds: float = 0.0


class SessionKeeper:
    """The session of one device, from being opened to being lost. `tenant` owns the account; `holder` names this process."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        keys: KeyWrapper,
        file: SessionFile,
        entropy: Entropy,
        *,
        account: str,
        tenant: str,
        slot: str,
        holder: str,
        policy: RestorePolicy,
    ) -> None:
        self._store = store
        self._clock = clock
        self._keys = keys
        self._file = file
        self._entropy = entropy
        self._account = account
        self._tenant = tenant
        self._slot = slot
        self._holder = holder
        self._policy = policy
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._session: OpenSession | None = None
        self._lost = False
        self._growth = Growth()
        # The life of the local file that an unfinished `open` began, and how.
        self._rebuilt: tuple[str, Opened] | None = None
        # What a crash left undone is looked for once.
        self._outdated = True

    @property
    def is_open(self) -> bool:
        return self._session is not None

    @property
    def step(self) -> Step:
        """The newest durable step of the session; 0 before the first."""
        if self._session is None:
            return Step(0, "")
        tail = self._session.tail
        return Step(self._session.sequence, (tail.incarnation or "") if tail is not None else "")

    async def open(
        self, acknowledged: int, doubted_chats: Collection[str], *, restoring: Sequence[Write] = ()
    ) -> Opened:
        """Take the session, and make the local file the newest state of it.

        `acknowledged` is the sequence that the caller's documents know to be durable; messages to `doubted_chats` may have left
        after the newest stored state. If the local file had to be rebuilt, `restoring` is written before anybody uses it.
        Raises SessionRefused; and StoreUnavailable and KeyUnavailable: then try again.
        """
        async with self._lock:
            began_s = self._clock.monotonic_s()
            for _ in range(_TRIES_MAX):
                with contextlib.suppress(StoreConflict, _TryAgain):
                    with _as_unavailable():
                        opened = await self._open(acknowledged, doubted_chats, restoring)
                    self._rebuilt = None
                    return replace(opened, sequence=self.step.sequence, seconds=self._clock.monotonic_s() - began_s)
            raise StoreUnavailable(f"somebody else keeps writing the session of {self._account}, device {self._slot}")

    async def commit(
        self, writes: Sequence[Write], *, acknowledging: Callable[[Step], Write] | None = None
    ) -> list[Version]:
        """Commit `writes` together with what has changed in the local store, and return their versions.

        `acknowledging` makes one more write (the last version returned) from the step that the session is at after this commit.
        Raises StoreConflict when a precondition of the writes failed, StoreUnavailable when it is not known whether they were
        applied, SessionLost, and ValueError for more writes than one commit holds.
        """
        if len(writes) + 2 > COMMIT_WRITES_MAX:
            raise ValueError(f"{len(writes)} writes, a segment and an acknowledgement are more than one commit holds")
        async with self._lock:
            with _as_unavailable():
                return await self._commit(writes, acknowledging)

    async def flush(self) -> None:
        """Make durable what has changed in the local store. Raises StoreUnavailable and SessionLost."""
        await self.commit(())

    async def check(self) -> None:
        """Look whether the session is still held here. Raises SessionLost, and StoreUnavailable when that cannot be known."""
        async with self._lock:
            await self._read_own_head(self._held())

    def poke(self) -> None:
        """Something happened on the device: `run` flushes soon."""
        self._wake.set()

    async def run(self) -> None:
        """Flush, compact and tidy until cancelled. Raises SessionLost."""
        prune_at_s = self._clock.monotonic_s() + SWEEP_EVERY_S
        retry_s = _RETRY_MIN_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_EVERY_S):
                    await self._wake.wait()
                    await asyncio.sleep(FLUSH_DELAY_S)
            self._wake.clear()
            try:
                with _as_unavailable():
                    if self._clock.monotonic_s() >= prune_at_s:
                        await self._file.prune(MESSAGE_SECRETS_KEPT_S)
                        prune_at_s = self._clock.monotonic_s() + PRUNE_EVERY_S
                    await self.flush()
                    await self._compact()
            except (StoreUnavailable, StoreConflict) as error:
                if retry_s == _RETRY_MIN_S:
                    log.warning("changes of the session of %s are not durable yet: %s", self._account, error)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _RETRY_MAX_S)
                self._wake.set()
            else:
                if retry_s > _RETRY_MIN_S:
                    log.info("the session of %s is durable again", self._account)
                retry_s = _RETRY_MIN_S

    # Opening

    async def _open(self, acknowledged: int, doubted_chats: Collection[str], restoring: Sequence[Write]) -> Opened:
        session = await open_session(
            self._store,
            self._keys,
            self._account,
            self._slot,
            acknowledged=acknowledged,
            policy=self._policy,
        )
        position = await self._file.position()
        if session is None or is_empty(session):
            return await self._begin(session)
        tail = session.tail
        if (
            position is not None
            # Without a device in it the phone has removed it; the restored one is told so when it logs in, and tells.
            and position.linked
            and tail is not None
            and position.incarnation == tail.incarnation
            and position.mark >= tail.mark
        ):
            return await self._go_on(session, tail)
        return await self._restore(session, doubted_chats, restoring)

    async def _begin(self, session: OpenSession | None) -> Opened:
        """Nothing of the device was ever saved: what the local file has is all there is."""
        if session is None:
            session = await create_session(
                self._store,
                self._keys,
                self._entropy,
                tenant=self._tenant,
                account=self._account,
                slot=self._slot,
                holder=self._holder,
            )
        else:
            session = await self._take(session, Header(None, 0))
        self._hold(session, Growth())
        if captured := await self._file.snapshot():
            await self._save_whole(captured)
        return Opened("new", self.step.sequence)

    async def _go_on(self, session: OpenSession, tail: Header) -> Opened:
        """The local file is as new as the chain, or newer."""
        segments = session.sequence - session.head.versions[-1].sequence
        taken = await self._take(session, Header(tail.incarnation, tail.mark))
        # How big those segments are is not worth reading them all: their number bounds it.
        self._hold(taken, Growth(segments + 1))
        if tail.mark:
            await self._file.confirm(tail.mark)
        self.poke()
        if self._rebuilt is not None and self._rebuilt[0] == tail.incarnation:
            return self._rebuilt[1]  # Taking it had succeeded, but for the answer.
        return Opened("local", self.step.sequence)

    async def _restore(
        self, session: OpenSession, doubted_chats: Collection[str], restoring: Sequence[Write]
    ) -> Opened:
        """Rebuild the local file first: a session that turns out to be unusable is left as it was, to whoever holds it."""
        restored, position = await self._rebuild(session, doubted_chats)
        opened = Opened("restored", 0, restored.version, restored.behind, restored.bytes)
        self._rebuilt = (position.incarnation, opened)
        session = replace(session, sequence=restored.tail_sequence)
        growth = restored.growth.plus(0)
        if session.damage is not None or restored.behind or restored.broken_versions:
            # Nobody could read past the damage again, so the chain goes on from a new version.
            captured = await self._file.snapshot()
            if captured is None:
                raise refusals.invalid(self._account, self._slot)
            saved = await write_snapshot(
                self._store, session, captured, session.sequence + 1, self._entropy, self._clock.now()
            )
            versions = with_version(session.head.versions, saved, restored.broken_versions)
            session = replace(session, head=replace(session.head, versions=versions))
            self._hold(await self._take(session, Header(captured.incarnation, captured.mark), restoring), Growth())
            await self._file.confirm(captured.mark)
        else:
            # The file is exactly what the chain has, less what was forgotten; that is a change, flushed at once.
            self._hold(await self._take(session, Header(position.incarnation, 0), restoring), growth)
            await self._commit((), None)
        return opened

    async def _rebuild(self, session: OpenSession, doubted_chats: Collection[str]) -> tuple[Restored, Position]:
        unusable: set[int] = set()
        failure: SessionRefused | None = None
        while True:
            try:
                restored = await read_chain(self._store, session, self._policy, unusable)
            except SessionRefused as error:
                raise (failure or error) from None
            try:
                return restored, await self._file.rebuild(restored.snapshot, restored.changes, doubted_chats)
            except SessionFileInvalid as error:
                failure = refusals.invalid(self._account, self._slot)
                if self._policy is RestorePolicy.REFUSE:
                    raise failure from error
                unusable.add(restored.version)  # at most three times: there are no more versions

    async def _take(self, session: OpenSession, header: Header, writes: Sequence[Write] = ()) -> OpenSession:
        if not session.key_is_current:
            session = await self._wrapped_anew(session)
        return await take_session(self._store, session, self._holder, header, self._entropy, writes)

    async def _wrapped_anew(self, session: OpenSession) -> OpenSession:
        """The wrapping keys were rotated since the data key was wrapped."""
        head = session.head
        context = key_context(self._account, self._slot)
        try:
            unwrapped = await self._keys.unwrap(head.wrapped_key, context)
            wrapped = await self._keys.wrap(unwrapped.key, context)
        except (KeyRefused, KeyUnavailable) as error:
            # The old wrapping does for now, and the next opening tries again.
            log.warning("the key of %s, device %s, was not wrapped anew: %s", self._account, self._slot, error)
            return session
        return replace(session, head=replace(head, wrapped_key=wrapped))

    def _hold(self, session: OpenSession, growth: Growth) -> None:
        self._session, self._growth, self._lost, self._outdated = session, growth, False, True

    def _held(self) -> OpenSession:
        if self._lost:
            raise SessionLost(self._account)
        if self._session is None:
            raise RuntimeError("the session was not opened")
        return self._session

    # Appending

    async def _commit(self, writes: Sequence[Write], acknowledging: Callable[[Step], Write] | None) -> list[Version]:
        for _ in range(_TRIES_MAX):
            try:
                return await self._try_commit(writes, acknowledging)
            except _TryAgain:
                continue
        raise StoreUnavailable(f"the session of {self._account}, device {self._slot}, could not be appended to")

    async def _try_commit(
        self, writes: Sequence[Write], acknowledging: Callable[[Step], Write] | None
    ) -> list[Version]:
        session = self._held()
        captured = await self._file.capture()
        payload = b""
        if captured is not None:
            payload = pack(Header(captured.incarnation, captured.mark), captured.data)
            if captured.whole or is_empty(session) or len(payload) + SEALED_EXTRA_BYTES > SEGMENT_SEALED_BYTES_MAX:
                await self._save_whole(captured if captured.whole else await self._file.snapshot())
                captured = None
        if captured is None:
            return await self._commit_plainly(writes, acknowledging)
        link = payload_link(session, SegmentKind.ROWS, payload, self._entropy)
        sequence = session.sequence + 1
        extra = () if acknowledging is None else (acknowledging(Step(sequence, captured.incarnation)),)
        try:
            versions = await self._store.commit([link, *writes, *extra])
        except StoreConflict:
            await self._look_at_conflict(session, captured)
            raise
        self._session = replace(session, sequence=sequence)
        self._grow(len(payload) + SEALED_EXTRA_BYTES)
        await self._file.confirm(captured.mark)
        return versions[1:]

    async def _commit_plainly(
        self, writes: Sequence[Write], acknowledging: Callable[[Step], Write] | None
    ) -> list[Version]:
        """Nothing has changed in the local store, so there is nothing that these writes would have to wait for."""
        extra = () if acknowledging is None else (acknowledging(self.step),)
        return await self._store.commit([*writes, *extra]) if writes or extra else []

    async def _save_whole(self, captured: Captured | None) -> None:
        """Save a new version where a segment will not do. Raises as `_try_commit`."""
        if captured is None:
            return
        session = self._held()
        try:
            self._session = await save_session(self._store, session, captured, self._entropy, self._clock.now())
        except StoreConflict:
            await self._look_at_conflict(session, captured)
            # The chain is as we know it, so it is the head that is not: by an answer of ours that was lost, or by another.
            self._session = replace(session, head=await self._read_own_head(session))
            raise _TryAgain from None
        self._growth = Growth()
        self._outdated = True
        await self._file.confirm(captured.mark)

    async def _look_at_conflict(self, session: OpenSession, captured: Captured) -> None:
        """Return if the chain had no part in it; else raise _TryAgain (the segment there is ours) or SessionLost."""
        sequence = session.sequence + 1
        document = await self._store.get(session_docs.segment_path(self._account, self._slot, sequence))
        if document is None:
            return
        try:
            segment = Segment.read(document)
            header = opened_link(session, segment)
        except (Malformed, SessionRefused):
            self._lose()
        # Marks mean nothing to a file of another incarnation: somebody has rebuilt it under us.
        if segment.epoch != session.head.epoch or header.incarnation != captured.incarnation:
            self._lose()
        if segment.kind is SegmentKind.WHOLE:
            session = replace(session, head=await self._read_own_head(session))
            self._growth = Growth()
        self._session = replace(session, sequence=sequence)
        self._grow(len(segment.sealed))
        await self._file.confirm(header.mark)
        raise _TryAgain

    async def _read_own_head(self, session: OpenSession) -> Head:
        document = await self._store.get(session_docs.head_path(self._account, self._slot))
        try:
            head = Head.read(document) if document is not None else None
        except Malformed:
            head = None
        if head is None or (head.epoch, head.wrapped_key) != (session.head.epoch, session.head.wrapped_key):
            self._lose()
        return head

    def _lose(self) -> NoReturn:
        self._lost = True
        raise SessionLost(self._account)

    def _grow(self, sealed_bytes: int) -> None:
        self._growth = self._growth.plus(sealed_bytes)
        if self._growth.needs_compaction():
            self._wake.set()

    # Compacting

    async def _compact(self) -> None:
        """Save a new version if it is time, and delete what is not needed any more."""
        if self._growth.needs_compaction():
            async with self._lock:
                session, growth = self._held(), self._growth
                captured = await self._file.snapshot()
            if captured is not None:
                # Commits go on meanwhile. What the snapshot has of them already does no harm: they bring it again.
                saved = await write_snapshot(
                    self._store, session, captured, session.sequence, self._entropy, self._clock.now()
                )
                async with self._lock:
                    # First the chain must have come as far as the snapshot: a local file that fell behind it (power went, and its
                    # last pages with it) would be taken for up to date otherwise.
                    await self._commit((), None)
                    await self._name(saved, growth)
        if self._outdated:
            await delete_outdated(self._store, self._held().head)
            self._outdated = False

    async def _name(self, saved: SavedVersion, growth: Growth) -> None:
        """Make a snapshot a version, unless a newer one was saved meanwhile."""
        for _ in range(_TRIES_MAX):
            session = self._held()
            if is_outdated(session.head.versions, saved.sequence):
                return
            head = replace(session.head, versions=with_version(session.head.versions, saved))
            try:
                [version] = await self._store.commit([head.write()])
            except StoreConflict:
                self._session = replace(session, head=await self._read_own_head(session))
            else:
                self._session = replace(session, head=replace(head, version=version))
                self._growth = self._growth.since(growth)
                self._outdated = True
                return


@contextlib.contextmanager
def _as_unavailable() -> Iterator[None]:
    """To those who wait for something to become durable it is one whether Firestore or the disk is in the way."""
    try:
        yield
    except SessionFileUnavailable as error:
        raise StoreUnavailable(f"the local store of a device: {error}") from error


class _TryAgain(Exception):
    """An earlier append of ours was applied although its answer was lost: our view is right again now."""
