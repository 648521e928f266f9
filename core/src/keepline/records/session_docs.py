"""`whatsapp_sessions/{account}_{slot}`: a linked device's session. `…/segments/{sequence}`: the chain of its changes.
`…/snapshots/{version}-{chunk}`: all of it at one time.

What a session holds is in the sealed fields only; the rest says where it belongs and lets a person see that it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from keepline.domain.compaction import Link, SavedVersion
from keepline.domain.sealing import FORMAT, SegmentKind
from keepline.ports.documents import SERVER_TIME, Create, Document, Fields, Query, Update, Version, Where

SESSIONS = "whatsapp_sessions"
SEGMENTS = "segments"
SNAPSHOTS = "snapshots"

# Firestore takes documents of 1 MiB; the rest is room for the other fields.
SEGMENT_SEALED_BYTES_MAX = 1_000_000
CHUNK_SEALED_BYTES_MAX = 700_000
# How much is asked for at once, so that an answer fits the store's limit for one call (5 s).
SEGMENTS_PAGE = 200
CHUNKS_PAGE = 5
SESSIONS_LISTED_MAX = 200

_T = TypeVar("_T")


class Malformed(Exception):
    """The document is not of the form that it was written in."""


def head_path(account: str, slot: str) -> str:
    return f"{SESSIONS}/{account}_{slot}"


def segments_path(account: str, slot: str) -> str:
    return f"{head_path(account, slot)}/{SEGMENTS}"


def snapshots_path(account: str, slot: str) -> str:
    return f"{head_path(account, slot)}/{SNAPSHOTS}"


def segment_path(account: str, slot: str, sequence: int) -> str:
    return f"{segments_path(account, slot)}/{sequence:010d}"


def chunk_path(account: str, slot: str, version: int, chunk: int) -> str:
    return f"{snapshots_path(account, slot)}/{version:06d}-{chunk:03d}"


@dataclass(frozen=True)
class Head:
    """The first page of a session: whose it is, who holds it, which snapshots there are. The key is wrapped."""

    tenant: str
    account: str
    slot: str
    wrapped_key: bytes
    holder: str
    epoch: int
    versions: tuple[SavedVersion, ...] = ()
    version: Version | None = None  # of the document, as it was read

    @classmethod
    def read(cls, document: Document) -> Head:
        """Raises Malformed."""
        fields = document.fields
        if _field(fields, "format", int) != FORMAT:
            raise Malformed(f"{document.path} has a format that this release does not know")
        return cls(
            tenant=_field(fields, "tenant", str),
            account=_field(fields, "account", str),
            slot=_field(fields, "slot", str),
            wrapped_key=_field(fields, "wrapped_key", bytes),
            holder=_field(fields, "holder", str),
            epoch=_field(fields, "epoch", int),
            versions=tuple(_saved_version(entry) for entry in _field(fields, "versions", list)),
            version=document.version,
        )

    def write(self) -> Create | Update:
        """This state of the head, on the condition that nobody changed it since it was read."""
        fields: dict[str, Any] = {
            "tenant": self.tenant,
            "account": self.account,
            "slot": self.slot,
            "wrapped_key": self.wrapped_key,
            "holder": self.holder,
            "epoch": self.epoch,
            "format": FORMAT,
            "versions": [vars(saved) for saved in self.versions],
            "changed_at": SERVER_TIME,
        }
        path = head_path(self.account, self.slot)
        if self.version is None:
            return Create(path, fields | {"created_at": SERVER_TIME})
        return Update(path, fields, self.version)

    def taken_by(self, holder: str) -> Head:
        return replace(self, holder=holder, epoch=self.epoch + 1)


@dataclass(frozen=True)
class Segment:
    """One link of the chain as it was read: nothing of it is to be believed before its seal was opened."""

    sequence: int
    epoch: int
    kind: SegmentKind
    sealed: bytes

    @classmethod
    def read(cls, document: Document) -> Segment:
        """Raises Malformed."""
        fields = document.fields
        sequence = sequence_of(document)
        if _field(fields, "sequence", int) != sequence:
            raise Malformed(f"{document.path} says another sequence")
        try:
            kind = SegmentKind(fields.get("kind"))
        except ValueError:
            raise Malformed(f"{document.path} is of no known kind") from None
        return cls(sequence, _field(fields, "epoch", int), kind, _field(fields, "sealed", bytes))


def sequence_of(document: Document) -> int:
    """Where in the chain a segment stands, by its name. Raises Malformed."""
    if not document.id.isdecimal():
        raise Malformed(f"{document.path} is no segment's name")
    return int(document.id)


def new_segment(account: str, slot: str, segment: Segment) -> Create:
    """The next link of the chain: whoever comes second with a sequence is refused."""
    return Create(
        segment_path(account, slot, segment.sequence),
        {
            "account": account,
            "slot": slot,
            "sequence": segment.sequence,
            "epoch": segment.epoch,
            "kind": segment.kind.value,
            "sealed": segment.sealed,
            "bytes": len(segment.sealed),
            "at": SERVER_TIME,
        },
    )


def new_chunk(
    account: str, slot: str, sealed: bytes, *, version: int, chunk: int, chunks: int, sequence: int
) -> Create:
    """A part of a snapshot. It counts once the head names the version; the chunk with number 0 reserves the version."""
    return Create(
        chunk_path(account, slot, version, chunk),
        {
            "account": account,
            "slot": slot,
            "version": version,
            "chunk": chunk,
            "chunks": chunks,
            "sequence": sequence,
            "sealed": sealed,
            "at": SERVER_TIME,
        },
    )


def sealed_of(document: Document) -> bytes:
    """The sealed part of a segment or chunk. Raises Malformed."""
    return _field(document.fields, "sealed", bytes)


def newest_segment(account: str, slot: str) -> Query:
    return Query(segments_path(account, slot), (), "sequence", descending=True, limit=1)


def segments_after(account: str, slot: str, sequence: int) -> Query:
    """One page of the segments after `sequence`, in order."""
    where = (Where("sequence", ">", sequence),)
    return Query(segments_path(account, slot), where, "sequence", limit=SEGMENTS_PAGE)


def segments_between(account: str, slot: str, after: int, last: int) -> Query:
    """One page of the segments after `after`, up to and with `last`, in order."""
    where = (Where("sequence", ">", after), Where("sequence", "<=", last))
    return Query(segments_path(account, slot), where, "sequence", limit=SEGMENTS_PAGE)


def to_link(document: Document) -> Link:
    """Where a segment stands and whether it marks a change of hands. Raises Malformed."""
    fields = document.fields
    takes = fields.get("kind") == SegmentKind.TAKEN.value
    return Link(sequence_of(document), _field(fields, "epoch", int), takes)


def chunks_below(account: str, slot: str, version: int) -> Query:
    where = (Where("version", "<", version),)
    return Query(snapshots_path(account, slot), where, "version", limit=CHUNKS_PAGE)


def all_segments(account: str, slot: str) -> Query:
    return Query(segments_path(account, slot), limit=SEGMENTS_PAGE)


def all_chunks(account: str, slot: str) -> Query:
    return Query(snapshots_path(account, slot), limit=CHUNKS_PAGE)


def sessions_of_tenant(tenant: str) -> Query:
    return Query(SESSIONS, (Where("tenant", "==", tenant),), limit=SESSIONS_LISTED_MAX)


def sessions_of_account(account: str) -> Query:
    return Query(SESSIONS, (Where("account", "==", account),), limit=SESSIONS_LISTED_MAX)


def _saved_version(entry: Any) -> SavedVersion:
    if not isinstance(entry, dict):
        raise Malformed("a version is not a map")
    return SavedVersion(
        version=_field(entry, "version", int),
        sequence=_field(entry, "sequence", int),
        chunks=_field(entry, "chunks", int),
        bytes=_field(entry, "bytes", int),
        saved_at=_field(entry, "saved_at", datetime),
    )


def _field(fields: Fields, name: str, kind: type[_T]) -> _T:
    value = fields.get(name)
    # bool is an int to Python, and never one of ours.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Malformed(f"the field {name} is missing or of another type")
    return value
