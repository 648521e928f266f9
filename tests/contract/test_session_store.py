"""Sessions in the document store: the same on the shipped fake and on Firestore."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

import pytest

from keepline.adapters.system_clock import SystemClock
from keepline.domain.compaction import RestorePolicy
from keepline.ports.documents import DocumentStore, Put, StoreConflict, Update
from keepline.records import session_docs
from keepline.testing.keys import MemoryKeys
from keepline.testing.session_file import FakeSessionDisk, MemorySessionFile
from keepline.usecases.session_chain import create_session, open_session
from keepline.usecases.session_keeping import SessionKeeper, SessionLost, Step
from keepline.usecases.session_store import (
    SessionRefused,
    delete_session,
    list_sessions,
    restore_session,
    save_session,
)


@pytest.fixture
def keys() -> MemoryKeys:
    return MemoryKeys()


@pytest.fixture
def disk() -> FakeSessionDisk:
    disk = FakeSessionDisk()
    disk.linked = True
    return disk


def keeper_of(store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk, **changes: Any) -> SessionKeeper:
    names = {"account": "demo_s1", "tenant": "demo", "slot": "a", "holder": "connector-1"}
    policy = RestorePolicy.REFUSE
    return SessionKeeper(
        store, SystemClock(), keys, MemorySessionFile(disk), os.urandom, policy=policy, **{**names, **changes}
    )


async def a_session(store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk, steps: int = 3) -> SessionKeeper:
    keeper = keeper_of(store, keys, disk)
    await keeper.open(0, ())
    for n in range(steps):
        disk.put(f"row {n}", f"value {n}".encode())
        await keeper.commit([Put(f"things/{n}", {"n": n})])
    return keeper


async def test_what_was_committed_is_restored_elsewhere(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk
) -> None:
    keeper = await a_session(store, keys, disk)
    restored = await restore_session(store, keys, "demo_s1", "a", acknowledged=keeper.step.sequence)
    assert restored is not None
    assert (restored.sequence, restored.behind, len(restored.changes)) == (keeper.step.sequence, 0, 3)
    elsewhere = FakeSessionDisk()
    opened = await keeper_of(store, keys, elsewhere, holder="connector-2").open(keeper.step.sequence, ())
    assert (opened.kind, opened.version, opened.behind) == ("restored", 1, 0)
    assert elsewhere.rows == disk.rows
    assert opened.sequence == keeper.step.sequence + 1


async def test_an_earlier_holder_is_refused_with_all_that_it_writes(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk
) -> None:
    keeper = await a_session(store, keys, disk)
    await keeper_of(store, keys, FakeSessionDisk(), holder="connector-2").open(keeper.step.sequence, ())
    disk.put("row 9", b"late")
    with pytest.raises(SessionLost):
        await keeper.commit([Put("things/late", {"n": 9})])
    assert await store.get("things/late") is None


async def test_a_version_of_several_chunks_comes_back_whole(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk
) -> None:
    big = os.urandom(5 * session_docs.CHUNK_SEALED_BYTES_MAX)
    disk.put("big", big)
    keeper = await a_session(store, keys, disk)
    [listing] = await list_sessions(store, account="demo_s1")
    # Latin-1 in JSON blows random bytes up, and compression brings some of it back.
    assert listing.versions[0].chunks >= 6
    elsewhere = FakeSessionDisk()
    await keeper_of(store, keys, elsewhere).open(keeper.step.sequence, ())
    assert elsewhere.rows == disk.rows


async def test_a_capture_too_big_for_a_segment_becomes_a_version(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk
) -> None:
    keeper = await a_session(store, keys, disk)
    disk.put("big", os.urandom(session_docs.SEGMENT_SEALED_BYTES_MAX))
    acknowledged: list[int] = []

    def acknowledging(step: Step) -> Put:
        acknowledged.append(step.sequence)
        return Put("things/acknowledged", {"sequence": step.sequence})

    versions = await keeper.commit([Put("things/big", {"n": 1})], acknowledging=acknowledging)
    document = await store.get("things/acknowledged")
    assert document is not None
    assert document.version == versions[-1]
    assert len(versions) == 2
    assert acknowledged[-1] == document.fields["sequence"] == keeper.step.sequence
    [listing] = await list_sessions(store, account="demo_s1")
    assert [saved.sequence for saved in listing.versions] == [2, keeper.step.sequence]
    elsewhere = FakeSessionDisk()
    await keeper_of(store, keys, elsewhere).open(keeper.step.sequence, ())
    assert elsewhere.rows == disk.rows


async def test_what_exists_is_listed_for_a_tenant_and_for_an_account(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk
) -> None:
    keeper = await a_session(store, keys, disk)
    await keeper_of(store, keys, FakeSessionDisk(), slot="b").open(0, ())
    await keeper_of(store, keys, FakeSessionDisk(), account="other_s1", tenant="other").open(0, ())
    listed = {listing.slot: listing for listing in await list_sessions(store, tenant="demo")}
    assert set(listed) == {"a", "b"}
    assert listed["a"].sequence == keeper.step.sequence
    assert (listed["a"].account, listed["a"].holder, listed["a"].epoch) == ("demo_s1", "connector-1", 1)
    assert listed["a"].saved_at is not None
    assert listed["a"].bytes > 0
    assert (listed["b"].versions, listed["b"].saved_at, listed["b"].bytes) == ((), None, 0)
    assert "key" not in repr(listed)
    assert [listing.account for listing in await list_sessions(store, account="other_s1")] == ["other_s1"]
    assert await list_sessions(store, account="nobody_s1") == []
    with pytest.raises(ValueError, match="either"):
        await list_sessions(store)


async def test_deleting_leaves_nothing_and_can_be_repeated(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk
) -> None:
    keeper = await a_session(store, keys, disk)
    await delete_session(store, "demo_s1", "a")
    await delete_session(store, "demo_s1", "a")
    assert await store.query(session_docs.all_segments("demo_s1", "a")) == []
    assert await store.query(session_docs.all_chunks("demo_s1", "a")) == []
    assert await list_sessions(store, tenant="demo") == []
    assert await restore_session(store, keys, "demo_s1", "a") is None
    with pytest.raises(SessionRefused) as refused:
        await restore_session(store, keys, "demo_s1", "a", acknowledged=keeper.step.sequence)
    assert refused.value.code == "session_rolled_back"


async def test_a_new_session_after_a_half_deletion_is_whole(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk
) -> None:
    await a_session(store, keys, disk)
    head = await store.get(session_docs.head_path("demo_s1", "a"))
    assert head is not None
    await delete_session(store, "demo_s1", "a")
    # The last words of a holder that nobody had told.
    await store.commit(
        [
            Put(session_docs.segment_path("demo_s1", "a", 6), {"sequence": 6, "kind": "rows", "sealed": b""}),
            Put(session_docs.chunk_path("demo_s1", "a", 1, 0), {"version": 1, "sealed": b""}),
        ]
    )
    again = await a_session(store, keys, disk)
    elsewhere = FakeSessionDisk()
    await keeper_of(store, keys, elsewhere).open(again.step.sequence, ())
    assert elsewhere.rows == disk.rows


async def test_saving_by_hand_needs_the_newest_state(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk, now: datetime
) -> None:
    first = await create_session(store, keys, os.urandom, tenant="demo", account="demo_s1", slot="a", holder="somebody")
    captured = await MemorySessionFile(disk).snapshot()
    assert captured is not None
    second = await save_session(store, first, captured, os.urandom, now)
    with pytest.raises(StoreConflict):
        await save_session(store, first, captured, os.urandom, now)
    reopened = await open_session(store, keys, "demo_s1", "a")
    assert reopened is not None
    assert reopened.sequence == second.sequence == 2
    restored = await restore_session(store, keys, "demo_s1", "a")
    assert restored is not None
    assert restored.snapshot == captured.data
    assert (restored.header.incarnation, restored.header.mark) == (captured.incarnation, captured.mark)


async def test_beginning_twice_is_a_conflict(store: DocumentStore, keys: MemoryKeys) -> None:
    names = {"tenant": "demo", "account": "demo_s1", "slot": "a"}
    await create_session(store, keys, os.urandom, **names, holder="one")
    with pytest.raises(StoreConflict):
        await create_session(store, keys, os.urandom, **names, holder="two")


async def test_the_last_three_versions_are_kept_and_the_rest_goes(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk, now: datetime
) -> None:
    keeper = await a_session(store, keys, disk)
    session = await open_session(store, keys, "demo_s1", "a")
    captured = await MemorySessionFile(disk).snapshot()
    assert session is not None
    assert captured is not None
    for _ in range(4):
        session = await save_session(store, session, captured, os.urandom, now)
    assert [saved.version for saved in session.head.versions] == [3, 4, 5]
    # The keeper is fenced by now; another one tidies as it runs.
    tidy = keeper_of(store, keys, disk)
    await tidy.open(keeper.step.sequence, ())
    await tidy._compact()
    chunks = await store.query(session_docs.all_chunks("demo_s1", "a"))
    assert [chunk.fields["version"] for chunk in chunks] == [3, 4, 5]
    segments = await store.query(session_docs.all_segments("demo_s1", "a"))
    kinds = {segment.fields["sequence"]: segment.fields["kind"] for segment in segments}
    oldest = session.head.versions[0].sequence
    assert min(kinds) == 1
    assert {kind for sequence, kind in kinds.items() if sequence < oldest} == {"taken"}
    assert all(sequence in kinds for sequence in range(oldest, tidy.step.sequence + 1))
    restored = await restore_session(store, keys, "demo_s1", "a", acknowledged=tidy.step.sequence)
    assert restored is not None
    assert restored.behind == 0


async def test_a_wrapping_that_was_rotated_is_made_anew_at_the_next_opening(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk
) -> None:
    keeper = await a_session(store, keys, disk)
    keys.rotate()
    path = session_docs.head_path("demo_s1", "a")
    before = await store.get(path)
    assert (await keeper_of(store, keys, disk).open(keeper.step.sequence, ())).kind == "local"
    after = await store.get(path)
    assert before is not None
    assert after is not None
    assert before.fields["wrapped_key"] != after.fields["wrapped_key"]
    again = keeper_of(store, keys, FakeSessionDisk())
    assert (await again.open(keeper.step.sequence, ())).kind == "restored"
    third = await store.get(path)
    assert third is not None
    assert third.fields["wrapped_key"] == after.fields["wrapped_key"]


async def test_a_key_that_cannot_be_unwrapped_is_a_refusal(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk
) -> None:
    keeper = await a_session(store, keys, disk)
    strangers = MemoryKeys()
    strangers.forget()
    with pytest.raises(SessionRefused) as refused:
        await restore_session(store, strangers, "demo_s1", "a", acknowledged=keeper.step.sequence)
    assert refused.value.code == "session_key_refused"


async def test_a_head_of_a_format_to_come_is_refused(
    store: DocumentStore, keys: MemoryKeys, disk: FakeSessionDisk
) -> None:
    await a_session(store, keys, disk)
    await store.commit([Update(session_docs.head_path("demo_s1", "a"), {"format": 2})])
    with pytest.raises(SessionRefused):
        await restore_session(store, keys, "demo_s1", "a")
