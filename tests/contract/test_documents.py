"""What Keepline relies on of its document store, held by the fake and by Firestore alike."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta

import pytest

from keepline.ports.documents import (
    DELETE,
    SERVER_TIME,
    Create,
    Delete,
    Document,
    DocumentStore,
    Merge,
    Put,
    Query,
    StoreConflict,
    StoreUnavailable,
    Update,
    Where,
)

# What a listener misses is found within 30 s (firestore_watch.py looks for itself now and then).
LIMIT_S = 45.0


async def ids(store: DocumentStore, query: Query) -> list[str]:
    return [document.id for document in await store.query(query)]


async def test_a_created_document_reads_back_as_it_was_written(store: DocumentStore, now: datetime) -> None:
    fields = {
        "text": "ă€😀",
        "n": 7,
        "f": 1.5,
        "yes": True,
        "none": None,
        "raw": b"\x00\xff",
        "at": now,
        "list": [1, "a"],
    }
    [version] = await store.commit([Create("things/one", {**fields, "map": {"deep": {"er": 1}}})])
    document = await store.get("things/one")
    assert document is not None
    assert dict(document.fields) == {**fields, "map": {"deep": {"er": 1}}}
    assert document.version == version
    assert document.id == "one"


class Looking:
    """What one way of looking has shown, and what it showed later than a later commit."""

    def __init__(self) -> None:
        self.shown: set[str] = set()
        self.late: list[str] = []
        self._newest: datetime | None = None

    def look(self, documents: Sequence[Document]) -> None:
        fresh = [document for document in documents if document.id not in self.shown]
        self.late += [one.id for one in fresh if self._newest is not None and one.created < self._newest]
        self.shown.update(document.id for document in fresh)
        self._newest = max((document.created for document in documents), default=None)


async def test_a_result_that_shows_a_commit_shows_all_those_before_it(store: DocumentStore) -> None:
    """What live listeners rely on: nothing that becomes visible later was committed earlier.

    Of listeners only that nothing stays away: the emulator's lose an update at times, which a later look of ours has.
    """
    query = Query("log", limit=1_000)
    asked, watched = Looking(), Looking()
    written: list[str] = []

    async def write(writer: int) -> None:
        for n in range(25):
            name = f"{writer}-{n}"
            with contextlib.suppress(StoreUnavailable):  # The emulator drops a call now and then.
                await store.commit([Create(f"log/{name}", {"n": n}), Put(f"lanes/{writer}", {"n": n})])
                written.append(name)

    async def ask() -> None:
        while not watched.shown.issuperset(written) or len(written) < 100:
            with contextlib.suppress(StoreUnavailable):
                asked.look(await store.query(query))
            await asyncio.sleep(0.005)

    async def watch() -> None:
        async with store.watch(query) as looks:
            async for documents in looks:
                watched.look(documents)

    watching = asyncio.create_task(watch())
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(ask(), *map(write, range(6)))
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    asked.look(await store.query(query))
    assert asked.shown >= set(written)
    assert asked.late == []
    assert watched.shown >= set(written)


async def test_what_was_never_written_is_none(store: DocumentStore) -> None:
    assert await store.get("things/none") is None


async def test_creating_twice_is_a_conflict_and_changes_nothing(store: DocumentStore) -> None:
    await store.commit([Create("things/one", {"n": 1})])
    with pytest.raises(StoreConflict):
        await store.commit([Put("things/two", {"n": 2}), Create("things/one", {"n": 3})])
    document = await store.get("things/one")
    assert document is not None
    assert document.fields["n"] == 1
    assert await store.get("things/two") is None


async def test_an_update_at_an_old_version_is_a_conflict(store: DocumentStore) -> None:
    [first] = await store.commit([Create("things/one", {"n": 1})])
    [second] = await store.commit([Update("things/one", {"n": 2}, first)])
    assert second != first
    with pytest.raises(StoreConflict):
        await store.commit([Update("things/one", {"n": 3}, first)])
    await store.commit([Update("things/one", {"n": 3}, second)])


async def test_the_version_of_a_commit_is_the_version_that_reads_back(store: DocumentStore) -> None:
    [version] = await store.commit([Create("things/one", {"at": SERVER_TIME})])
    for n in range(3):
        document = await store.get("things/one")
        assert document is not None
        assert document.version == version
        [version] = await store.commit([Update("things/one", {"n": n, "at": SERVER_TIME}, version)])


async def test_a_commit_gives_one_version_per_write_in_order(store: DocumentStore) -> None:
    versions = await store.commit([Create(f"things/{n}", {"n": n, "at": SERVER_TIME}) for n in range(3)])
    for n, version in enumerate(versions):
        document = await store.get(f"things/{n}")
        assert document is not None
        assert document.version == version


async def test_updating_what_is_not_there_is_a_conflict(store: DocumentStore) -> None:
    with pytest.raises(StoreConflict):
        await store.commit([Update("things/none", {"n": 1})])


async def test_an_update_reaches_into_maps_and_leaves_the_rest(store: DocumentStore) -> None:
    await store.commit([Create("things/one", {"times": {"a": 1, "b": 2}, "n": 1})])
    await store.commit([Update("things/one", {"times.b": 3, "times.c": 4, "n": DELETE})])
    document = await store.get("things/one")
    assert document is not None
    assert dict(document.fields) == {"times": {"a": 1, "b": 3, "c": 4}}


async def test_an_update_of_a_map_replaces_it(store: DocumentStore) -> None:
    await store.commit([Create("things/one", {"claims": {"1": ["a"], "2": ["b"]}})])
    await store.commit([Update("things/one", {"claims": {"3": ["c"]}})])
    document = await store.get("things/one")
    assert document is not None
    assert dict(document.fields) == {"claims": {"3": ["c"]}}


async def test_an_update_that_changes_nothing_keeps_the_version(store: DocumentStore) -> None:
    [version] = await store.commit([Create("things/one", {"n": 1})])
    assert await store.commit([Update("things/one", {"n": 1}, version)]) == [version]


async def test_server_time_is_now_and_the_same_everywhere_in_a_commit(store: DocumentStore) -> None:
    await store.commit([Create("things/one", {"at": SERVER_TIME, "times": {"accepted": SERVER_TIME}})])
    document = await store.get("things/one")
    assert document is not None
    assert document.fields["times"]["accepted"] == document.fields["at"]
    assert abs(document.fields["at"] - document.version) < timedelta(seconds=1)


async def test_deleting_needs_the_right_version_when_one_is_given(store: DocumentStore) -> None:
    [first] = await store.commit([Create("things/one", {"n": 1})])
    [second] = await store.commit([Update("things/one", {"n": 2}, first)])
    with pytest.raises(StoreConflict):
        await store.commit([Delete("things/one", first)])
    await store.commit([Delete("things/one", second)])
    assert await store.get("things/one") is None


async def test_deleting_what_is_not_there_is_no_error_without_a_version(store: DocumentStore) -> None:
    await store.commit([Delete("things/none")])


async def test_of_two_commits_on_one_version_one_wins(store: DocumentStore) -> None:
    [version] = await store.commit([Create("things/one", {"n": 0})])
    racers = [store.commit([Update("things/one", {"n": n}, version)]) for n in (1, 2)]
    results = await asyncio.gather(*racers, return_exceptions=True)
    assert sorted(isinstance(result, StoreConflict) for result in results) == [False, True]


async def test_queries_filter_order_and_limit(store: DocumentStore, now: datetime) -> None:
    await store.commit(
        [
            Create(f"things/{n}", {"n": n, "even": n % 2 == 0, "times": {"at": now + timedelta(seconds=n)}})
            for n in range(6)
        ]
    )
    assert await ids(store, Query("things", (Where("even", "==", True),), "n", limit=10)) == ["0", "2", "4"]
    assert await ids(store, Query("things", (Where("n", "in", [5, 1]),), "n", limit=10)) == ["1", "5"]
    assert await ids(store, Query("things", (), "times.at", descending=True, limit=2)) == ["5", "4"]
    before = (Where("times.at", "<", now + timedelta(seconds=2)),)
    assert await ids(store, Query("things", before, "times.at", descending=True, limit=9)) == ["1", "0"]
    assert await ids(store, Query("things", (Where("n", ">=", 4),), "n", limit=9)) == ["4", "5"]
    assert await ids(store, Query("things", (Where("even", "==", "true"),), limit=9)) == []


async def test_a_query_sees_its_collection_and_not_the_ones_below(store: DocumentStore) -> None:
    await store.commit([Create("accounts/x", {"n": 1}), Create("accounts/x/devices/a", {"n": 2})])
    assert await ids(store, Query("accounts", limit=9)) == ["x"]
    assert await ids(store, Query("accounts/x/devices", limit=9)) == ["a"]


async def test_a_group_query_sees_every_collection_of_the_name(store: DocumentStore) -> None:
    await store.commit([Create(f"accounts/{account}/devices/a", {"connector": "c1"}) for account in "xyz"])
    await store.commit([Create("accounts/w/devices/a", {"connector": "c2"})])
    found = await store.query(Query("devices", (Where("connector", "==", "c1"),), limit=9, group=True))
    assert sorted(document.path for document in found) == [f"accounts/{account}/devices/a" for account in "xyz"]


async def test_a_watch_gives_the_present_result_and_every_later_one(store: DocumentStore) -> None:
    await store.commit([Create("things/one", {"open": True})])
    async with store.watch(Query("things", (Where("open", "==", True),), limit=9)) as watch:
        results = aiter(watch)
        await until(results, lambda found: [document.id for document in found] == ["one"])
        await store.commit([Create("things/two", {"open": True})])
        await until(results, lambda found: sorted(document.id for document in found) == ["one", "two"])
        await store.commit([Update("things/one", {"open": False})])
        last = await until(results, lambda found: [document.id for document in found] == ["two"])
        read = await store.get("things/two")
        assert read is not None
        assert last[0].version == read.version


async def test_a_watch_keeps_the_order_and_the_limit(store: DocumentStore) -> None:
    # Only fields at the top: the real listener cannot order by one inside a map.
    async with store.watch(Query("things", (Where("open", "==", True),), "n", limit=2)) as watch:
        results = aiter(watch)
        await store.commit([Create(f"things/{n}", {"open": True, "n": n}) for n in (3, 1, 2)])
        await until(results, lambda found: [document.id for document in found] == ["1", "2"])


async def test_a_watch_of_nothing_says_so(store: DocumentStore) -> None:
    async with store.watch(Query("things", limit=9)) as watch:
        await until(aiter(watch), lambda found: not found)


async def until(
    results: AsyncIterator[Sequence[Document]], condition: Callable[[Sequence[Document]], bool]
) -> Sequence[Document]:
    async with asyncio.timeout(LIMIT_S):
        async for result in results:
            if condition(result):
                return result
    raise AssertionError("the watch ended")


async def test_a_merge_writes_its_fields_beside_what_is_there_in_whatever_order(
    store: DocumentStore, now: datetime
) -> None:
    parts = [
        Merge("things/{}", {"a": 1, "map": {"one": {"n": 1}, "none": {}}, "list": [1]}),
        Merge("things/{}", {"map": {"3EB0-x.y": {"at": now}}, "empty": {}}),
    ]
    for name, order in (("there", parts), ("back", parts[::-1])):
        for part in order:
            await store.commit([Merge(part.path.format(name), part.fields)])
        document = await store.get(f"things/{name}")
        assert document is not None
        assert dict(document.fields) == {"a": 1, "map": {"one": {"n": 1}, "3EB0-x.y": {"at": now}}, "list": [1]}
    await store.commit([Merge("things/there", {"a": DELETE, "map": {"one": DELETE}, "list": [2]})])
    document = await store.get("things/there")
    assert document is not None
    assert dict(document.fields) == {"map": {"3EB0-x.y": {"at": now}}, "list": [2]}


async def test_one_commit_may_write_a_document_several_times(store: DocumentStore) -> None:
    [version] = await store.commit([Create("things/one", {"n": 1, "at": None})])
    writes = [Update("things/one", {"n": 2}, version), Merge("things/one", {"more": {"a": 1}, "at": SERVER_TIME})]
    versions = await store.commit([*writes, Merge("things/one", {"more": {"b": 2}})])
    document = await store.get("things/one")
    assert document is not None
    assert (document.fields["n"], document.fields["more"]) == (2, {"a": 1, "b": 2})
    assert versions[-1] == document.version
