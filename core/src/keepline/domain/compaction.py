"""Compaction: when a session's segments are gathered into a new version (a snapshot), and what is not needed afterwards.

A restore reads the newest snapshot and the segments after it, so their number and size bound how long it takes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import zip_longest

# A restore reads at most about this much beside the snapshot: two seconds or so.
SEGMENTS_MAX = 500
SEGMENT_BYTES_MAX = 1_000_000
VERSIONS_KEPT = 3
# Where this many of the latest holders took over, their places in the chain stay occupied.
FENCES_KEPT = 100


class RestorePolicy(Enum):
    """What to do about a stored session that is not whole."""

    REFUSE = "refuse"  # refuse it, whatever is missing or broken
    FALLBACK = "fallback"  # go back to the newest state that is whole, and say how far back that is


@dataclass(frozen=True)
class SavedVersion:
    """A snapshot: it contains everything of the segments up to `sequence`. `bytes` is its sealed size."""

    version: int
    sequence: int
    chunks: int
    bytes: int
    saved_at: datetime


@dataclass(frozen=True)
class Growth:
    """What has been appended since the newest snapshot, as sealed."""

    segments: int = 0
    bytes: int = 0

    def plus(self, sealed_bytes: int) -> Growth:
        return Growth(self.segments + 1, self.bytes + sealed_bytes)

    def since(self, earlier: Growth) -> Growth:
        return Growth(self.segments - earlier.segments, self.bytes - earlier.bytes)

    def needs_compaction(self) -> bool:
        return self.segments >= SEGMENTS_MAX or self.bytes >= SEGMENT_BYTES_MAX


def with_version(
    versions: Sequence[SavedVersion], saved: SavedVersion, broken: Collection[int] = ()
) -> tuple[SavedVersion, ...]:
    """The versions to keep once `saved` is there, oldest first; those that were found broken are not among them."""
    return (*(known for known in versions if known.version not in broken), saved)[-VERSIONS_KEPT:]


def is_outdated(versions: Sequence[SavedVersion], sequence: int) -> bool:
    """Whether a snapshot at `sequence` is older than one that is there already, so that it is worth nothing."""
    return bool(versions) and versions[-1].sequence > sequence


def segments_end(versions: Sequence[SavedVersion]) -> int:
    """No restore needs the segments below this sequence. The newest is never among them: it is the end of the chain."""
    return versions[0].sequence if versions else 0


@dataclass(frozen=True)
class Link:
    """A segment's place in the chain. `takes`: whoever appended it took the session with it."""

    sequence: int
    epoch: int
    takes: bool


def removable(links: Sequence[Link], end: int, epoch: int) -> list[Link]:
    """Which of the `links` (in order, up to and with `end`) may go in a session that is in its `epoch`.

    A holder that was fenced and slept through it wants to append at the place where its successor took over; or at the one
    before, if it has never heard of its own last append. Were these places free, it would succeed.
    """

    def fences(link: Link) -> bool:
        return link.takes and link.epoch > epoch - FENCES_KEPT

    return [
        link
        for link, successor in zip_longest(links, links[1:])
        if link.sequence < end and not fences(link) and not (successor is not None and fences(successor))
    ]


def snapshots_end(versions: Sequence[SavedVersion]) -> int:
    """Snapshots below this version may go: they are older than those kept, or were never finished.

    One with a higher number than the newest may be somebody's unfinished one.
    """
    return versions[0].version if versions else 0
