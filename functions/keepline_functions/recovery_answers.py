"""What the API answers of recoveries, for its description and for type checkers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from keepline.domain.recovery import Phase, StepState, Way
from keepline_functions.answers import At, shape


@with_config(
    shape(
        way="restart",
        attempt=1,
        state="done",
        at="2026-11-22T02:03:04.000Z",
        ended_at="2026-11-22T02:03:06.100Z",
        detail="answered 202",
    )
)
class RecoveryStepJson(TypedDict):
    """What was done for a target."""

    way: Way
    attempt: int
    state: StepState
    at: At
    ended_at: At | None
    """null while it is under way."""
    detail: str
    """How it ended, in a few words."""


@with_config(shape())
class RecoveryJson(TypedDict):
    """A recovery of a target."""

    recovery_id: Annotated[str, Field(examples=["20261122T020304_5f0c2a1b"])]
    reason: Literal["down", "degrading"]
    phase: Phase
    """`recovered`, `failed` and `advised` are ends."""
    began_at: At
    """Since when the target was as `reason` says."""
    opened_at: At
    ended_at: At | None
    next_at: At | None
    """While it is `cooling`: when the next attempt may begin."""
    attempts: int
    winner: Literal["restart", "redeploy"] | None
    """What was done first when the target was healthy again; null when nothing was, or it came back by itself."""
    code: str
    """`recovered`, `came_back`, `attempts_used_up`, `nothing_offered`, `not_restarted`, `drain_timed_out`, `no_stand_in` or
    `recovered_recently`; empty until its end."""
    sentence: str
    steps: list[RecoveryStepJson]
