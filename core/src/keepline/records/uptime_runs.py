"""`uptime_runs/current`: the run that watches at present. One document with a condition, so that two never watch at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keepline.ports.documents import Create, Document, Update, Version

PATH = "uptime_runs/current"


@dataclass(frozen=True)
class Run:
    """`until_at`: whoever wants to watch waits until then, or until it has ended; a run that crashes is over then.

    `watched_until`: until then somebody watched, as far as has been written.
    """

    run: str
    until_at: datetime
    watched_until: datetime
    version: Version

    @classmethod
    def read(cls, document: Document) -> Run:
        fields = document.fields
        return cls(fields["run"], fields["until_at"], fields["watched_until"], document.version)


def begin(before: Run | None, run: str, now: datetime, until_at: datetime) -> Create | Update:
    """It is this run's turn, if nobody has taken it since `before` was read."""
    fields = {"run": run, "began_at": now, "until_at": until_at, "watched_until": now}
    return Create(PATH, fields) if before is None else Update(PATH, fields, before.version)


def go_on(now: datetime, until_at: datetime, version: Version) -> Update:
    """The run still watches."""
    return Update(PATH, {"until_at": until_at, "watched_until": now}, version)


def end(now: datetime, version: Version) -> Update:
    """The run has ended, and the next may begin."""
    return Update(PATH, {"until_at": now, "watched_until": now}, version)
