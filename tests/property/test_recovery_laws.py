"""Limits of recovery hold over any schedule of trouble, outcomes and reopenings, and every connector gets its devices back."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import event, given, settings
from hypothesis import strategies as st

from keepline.domain import recovery
from keepline.domain.recovery import Decision, History, Limits, Phase, Reason, Seen, StandIn, StepState, Way

T0 = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)

limits = st.builds(
    Limits,
    attempts_max=st.integers(1, 3),
    window_s=st.sampled_from([600.0, 3600.0]),
    attempt_s=st.sampled_from([5.0, 90.0]),
)
# Seconds that pass, how the target looks then, and how what is under way ends, if it does.
moments = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 20.0, 100.0]) | st.floats(0.0, 400.0),
        st.booleans(),
        st.integers(0, 2),
        st.sampled_from([None, StepState.DONE, StepState.FAILED, StepState.NOT_OFFERED]),
        st.sampled_from(list(Reason)),
        st.sampled_from(list(StandIn)),
    ),
    min_size=1,
    max_size=80,
)


@settings(max_examples=500)
@given(limits, moments)
def test_attempts_within_any_window_are_limited_and_pauses_are_kept(bounds: Limits, schedule: list) -> None:  # type: ignore[type-arg]
    now, history = T0, History()
    state: Decision | None = None
    begun: list[datetime] = []
    recoveries = 0
    for passed_s, healthy, left, outcome, reason, stand_in in schedule:
        now += timedelta(seconds=passed_s)
        if state is None or state.recovery.phase.is_end:
            recoveries += 1
            state = recovery.opened(
                f"r{recoveries}", "t", "T", "connector", reason, now,
                history=history, stand_in=stand_in, now=now, limits=bounds,
            )  # fmt: skip
        else:
            told = state.recovery
            if outcome is not None:
                for step in told.under_way():
                    told = recovery.step_ended(told, step.way, step.attempt, outcome, "", now)
            state = recovery.decide(told, state.history, Seen(healthy, left), now, bounds)
        if any(not act.call_off for act in state.acts):
            begun.append(now)
        history = state.history
        if state.recovery.phase.is_end:
            assert not state.recovery.under_way()
            assert not state.recovery.drained
            assert state.recovery.ended_at is not None
        if state.recovery.reason is Reason.DEGRADING:
            assert all(step.way is not Way.REDEPLOY for step in state.recovery.steps)
    for index, first in enumerate(begun):
        assert (
            sum(first <= at < first + timedelta(seconds=bounds.window_s) for at in begun[index:]) <= bounds.attempts_max
        )
    for earlier, later in itertools.pairwise(begun):
        assert later - earlier >= timedelta(seconds=bounds.pause_first_s)
    event(f"attempts: {min(len(begun), 6)}")


@given(moments)
def test_every_recovery_ends(schedule: list) -> None:  # type: ignore[type-arg]
    """Whatever is seen, with time enough it is over: nothing waits for what may never come."""
    bounds = Limits()
    for _, healthy, left, _, reason, stand_in in schedule:
        state = recovery.opened(
            "r", "t", "T", "connector", reason, T0, history=History(), stand_in=stand_in, now=T0, limits=bounds
        )
        for second in range(0, 3600, 15):
            if state.recovery.phase.is_end:
                break
            now = T0 + timedelta(seconds=second)
            state = recovery.decide(state.recovery, state.history, Seen(healthy, left), now, bounds)
        assert state.recovery.phase in (Phase.RECOVERED, Phase.FAILED, Phase.ADVISED)
