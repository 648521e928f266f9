"""`connectors/{id}`: a connector's heartbeat. It carries the evidence for every device it holds, one small write for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from keepline.ports.documents import SERVER_TIME, Create, Document, Query, Update, Version

CONNECTORS = "connectors"
CONNECTORS_MAX = 200


def connector_path(connector: str) -> str:
    return f"{CONNECTORS}/{connector}"


@dataclass(frozen=True)
class DeviceBeat:
    """What a connector knew of one device at its beat: the newest evidence, and how deep its queue is.

    `held_because` says why pacing holds back all that waits, `held_s` for how many seconds more; None when it does not.
    `quality` is how good its connection is, 0 to 100; None when that is not known.
    """

    evidence_kind: str | None
    evidence_age_ms: int | None
    queued: int
    oldest_queued_at: datetime | None
    held_because: str | None = None
    held_s: float | None = None
    quality: int | None = None

    def aged(self, age_ms: int) -> DeviceBeat:
        """The same, known for some time already when it is written."""
        if self.evidence_age_ms is None:
            return self
        return replace(self, evidence_age_ms=self.evidence_age_ms + age_ms)


@dataclass(frozen=True)
class ConnectorBeat:
    """A heartbeat, which is the connector's lease as well. `at` is Firestore's time; observers with a monotonic clock go by
    `beat`.

    `process` names the process that runs under the connector's name, anew at each start. `expired_by`: another connector has
    found that the lease ran out; whoever held it must acquire it anew. `capacity`: how many devices it may hold.
    `client_built_at`: of when its WhatsApp client is, None where its build does not say. `drain`: a person wants it to
    give its devices away. Heartbeats leave that field as it is, also those of the connector's next processes.
    """

    connector: str
    region: str
    beat: int
    at: datetime
    stopping: bool
    process: str
    ttl_s: float
    expired_by: str | None
    capacity: int
    client_built_at: datetime | None
    drain: bool
    devices: Mapping[str, DeviceBeat]  # by `<account>_<slot>`
    version: Version

    @property
    def is_over(self) -> bool:
        """Whether nobody holds this lease: it was given back, or ran out."""
        return self.stopping or self.expired_by is not None

    @classmethod
    def read(cls, document: Document) -> ConnectorBeat:
        fields = document.fields
        return cls(
            connector=document.id,
            region=fields["region"],
            beat=fields["beat"],
            at=fields["at"],
            stopping=fields["stopping"],
            process=fields["process"],
            ttl_s=fields["ttl_s"],
            expired_by=fields["expired_by"],
            capacity=fields.get("capacity", 0),  # An earlier build's does not say: it is given nothing more.
            client_built_at=fields.get("client_built_at"),
            drain=fields.get("drain") is True,  # A person may have typed it: only a true boolean counts.
            devices={name: DeviceBeat(**beat) for name, beat in fields["devices"].items()},
            version=document.version,
        )


@dataclass(frozen=True)
class Beater:
    """What stays the same in the heartbeats of one process."""

    connector: str
    region: str
    process: str
    ttl_s: float
    capacity: int
    started_at: datetime
    client_built_at: datetime | None = None

    def write_beat(
        self, beat: int, devices: Mapping[str, DeviceBeat], *, stopping: bool, version: Version | None
    ) -> Create | Update:
        """The next beat, on the condition that the document is as it was at `version` (None: that there is none)."""
        fields: dict[str, Any] = {
            "region": self.region,
            "beat": beat,
            "at": SERVER_TIME,
            "stopping": stopping,
            "process": self.process,
            "ttl_s": self.ttl_s,
            "capacity": self.capacity,
            "expired_by": None,
            "started_at": self.started_at,
            "client_built_at": self.client_built_at,
            "devices": {name: vars(device) for name, device in devices.items()},
        }
        path = connector_path(self.connector)
        return Create(path, fields) if version is None else Update(path, fields, version)


def expire(beat: ConnectorBeat, by: str) -> Update:
    """Say that a lease has run out, unless it was renewed meanwhile: then this write is refused."""
    return Update(connector_path(beat.connector), {"expired_by": by, "expired_at": SERVER_TIME}, beat.version)


def drain(connector: str, wanted: bool) -> Update:
    """Ask a connector to give its devices away, or to take devices again. Refused if there is none of this name."""
    return Update(connector_path(connector), {"drain": wanted})


def all_connectors() -> Query:
    return Query(CONNECTORS, limit=CONNECTORS_MAX)
