"""Recoveries as JSON."""

from __future__ import annotations

from typing import cast

from keepline.domain.recovery import Recovery
from keepline_functions.recovery_answers import RecoveryJson
from keepline_functions.views import rfc3339


def recovery_json(recovery: Recovery) -> RecoveryJson:
    """A recovery with its steps."""
    shown = {
        "recovery_id": recovery.id,
        "reason": recovery.reason.value,
        "phase": recovery.phase,
        "began_at": rfc3339(recovery.began_at),
        "opened_at": rfc3339(recovery.opened_at),
        "ended_at": rfc3339(recovery.ended_at) if recovery.ended_at else None,
        "next_at": rfc3339(recovery.next_at) if recovery.next_at else None,
        "attempts": recovery.attempts,
        "winner": recovery.winner,
        "code": recovery.code,
        "sentence": recovery.sentence,
        "steps": [
            {
                "way": step.way,
                "attempt": step.attempt,
                "state": step.state,
                "at": rfc3339(step.at),
                "ended_at": rfc3339(step.ended_at) if step.ended_at else None,
                "detail": step.detail,
            }
            for step in recovery.steps
        ],
    }
    return cast("RecoveryJson", shown)  # reason and winner are some of their enums' values, which mypy cannot see
