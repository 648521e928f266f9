"""Laws of the stored session: what was changed, moved or taken away is refused, and no crash loses what was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepline.domain.compaction import RestorePolicy
from keepline.ports.documents import Delete, Document, Put, Query, StoreUnavailable, Update
from keepline.ports.session_file import Position
from keepline.records import session_docs
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.session_file import FakeSessionDisk, MemorySessionFile
from keepline.testing.severed import SeveredDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.usecases.session_keeping import Opened, SessionKeeper, SessionLost
from keepline.usecases.session_store import Restored, SessionRefused, restore_session

ACCOUNT = "demo_s1"
CHAT = "14155550123@s.whatsapp.net"
RATCHET = f"ratchet:{CHAT}"
BOTH = pytest.mark.parametrize("policy", list(RestorePolicy))

Rows = Mapping[str, bytes]


class Stored:
    """A session with three versions, a WHOLE link, a hand-over and changes between and after them; and every state it was in."""

    def __init__(self, seed: int = 1) -> None:
        self.random = Random(seed)  # gives the data key, too
        self.clock = LoopClock()
        self.store = MemoryDocuments(self.clock)
        self.keys = MemoryKeys()
        self.disk = FakeSessionDisk()
        self.states: dict[int, dict[str, bytes]] = {}

    async def fill(self, account: str = ACCOUNT, slot: str = "a") -> Stored:
        self.disk.linked = True
        keeper = await self.opened(account, slot, "connector-1")
        for _ in range(3):
            await self.change(keeper)
        await self.save_version(keeper)
        for _ in range(3):
            await self.change(keeper)
        keeper = await self.opened(account, slot, "connector-2", acknowledged=keeper.step.sequence)
        await self.change(keeper)
        await self.save_version(keeper)
        for _ in range(3):
            await self.change(keeper)
        self.sequence = keeper.step.sequence
        return self

    async def opened(self, account: str, slot: str, holder: str, acknowledged: int = 0) -> SessionKeeper:
        keeper = self.keeper(account, slot, holder)
        await keeper.open(acknowledged, ())
        self.states[keeper.step.sequence] = dict(self.disk.rows)
        return keeper

    def keeper(
        self, account: str, slot: str, holder: str, policy: RestorePolicy = RestorePolicy.REFUSE
    ) -> SessionKeeper:
        return SessionKeeper(
            self.store,
            self.clock,
            self.keys,
            MemorySessionFile(self.disk),
            self.random.randbytes,
            account=account,
            tenant="demo",
            slot=slot,
            holder=holder,
            policy=policy,
        )

    async def change(self, keeper: SessionKeeper) -> None:
        self.disk.put(f"row {self.random.randrange(9)}", self.random.randbytes(8))
        self.disk.put("step", str(keeper.step.sequence).encode())
        await keeper.flush()
        self.states[keeper.step.sequence] = dict(self.disk.rows)

    async def save_version(self, keeper: SessionKeeper) -> None:
        """As if compaction were due."""
        keeper._growth = keeper._growth.__class__(10_000, 0)
        await keeper._compact()

    async def restore(self, policy: RestorePolicy = RestorePolicy.REFUSE, acknowledged: int = 0) -> Restored:
        restored = await restore_session(self.store, self.keys, ACCOUNT, "a", acknowledged=acknowledged, policy=policy)
        assert restored is not None
        return restored

    async def documents(self) -> dict[str, Document]:
        found: list[Document] = []
        for collection in (session_docs.SESSIONS, session_docs.SEGMENTS, session_docs.SNAPSHOTS):
            found += await self.store.query(Query(collection, limit=1_000, group=True))
        return {document.path: document for document in found}

    async def needed(self) -> list[str]:
        """The documents that a restore reads."""
        documents = await self.documents()
        newest = documents[session_docs.head_path(ACCOUNT, "a")].fields["versions"][-1]
        return [
            path
            for path, document in documents.items()
            if document.fields.get("version") == newest["version"]
            or ("/segments/" in path and document.fields["sequence"] > newest["sequence"])
        ]


async def rows_of(restored: Restored) -> Rows:
    disk = FakeSessionDisk()
    position = await MemorySessionFile(disk).rebuild(restored.snapshot, restored.changes, ())
    assert isinstance(position, Position)
    return disk.rows


def story(tell: Callable[[Stored], Coroutine[Any, Any, None]]) -> None:
    """Tell it of a filled session, in virtual time."""

    async def main() -> None:
        await tell(await Stored().fill())

    run_virtual(main())


def flipped(blob: bytes, bit: int) -> bytes:
    changed = bytearray(blob)
    changed[bit // 8 % len(blob)] ^= 1 << bit % 8
    return bytes(changed)


def test_the_session_that_the_laws_are_tried_on_is_whole_and_has_everything() -> None:
    async def tell(stored: Stored) -> None:
        restored = await stored.restore(acknowledged=stored.sequence)
        assert await rows_of(restored) == stored.states[stored.sequence] == stored.disk.rows
        kinds = {document.fields.get("kind") for document in (await stored.documents()).values()}
        assert {"rows", "taken", "whole"} < kinds
        head = await stored.store.get(session_docs.head_path(ACCOUNT, "a"))
        assert head is not None
        assert len(head.fields["versions"]) == 3
        assert len(restored.changes) == 3

    story(tell)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_flipped_bit_is_refused(data: st.DataObject) -> None:
    async def tell(stored: Stored) -> None:
        path = data.draw(st.sampled_from(sorted(await stored.needed())))
        document = (await stored.documents())[path]
        sealed = document.fields["sealed"]
        bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
        await stored.store.commit([Update(path, {"sealed": flipped(sealed, bit)})])
        with pytest.raises(SessionRefused) as refused:
            await stored.restore()
        assert refused.value.code == "session_seal_broken"

    story(tell)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 8 * 64))
def test_every_flipped_bit_of_the_wrapped_key_is_refused(bit: int) -> None:
    async def tell(stored: Stored) -> None:
        path = session_docs.head_path(ACCOUNT, "a")
        wrapped = (await stored.documents())[path].fields["wrapped_key"]
        await stored.store.commit([Update(path, {"wrapped_key": flipped(wrapped, bit)})])
        for policy in RestorePolicy:
            with pytest.raises(SessionRefused) as refused:
                await stored.restore(policy)
            assert refused.value.code == "session_key_refused"

    story(tell)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_cut_or_lengthened_blob_and_a_changed_field_are_refused(data: st.DataObject) -> None:
    async def tell(stored: Stored) -> None:
        path = data.draw(st.sampled_from(sorted(await stored.needed())))
        fields = (await stored.documents())[path].fields
        sealed = fields["sealed"]
        changes: list[dict[str, Any]] = [
            {"sealed": sealed[: data.draw(st.integers(0, len(sealed) - 1))]},
            {"sealed": sealed + b"\0"},
            {"sealed": "text"},
            {"sealed": None},
        ]
        if "kind" in fields:
            changes += [{"epoch": fields["epoch"] + 1}, {"epoch": "2"}, {"kind": "whole"}, {"kind": "other"}]
            changes += [{"sequence": 0}, {"sequence": fields["sequence"] + 100}]
        change = data.draw(st.sampled_from(changes))
        await stored.store.commit([Update(path, change)])
        with pytest.raises(SessionRefused):
            await stored.restore(acknowledged=stored.sequence)

    story(tell)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_segment_in_anothers_place_is_refused(data: st.DataObject) -> None:
    async def tell(stored: Stored) -> None:
        # Another device under the very same data key, or the same device with another key.
        account, slot, seed = data.draw(st.sampled_from([("demo_s2", "a", 1), (ACCOUNT, "b", 1), (ACCOUNT, "a", 2)]))
        other = await Stored(seed).fill(account, slot)
        theirs = [d for path, d in (await other.documents()).items() if "/segments/" in path]
        ours = [d for path, d in (await stored.documents()).items() if "/segments/" in path]
        needed = [document for document in ours if document.path in await stored.needed()]
        put = data.draw(st.sampled_from(theirs + ours))
        place = data.draw(st.sampled_from([document for document in needed if document != put]))
        moved = {**put.fields, "account": ACCOUNT, "slot": "a", "sequence": place.fields["sequence"]}
        await stored.store.commit([Put(place.path, moved)])
        with pytest.raises(SessionRefused) as refused:
            await stored.restore(acknowledged=stored.sequence)
        assert refused.value.code == "session_seal_broken"

    story(tell)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_snapshot_of_another_version_is_refused(data: st.DataObject) -> None:
    async def tell(stored: Stored) -> None:
        documents = await stored.documents()
        chunks = [document for path, document in documents.items() if "/snapshots/" in path]
        newest = max(chunks, key=lambda chunk: int(chunk.fields["version"]))
        older = data.draw(st.sampled_from([chunk for chunk in chunks if chunk != newest]))
        moved = {**older.fields, "version": newest.fields["version"], "sequence": newest.fields["sequence"]}
        await stored.store.commit([Put(newest.path, moved)])
        with pytest.raises(SessionRefused) as refused:
            await stored.restore()
        assert refused.value.code == "session_seal_broken"
        # Naming an older version as the newest one does not help either: links since are missing, or it says too little.
        head = documents[session_docs.head_path(ACCOUNT, "a")]
        versions = [dict(entry) for entry in head.fields["versions"]]
        versions[-1] = {**versions[0], "sequence": versions[-1]["sequence"]}
        await stored.store.commit([Update(head.path, {"versions": versions})])
        with pytest.raises(SessionRefused):
            await stored.restore()

    story(tell)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_chunks_that_changed_places_are_refused(data: st.DataObject) -> None:
    async def tell(stored: Stored) -> None:
        for n in range(3):
            stored.disk.put(f"big {n}", stored.random.randbytes(session_docs.CHUNK_SEALED_BYTES_MAX))
        keeper = await stored.opened(ACCOUNT, "a", "connector-3", stored.sequence)
        await keeper.flush()
        documents = await stored.documents()
        chunks = [path for path in await stored.needed() if "/snapshots/" in path]
        assert len(chunks) >= 3
        one, two = data.draw(st.lists(st.sampled_from(sorted(chunks)), min_size=2, max_size=2, unique=True))
        whole_swap = data.draw(st.booleans())
        sealed = documents[one].fields["sealed"], documents[two].fields["sealed"]
        writes = [Update(one, {"sealed": sealed[1]})]
        if whole_swap:
            writes.append(Update(two, {"sealed": sealed[0]}))
        await stored.store.commit(writes)
        with pytest.raises(SessionRefused) as refused:
            await stored.restore()
        assert refused.value.code == "session_seal_broken"

    story(tell)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_missing_document_is_a_gap(data: st.DataObject) -> None:
    async def tell(stored: Stored) -> None:
        last = session_docs.segment_path(ACCOUNT, "a", stored.sequence)
        path = data.draw(st.sampled_from(sorted(set(await stored.needed()) - {last})))
        await stored.store.commit([Delete(path)])
        with pytest.raises(SessionRefused) as refused:
            await stored.restore()
        assert refused.value.code == "session_gap"

    story(tell)


@BOTH
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_tail_older_than_what_was_acknowledged_is_refused_whatever_the_policy(
    policy: RestorePolicy, data: st.DataObject
) -> None:
    async def tell(stored: Stored) -> None:
        lost = data.draw(st.integers(1, stored.sequence))
        if data.draw(st.booleans()):
            await stored.store.commit(
                [Delete(session_docs.segment_path(ACCOUNT, "a", stored.sequence - n)) for n in range(lost)]
            )
        else:
            await stored.store.commit([Delete(session_docs.head_path(ACCOUNT, "a"))])
        with pytest.raises(SessionRefused) as refused:
            await stored.restore(policy, acknowledged=stored.sequence)
        assert refused.value.code == "session_rolled_back"
        # Nor does a keeper take it, be the local file as new as can be.
        with pytest.raises(SessionRefused) as refused:
            await stored.keeper(ACCOUNT, "a", "connector-3", policy).open(stored.sequence, ())
        assert refused.value.code == "session_rolled_back"

    story(tell)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_without_its_versions_a_session_is_a_gap_and_never_a_new_one(data: st.DataObject) -> None:
    async def tell(stored: Stored) -> None:
        head = (await stored.documents())[session_docs.head_path(ACCOUNT, "a")]
        kept = data.draw(st.integers(0, 2))
        await stored.store.commit([Update(head.path, {"versions": head.fields["versions"][:kept]})])
        policy = data.draw(st.sampled_from(list(RestorePolicy)))
        stored.disk.lose()
        keeper = stored.keeper(ACCOUNT, "a", "connector-3", policy)
        if kept == 0:
            with pytest.raises(SessionRefused) as refused:
                await keeper.open(0, ())
            assert refused.value.code == "session_gap"
        elif kept == 1:
            # What the second version was saved for is nowhere else.
            if policy is RestorePolicy.REFUSE:
                await keeper.open(0, ())
                assert stored.disk.rows == stored.states[stored.sequence]
        else:
            await keeper.open(0, ())
            assert stored.disk.rows == stored.states[stored.sequence]

    story(tell)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_with_the_fallback_a_broken_snapshot_costs_nothing_while_the_segments_are_whole(data: st.DataObject) -> None:
    async def tell(stored: Stored) -> None:
        chunks = sorted(path for path in await stored.documents() if "/snapshots/" in path)
        broken = chunks[-data.draw(st.integers(1, 2)) :]
        if data.draw(st.booleans()):
            await stored.store.commit([Update(path, {"sealed": b"broken"}) for path in broken])
        else:
            await stored.store.commit([Delete(path) for path in broken])
        restored = await stored.restore(RestorePolicy.FALLBACK, acknowledged=stored.sequence)
        assert restored.behind == 0
        assert restored.version == 3 - len(broken)
        assert await rows_of(restored) == stored.states[stored.sequence]
        await _goes_on(stored, 0, stored.states[stored.sequence])

    story(tell)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_with_the_fallback_a_broken_segment_ends_the_chain_there_and_the_way_back_is_told(data: st.DataObject) -> None:
    async def tell(stored: Stored) -> None:
        segments = sorted(path for path in await stored.needed() if "/segments/" in path)
        path = data.draw(st.sampled_from(segments))
        broken = int(path.rpartition("/")[2])
        gone = data.draw(st.booleans()) and broken < stored.sequence
        await stored.store.commit([Delete(path) if gone else Update(path, {"sealed": b"broken"})])
        restored = await stored.restore(RestorePolicy.FALLBACK)
        assert restored.behind == stored.sequence - broken + 1
        assert restored.sequence == broken - 1
        assert await rows_of(restored) == stored.states[broken - 1]
        await _goes_on(stored, restored.behind, stored.states[broken - 1])

    story(tell)


async def _goes_on(stored: Stored, behind: int, rows: Rows) -> None:
    """After a fallback the session works on, and what comes then needs no fallback any more."""
    stored.disk.lose()
    keeper = stored.keeper(ACCOUNT, "a", "connector-3", RestorePolicy.FALLBACK)
    opened = await keeper.open(stored.sequence, ())
    assert (opened.kind, opened.behind) == ("restored", behind)
    assert stored.disk.rows == rows
    await stored.change(keeper)
    restored = await stored.restore(RestorePolicy.REFUSE, acknowledged=keeper.step.sequence)
    assert await rows_of(restored) == stored.disk.rows


# Histories


class History:
    """Processes that come and go over one stored session, and what of it must still be there."""

    def __init__(self) -> None:
        self.random = Random(2)
        self.clock = LoopClock()
        self.store = MemoryDocuments(self.clock)
        self.keys = MemoryKeys()
        self.disk = FakeSessionDisk()
        self.disk.linked = True
        self.backup = self.disk.copy()
        self.acknowledged = 0
        # The newest state that was acknowledged, and those after it that may have been made durable.
        self.states: list[dict[str, bytes]] = [dict(self.disk.rows)]
        self.durable = (self.disk.incarnation, 0)  # the mark up to which the present file's changes were acknowledged
        self.stale: list[tuple[SessionKeeper, FakeSessionDisk]] = []
        self.left_disks: list[FakeSessionDisk] = []
        self.keeper: SessionKeeper | None = None
        self.number = 0

    async def open(self, doubted: bool) -> Opened:
        """A process starts; the one before, if it still runs, knows nothing of it."""
        if self.keeper is not None:
            self.stale.append((self.keeper, self.disk))
        self.severed = SeveredDocuments(self.store, self.random)
        self.number += 1
        keeper = SessionKeeper(
            self.severed,
            self.clock,
            self.keys,
            MemorySessionFile(self.disk),
            self.random.randbytes,
            account=ACCOUNT,
            tenant="demo",
            slot="a",
            holder=f"connector-{self.number}",
            policy=RestorePolicy.REFUSE,
        )
        before = dict(self.disk.rows)
        opened = await keeper.open(self.acknowledged, [CHAT] if doubted else [])
        if opened.kind == "restored":
            durable = [forgotten(state) if doubted else state for state in self.states]
            assert self.disk.rows in durable
            self.states, self.durable = [dict(self.disk.rows)], (self.disk.incarnation, 0)
        else:
            # What the device did since is not acknowledged yet, but it is not lost with its process either.
            assert self.disk.rows == before
            assert self.disk.incarnation == self.durable[0]
            assert self.disk.mark >= self.durable[1]
        self.keeper = keeper
        self.acknowledged = max(self.acknowledged, opened.sequence)
        return opened

    async def commit(self) -> None:
        assert self.keeper is not None
        self.states.append(dict(self.disk.rows))
        await self.keeper.commit([Put("things/one", {"n": self.number})])
        self.states, self.durable = [dict(self.disk.rows)], (self.disk.incarnation, self.disk.mark)
        self.acknowledged = self.keeper.step.sequence

    def leave_disk(self) -> None:
        """The process goes on elsewhere; this disk may come back."""
        if self.keeper is not None:
            self.stale.append((self.keeper, self.disk))
        self.left_disks.append(self.disk)
        self.keeper, self.disk = None, FakeSessionDisk()

    async def late_commit(self, which: int) -> None:
        """A process that was thought dead wakes up."""
        keeper, disk = self.stale[which % len(self.stale)]
        disk.put("late", self.random.randbytes(4))
        with pytest.raises(SessionLost):
            await keeper.commit([Put("things/late", {"n": 1})])
        assert await self.store.get("things/late") is None


def forgotten(state: Rows) -> Rows:
    return {key: value for key, value in state.items() if not key.startswith((RATCHET, "ratchet:own:"))}


KEYS = ["row", "other row", f"{RATCHET}:1", f"{RATCHET}:2", "ratchet:15551@s.whatsapp.net:1", "ratchet:own:1"]
# These take several commits: the chunks, what the chain has to catch up with, the head.
TROUBLE = st.sampled_from(["", "", "before 1", "after 1", "before 2", "after 2", "before 3", "after 3"])
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS)),
    st.tuples(st.just("delete"), st.sampled_from(KEYS)),
    st.tuples(st.just("commit"), st.sampled_from(["", "", "", "before", "after"])),
    st.tuples(st.just("whole"), TROUBLE),
    st.tuples(st.just("compact"), TROUBLE),
    st.tuples(st.just("restart"), st.sampled_from(["", "before", "after"])),
    st.tuples(st.just("elsewhere"), st.sampled_from(["", "before", "after"])),
    st.tuples(st.just("lose"), st.sampled_from(["", "doubt"])),
    st.tuples(st.just("back up"), st.just("")),
    st.tuples(st.just("bring back"), st.sampled_from(["", "doubt"])),
    st.tuples(st.just("return"), st.integers(0, 5)),
    st.tuples(st.just("late"), st.integers(0, 5)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, max_size=30))
def test_whatever_happens_what_was_acknowledged_is_there_and_a_stale_holder_is_fenced(
    steps: list[tuple[str, Any]],
) -> None:
    async def main() -> None:
        history = History()
        await history.open(doubted=False)
        for step, how in steps:
            await act(history, step, how)
        # At the end the machine burns down.
        history.disk = FakeSessionDisk()
        await history.open(doubted=False)

    run_virtual(main())


async def act(history: History, step: str, how: Any) -> None:
    assert history.keeper is not None
    match step:
        case "put":
            history.disk.put(how, history.random.randbytes(6))
        case "delete":
            history.disk.delete(how)
        case "commit":
            history.disk.put("row", history.random.randbytes(6))
            await trouble(history, how, history.commit())
        case "whole":
            # As after a change of the library's tables.
            history.disk.captured_before = False
            await trouble(history, how, history.commit())
        case "compact":
            history.keeper._growth = history.keeper._growth.__class__(10_000, 0)
            history.states.append(dict(history.disk.rows))
            await trouble(history, how, history.keeper._compact())
        case "restart":
            if how:
                await killed(history, how, history.commit())
            await history.open(doubted=False)
        case "elsewhere":
            if how:
                await killed(history, how, history.commit())
            history.leave_disk()
            assert (await history.open(doubted=True)).kind == "restored"
        case "return" if history.left_disks:
            disk = history.left_disks.pop(how % len(history.left_disks))
            history.leave_disk()
            history.disk = disk
            assert (await history.open(doubted=True)).kind == "restored"
        case "lose":
            history.keeper = None
            history.disk.lose()
            assert (await history.open(doubted=how == "doubt")).kind == "restored"
        case "back up":
            history.backup = history.disk.copy()
        case "bring back":
            # `open` asserts that it is used as it is only if nothing newer was acknowledged.
            history.keeper = None
            history.disk.__dict__.update(vars(history.backup.copy()))
            await history.open(doubted=how == "doubt")
        case "late" if history.stale:
            await history.late_commit(how)


async def trouble(history: History, how: str, work: Coroutine[Any, Any, None]) -> None:
    """One commit of it (the first, if none is named) does not arrive, or its answer does not; the process lives on."""
    side, _, place = how.partition(" ")
    number = history.severed.commits + int(place or 1)

    def fail(commit: int) -> None:
        if commit == number:
            raise StoreUnavailable("in the test")

    if side == "before":
        history.severed.before_commit = fail
    elif side == "after":
        history.severed.after_commit = fail
    try:
        await work
    except StoreUnavailable:
        assert how
    history.severed.before_commit = history.severed.after_commit = lambda _: None


async def killed(history: History, how: str, work: Coroutine[Any, Any, None]) -> None:
    """The process dies before or after the next commit."""
    history.disk.put("row", history.random.randbytes(6))
    if how == "before":
        history.severed.before_commit = lambda _: history.severed.cut()
    else:
        history.severed.after_commit = lambda _: history.severed.cut()
    with pytest.raises(asyncio.CancelledError):
        await work
    history.keeper = None
