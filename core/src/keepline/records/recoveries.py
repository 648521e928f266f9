"""`recovering/{target}`: who recovers a target just now. `uptime/{target}/recoveries/{id}`: each of its recoveries.

Both are written in one commit, on the condition that the first is as it was read: so a target has one recovery at a time, a
limit on its attempts and one driver, however many processes look after it. The events in `monitoring/` go into the same commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from keepline.domain.events import EventKind
from keepline.domain.recovery import History, Phase, Reason, Recovery, Step, StepState, Way
from keepline.ports.documents import Create, Document, Put, Query, Update, Version, Where, Write
from keepline.records import monitoring
from keepline.records.uptime import target_path

GATES = "recovering"
RECOVERIES = "recoveries"
OPEN_MAX = 200
LISTED_MAX = 100
# As long as the monitor keeps a target's outages and the console shows them.
RECOVERY_KEPT = timedelta(days=400)


def gate_path(target: str) -> str:
    return f"{GATES}/{target}"


def recovery_path(target: str, recovery: str) -> str:
    return f"{target_path(target)}/{RECOVERIES}/{recovery}"


@dataclass(frozen=True)
class Gate:
    """A target's. `holder` drives the recovery `current` until `lease_until`; whoever finds the lease over may take it.

    `version` is None while there is no document.
    """

    target: str
    current: str | None = None
    holder: str | None = None
    lease_until: datetime | None = None
    history: History = field(default_factory=History)
    version: Version | None = None

    def is_held(self, now: datetime) -> bool:
        """Whether somebody drives it."""
        return self.current is not None and self.lease_until is not None and now < self.lease_until

    @classmethod
    def read(cls, document: Document) -> Gate:
        fields = document.fields
        return cls(
            target=document.id,
            current=fields["current"],
            holder=fields["holder"],
            lease_until=fields["lease_until"],
            history=History(tuple(fields["attempts"]), fields["attempt_ended_at"]),
            version=document.version,
        )

    def write(self) -> Write:
        """On the condition that nobody has written it since it was read."""
        fields: dict[str, Any] = {
            "tenant": None,
            "target": self.target,
            "open": self.current is not None,
            "current": self.current,
            "holder": self.holder,
            "lease_until": self.lease_until,
            "attempts": list(self.history.attempts),
            "attempt_ended_at": self.history.ended_at,
        }
        path = gate_path(self.target)
        return Create(path, fields) if self.version is None else Update(path, fields, self.version)

    def held_by(self, holder: str | None, until: datetime | None) -> Gate:
        return replace(self, holder=holder, lease_until=until)


def open_gates() -> Query:
    """Targets that are being recovered, or were when their driver died."""
    return Query(GATES, (Where("open", "==", True),), limit=OPEN_MAX)


def newest_recoveries(target: str, limit: int = LISTED_MAX) -> Query:
    """A target's recoveries, newest first."""
    return Query(f"{target_path(target)}/{RECOVERIES}", (), "opened_at", descending=True, limit=limit)


def write_recovery(recovery: Recovery) -> Put:
    """The gate's condition guards it, in the same commit."""
    return Put(
        recovery_path(recovery.target, recovery.id),
        {
            "tenant": None,
            "target": recovery.target,
            "name": recovery.name,
            "kind": recovery.kind,
            "reason": recovery.reason.value,
            "phase": recovery.phase.value,
            "began_at": recovery.began_at,
            "opened_at": recovery.opened_at,
            "next_at": recovery.next_at,
            "ended_at": recovery.ended_at,
            "attempts": recovery.attempts,
            "winner": recovery.winner.value if recovery.winner else None,
            "code": recovery.code,
            "sentence": recovery.sentence,
            "steps": [_step_fields(step) for step in recovery.steps],
            "expire_at": recovery.opened_at + RECOVERY_KEPT,
        },
    )


def read_recovery(document: Document) -> Recovery:
    fields = document.fields
    return Recovery(
        id=document.id,
        target=fields["target"],
        name=fields["name"],
        kind=fields["kind"],
        reason=Reason(fields["reason"]),
        began_at=fields["began_at"],
        opened_at=fields["opened_at"],
        phase=Phase(fields["phase"]),
        next_at=fields["next_at"],
        ended_at=fields["ended_at"],
        attempts=fields["attempts"],
        steps=tuple(_read_step(step) for step in fields["steps"]),
        winner=Way(fields["winner"]) if fields["winner"] else None,
        code=fields["code"],
        sentence=fields["sentence"],
    )


def _step_fields(step: Step) -> dict[str, Any]:
    return {
        "way": step.way.value,
        "attempt": step.attempt,
        "state": step.state.value,
        "at": step.at,
        "ended_at": step.ended_at,
        "detail": step.detail,
    }


def _read_step(fields: Mapping[str, Any]) -> Step:
    return Step(
        Way(fields["way"]),
        fields["attempt"],
        StepState(fields["state"]),
        fields["at"],
        fields["ended_at"],
        fields["detail"],
    )


_END_KINDS = {
    Phase.RECOVERED: EventKind.RECOVERED,
    Phase.FAILED: EventKind.RECOVERY_FAILED,
    Phase.ADVISED: EventKind.RECOVERY_ADVISED,
}


def events(before: Recovery | None, after: Recovery, now: datetime) -> list[Write]:
    """What a change of a recovery puts on record: its beginning, each step that began or ended, and its end.

    Each has an id of its own, so a repeated commit writes the same documents.
    """
    found: list[Write] = []
    if before is None and after.phase is not Phase.ADVISED:
        found.append(_event(EventKind.RECOVERY_STARTED, after, "begin", now, {"reason": after.reason.value}))
    known = {(step.way, step.attempt): step for step in before.steps} if before is not None else {}
    for step in after.steps:
        if known.get((step.way, step.attempt)) != step:
            about = {
                "way": step.way.value,
                "attempt": step.attempt,
                "outcome": step.state.value.replace("_", " "),
                "detail": step.detail,
            }
            named = f"{step.attempt} {step.way} {step.state}"
            found.append(_event(EventKind.RECOVERY_STEP, after, named, now, about))
    if after.phase.is_end and (before is None or not before.phase.is_end):
        about = {"code": after.code, "sentence": after.sentence, "attempts": after.attempts}
        found.append(_event(_END_KINDS[after.phase], after, "end", now, about))
    return found


def _event(kind: EventKind, recovery: Recovery, named: str, now: datetime, details: Mapping[str, Any]) -> Put:
    return monitoring.event(
        kind,
        f"{recovery.target} {recovery.id} {named}",
        at=now,
        subject=recovery.target,
        details={"name": recovery.name, "recovery": recovery.id, **details},
    )


def commit_of(gate: Gate, before: Recovery | None, after: Recovery, now: datetime) -> Sequence[Write]:
    """A change of a recovery, guarded by its gate."""
    return [gate.write(), write_recovery(after), *events(before, after, now)]
