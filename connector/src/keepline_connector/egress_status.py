"""What a cell's egress has to say of itself, for the health page: told by each cell now and then, and summed up here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class EgressStatus:
    """Since the cell began, but for `connections`, which stand now. Bytes as TLS carries them."""

    connections: int = 0
    cut: int = 0  # connections that this side has ended: the lease ran out, or a device was to fall silent
    sent_bytes: int = 0
    heard_bytes: int = 0
    failed_dials: Mapping[str, int] = field(default_factory=dict)  # by code
    # Of the chat connections that stand, as the kernel has them.
    round_trip_ms_max: int = 0
    segments: int = 0  # sent
    segments_retransmitted: int = 0
    missing: tuple[str, ...] = ()  # what this system does not have for us, by name

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> EgressStatus:
        return cls(**{**fields, "missing": tuple(fields["missing"])})


def total(statuses: Iterable[EgressStatus]) -> EgressStatus:
    """Of all cells together."""
    told = list(statuses)
    failed: Counter[str] = Counter()
    for status in told:
        failed.update(status.failed_dials)
    return EgressStatus(
        connections=sum(status.connections for status in told),
        cut=sum(status.cut for status in told),
        sent_bytes=sum(status.sent_bytes for status in told),
        heard_bytes=sum(status.heard_bytes for status in told),
        failed_dials=dict(failed),
        round_trip_ms_max=max((status.round_trip_ms_max for status in told), default=0),
        segments=sum(status.segments for status in told),
        segments_retransmitted=sum(status.segments_retransmitted for status in told),
        missing=tuple(sorted({name for status in told for name in status.missing})),
    )
