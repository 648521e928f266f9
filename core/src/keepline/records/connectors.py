"""`connectors/{id}`: a connector's heartbeat. It carries the evidence for every device it holds, one small write for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keepline.ports.documents import SERVER_TIME, Document, Put, Query, Version

CONNECTORS = "connectors"
CONNECTORS_MAX = 200


def connector_path(connector: str) -> str:
    return f"{CONNECTORS}/{connector}"


@dataclass(frozen=True)
class DeviceBeat:
    """What a connector knew of one device at its beat: the newest evidence and how deep its queue is."""

    evidence_kind: str | None
    evidence_age_ms: int | None
    queued: int
    oldest_queued_at: datetime | None


@dataclass(frozen=True)
class ConnectorBeat:
    """A heartbeat. `at` is Firestore's time; observers with a monotonic clock go by `beat`, which only rises."""

    connector: str
    region: str
    beat: int
    at: datetime
    stopping: bool
    devices: Mapping[str, DeviceBeat]  # by `<account>_<slot>`
    version: Version

    @classmethod
    def read(cls, document: Document) -> ConnectorBeat:
        fields = document.fields
        return cls(
            connector=document.id,
            region=fields["region"],
            beat=fields["beat"],
            at=fields["at"],
            stopping=fields["stopping"],
            devices={name: DeviceBeat(**beat) for name, beat in fields["devices"].items()},
            version=document.version,
        )


def write_beat(
    connector: str, *, region: str, beat: int, stopping: bool, started_at: datetime, devices: Mapping[str, DeviceBeat]
) -> Put:
    fields: dict[str, Any] = {
        "region": region,
        "beat": beat,
        "at": SERVER_TIME,
        "stopping": stopping,
        "started_at": started_at,
        "devices": {name: vars(device) for name, device in devices.items()},
    }
    return Put(connector_path(connector), fields)


def all_connectors() -> Query:
    return Query(CONNECTORS, limit=CONNECTORS_MAX)
