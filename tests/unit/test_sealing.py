"""Seals open what was sealed for one place, unchanged, and nothing else; and which versions of a session are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from keepline.domain.compaction import (
    FENCES_KEPT,
    SEGMENT_BYTES_MAX,
    SEGMENTS_MAX,
    Growth,
    Link,
    SavedVersion,
    is_outdated,
    removable,
    segments_end,
    snapshots_end,
    with_version,
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

KEY = bytes(range(KEY_BYTES))
NOISE = Random(1).randbytes(5_000)
NONCE = bytes(range(NONCE_BYTES))
SEGMENT: dict[str, Any] = {"sequence": 7, "epoch": 2, "kind": SegmentKind.ROWS}
CHUNK: dict[str, Any] = {"sequence": 7, "version": 3, "chunk": 1, "chunks": 2}


def test_a_segment_opens_where_it_belongs() -> None:
    sealed = Seal(KEY, "demo_s1", "a").seal_segment(b"secret", NONCE, **SEGMENT)
    assert b"secret" not in sealed
    assert len(sealed) == len(b"secret") + SEALED_EXTRA_BYTES
    assert Seal(KEY, "demo_s1", "a").open_segment(sealed, **SEGMENT) == b"secret"


@pytest.mark.parametrize(
    "other", [{"sequence": 8}, {"epoch": 3}, {"kind": SegmentKind.TAKEN}, {"sequence": 72, "epoch": 2}]
)
def test_a_segment_does_not_open_at_another_place(other: dict[str, Any]) -> None:
    seal = Seal(KEY, "demo_s1", "a")
    sealed = seal.seal_segment(b"secret", NONCE, **SEGMENT)
    with pytest.raises(SealBroken):
        seal.open_segment(sealed, **{**SEGMENT, **other})


@pytest.mark.parametrize("other", [{"sequence": 8}, {"version": 4}, {"chunk": 0}, {"chunks": 3}])
def test_a_chunk_does_not_open_at_another_place(other: dict[str, Any]) -> None:
    seal = Seal(KEY, "demo_s1", "a")
    sealed = seal.seal_chunk(b"secret", NONCE, **CHUNK)
    assert seal.open_chunk(sealed, **CHUNK) == b"secret"
    with pytest.raises(SealBroken):
        seal.open_chunk(sealed, **{**CHUNK, **other})


@pytest.mark.parametrize(
    ("key", "account", "slot"),
    [
        (KEY, "demo_s2", "a"),
        (KEY, "demo_s1", "b"),
        (bytes(KEY_BYTES), "demo_s1", "a"),
        # The same letters, divided elsewhere.
        (KEY, "demo_s", "1a"),
    ],
)
def test_what_is_another_devices_does_not_open(key: bytes, account: str, slot: str) -> None:
    seal = Seal(KEY, "demo_s1", "a")
    with pytest.raises(SealBroken):
        Seal(key, account, slot).open_segment(seal.seal_segment(b"", NONCE, **SEGMENT), **SEGMENT)
    with pytest.raises(SealBroken):
        Seal(key, account, slot).open_chunk(seal.seal_chunk(b"", NONCE, **CHUNK), **CHUNK)
    assert key_context(account, slot) != key_context("demo_s1", "a") or key != KEY


def test_a_segment_is_not_a_chunk() -> None:
    seal = Seal(KEY, "demo_s1", "a")
    with pytest.raises(SealBroken):
        seal.open_chunk(seal.seal_segment(b"", NONCE, **SEGMENT), **CHUNK)


@pytest.mark.parametrize("length", range(SEALED_EXTRA_BYTES + 2))
def test_a_stump_does_not_open(length: int) -> None:
    seal = Seal(KEY, "demo_s1", "a")
    sealed = seal.seal_segment(b"secret", NONCE, **SEGMENT)
    with pytest.raises(SealBroken):
        seal.open_segment(sealed[:length], **SEGMENT)


@pytest.mark.parametrize("data", [b"", b"a\nb\n", bytes(range(256)) * 8, b"x" * 5_000], ids=len)
def test_a_payload_unpacks_to_what_was_packed(data: bytes) -> None:
    header = Header("life", 9)
    assert unpack(pack(header, data)) == (header, data)
    taken = Header(None, 0, holder="connector-1", epoch=3)
    assert unpack(pack(taken, data)) == (taken, data)


def test_a_payload_is_compressed_when_that_makes_it_smaller() -> None:
    assert len(pack(Header("life", 1), b"x" * 5_000)) < 200
    assert pack(Header("life", 1), NOISE).endswith(NOISE)


def test_a_seal_does_not_show_its_key() -> None:
    assert KEY.hex() not in repr(vars(Seal(KEY, "demo_s1", "a")))
    assert str(KEY) not in repr(vars(Seal(KEY, "demo_s1", "a")))


def saved(version: int, sequence: int) -> SavedVersion:
    return SavedVersion(version, sequence, 1, 100, datetime(2026, 1, 1, tzinfo=UTC))


def test_the_last_three_versions_are_kept_and_the_segments_after_the_oldest_of_them() -> None:
    versions: tuple[SavedVersion, ...] = ()
    assert segments_end(versions) == snapshots_end(versions) == 0
    for n in range(1, 6):
        versions = with_version(versions, saved(n, 10 * n))
    assert [known.version for known in versions] == [3, 4, 5]
    assert segments_end(versions) == 30
    assert snapshots_end(versions) == 3


def test_where_the_session_changed_hands_the_chain_stays_occupied() -> None:
    takes = {1, 4, 8}
    links = [Link(n, epoch=sum(t <= n for t in takes), takes=n in takes) for n in range(1, 9)]
    # 3 and 7 are where a holder appends that has not heard of its own last append.
    assert [link.sequence for link in removable(links, end=8, epoch=3)] == [2, 5, 6]
    assert [link.sequence for link in removable(links, end=6, epoch=3)] == [2, 5]
    # The oldest of them go when very many have come after.
    assert [link.sequence for link in removable(links, end=8, epoch=FENCES_KEPT + 2)] == [1, 2, 3, 4, 5, 6]


def test_where_nothing_has_been_compacted_yet_nothing_is_removed() -> None:
    assert removable([], end=0, epoch=1) == []


def test_a_broken_version_is_not_kept() -> None:
    versions = (saved(1, 10), saved(2, 20), saved(3, 30))
    assert [known.version for known in with_version(versions, saved(4, 40), broken={3})] == [1, 2, 4]


def test_a_snapshot_older_than_the_newest_version_is_worth_nothing() -> None:
    assert not is_outdated((), 1)
    assert not is_outdated((saved(1, 10),), 10)
    assert is_outdated((saved(1, 10),), 9)


def test_compaction_comes_with_the_number_of_segments_or_with_their_size() -> None:
    assert not Growth(SEGMENTS_MAX - 2, SEGMENT_BYTES_MAX - 2).plus(1).needs_compaction()
    assert Growth(SEGMENTS_MAX - 1, 0).plus(1).needs_compaction()
    assert Growth(1, SEGMENT_BYTES_MAX - 1).plus(1).needs_compaction()
    # What came while the snapshot was written counts for the next one.
    assert Growth(520, 900).since(Growth(500, 800)) == Growth(20, 100)
