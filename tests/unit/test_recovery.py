"""What is done for a target that is down or getting worse: the table of its states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keepline.domain import recovery
from keepline.domain.recovery import (
    Decision,
    History,
    Limits,
    Phase,
    Reason,
    Recovery,
    Seen,
    StandIn,
    StepState,
    Way,
)

T0 = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
LIMITS = Limits()
NO_HISTORY = History()
DOWN, HEALTHY = Seen(healthy=False), Seen(healthy=True)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def opened(
    reason: Reason = Reason.DOWN,
    *,
    history: History = NO_HISTORY,
    stand_in: StandIn = StandIn.NONE,
    now: datetime = T0,
) -> Decision:
    return recovery.opened(
        "r1", "t", "T", "connector", reason, now, history=history, stand_in=stand_in, now=now, limits=LIMITS
    )


def decide(before: Decision, seen: Seen, now: datetime) -> Decision:
    return recovery.decide(before.recovery, before.history, seen, now, LIMITS)


def ended(before: Decision, way: Way, state: StepState, now: datetime) -> Decision:
    told = recovery.step_ended(before.recovery, way, before.recovery.attempts, state, "", now)
    return Decision(told, before.history)


def ways(decision: Decision, *, call_off: bool = False) -> list[Way]:
    return [act.step.way for act in decision.acts if act.call_off is call_off]


def trying() -> Decision:
    return decide(opened(), DOWN, T0)


def steps(of: Recovery) -> dict[Way, StepState]:
    return {step.way: step.state for step in of.steps}


def test_a_target_that_is_down_is_restarted_and_redeployed_side_by_side_at_once() -> None:
    begun = trying()
    assert begun.recovery.phase is Phase.TRYING
    assert ways(begun) == [Way.RESTART, Way.REDEPLOY]
    assert begun.history.attempts == (T0,)


@pytest.mark.parametrize("first", [Way.RESTART, Way.REDEPLOY])
def test_the_first_way_that_makes_it_healthy_wins_and_the_other_is_called_off(first: Way) -> None:
    other = Way.REDEPLOY if first is Way.RESTART else Way.RESTART
    over = decide(ended(trying(), first, StepState.DONE, at(5)), HEALTHY, at(7))
    assert (over.recovery.phase, over.recovery.winner, over.recovery.code) == (Phase.RECOVERED, first, "recovered")
    assert ways(over, call_off=True) == [other]
    assert steps(over.recovery) == {first: StepState.DONE, other: StepState.CALLED_OFF}


def test_of_two_that_are_done_the_earlier_one_won() -> None:
    both = ended(ended(trying(), Way.REDEPLOY, StepState.DONE, at(5)), Way.RESTART, StepState.DONE, at(6))
    assert decide(both, HEALTHY, at(7)).recovery.winner is Way.REDEPLOY


def test_what_comes_back_by_itself_has_no_winner() -> None:
    over = decide(trying(), HEALTHY, at(1)).recovery
    assert (over.phase, over.winner, over.code) == (Phase.RECOVERED, None, "came_back")


def test_done_is_not_healthy() -> None:
    done = ended(ended(trying(), Way.RESTART, StepState.DONE, at(5)), Way.REDEPLOY, StepState.DONE, at(6))
    assert decide(done, DOWN, at(80)).recovery.phase is Phase.TRYING


def test_an_attempt_that_did_not_help_is_over_after_its_time_and_another_follows_after_a_pause() -> None:
    over = decide(trying(), DOWN, at(90))
    assert over.recovery.phase is Phase.COOLING
    assert ways(over, call_off=True) == [Way.RESTART, Way.REDEPLOY]
    assert over.recovery.next_at == at(90 + 15)
    assert decide(over, DOWN, at(104)).acts == []
    again = decide(over, DOWN, at(105))
    assert (again.recovery.phase, again.recovery.attempts, ways(again)) == (
        *(Phase.TRYING, 2),
        [Way.RESTART, Way.REDEPLOY],
    )


def test_an_attempt_is_over_at_once_when_all_its_ways_failed() -> None:
    failed = ended(ended(trying(), Way.RESTART, StepState.FAILED, at(2)), Way.REDEPLOY, StepState.NOT_OFFERED, at(1))
    over = decide(failed, DOWN, at(2))
    assert (over.recovery.phase, over.recovery.next_at) == (Phase.COOLING, at(17))


def test_pauses_grow_and_attempts_are_limited_within_an_hour() -> None:
    state, now, begun = opened(), 0.0, []
    while not state.recovery.phase.is_end:
        state = decide(state, DOWN, at(now))
        begun += [now] if ways(state) else []
        now += 1.0
    assert begun == [0.0, 105.0, 105.0 + 90 + 60]
    assert (state.recovery.phase, state.recovery.code) == (Phase.FAILED, "attempts_used_up")


def test_attempts_of_earlier_recoveries_count() -> None:
    history = History((at(-600), at(-400), at(-200)), at(-190))
    refused = opened(history=history).recovery
    assert (refused.phase, refused.code) == (Phase.FAILED, "attempts_used_up")
    later = opened(history=history, now=at(3001))
    assert later.recovery.phase is Phase.COOLING
    assert ways(decide(later, DOWN, at(3001))) == [Way.RESTART, Way.REDEPLOY]


def test_a_target_that_falls_again_at_once_waits_for_the_pause() -> None:
    again = opened(history=History((at(-20),), at(-10)))
    assert again.recovery.next_at == at(5)
    assert decide(again, DOWN, at(4)).acts == []
    assert decide(again, HEALTHY, at(4)).recovery.code == "came_back"


def test_nothing_that_can_restart_it_ends_the_recovery() -> None:
    none = ended(ended(trying(), Way.RESTART, StepState.NOT_OFFERED, at(1)), Way.REDEPLOY, StepState.NOT_OFFERED, at(1))
    assert decide(none, DOWN, at(1)).recovery.code == "nothing_offered"


def test_a_degrading_connector_gives_its_devices_away_before_it_is_restarted() -> None:
    draining = opened(Reason.DEGRADING, stand_in=StandIn.OTHERS)
    assert (draining.recovery.phase, draining.recovery.drained) == (Phase.DRAINING, True)
    assert decide(draining, Seen(healthy=True, devices_left=2), at(30)).recovery == draining.recovery
    begun = decide(draining, Seen(healthy=True, devices_left=0), at(31))
    assert ways(begun) == [Way.RESTART]  # What still works is not changed on a guess.
    waiting = decide(begun, HEALTHY, at(32))
    assert waiting.recovery.phase is Phase.TRYING  # It looks healthy because it has not been restarted yet.
    over = decide(ended(begun, Way.RESTART, StepState.DONE, at(35)), HEALTHY, at(36)).recovery
    assert (over.phase, over.winner, over.drained) == (Phase.RECOVERED, Way.RESTART, False)
    assert [step.way for step in over.steps] == [Way.DRAIN, Way.RESTART, Way.UNDRAIN]


def test_a_connector_that_cannot_give_its_devices_away_is_not_restarted_and_takes_devices_again() -> None:
    draining = opened(Reason.DEGRADING, stand_in=StandIn.OTHERS)
    over = decide(draining, Seen(healthy=True, devices_left=1), at(LIMITS.drain_s))
    assert (over.recovery.phase, over.recovery.code, over.recovery.drained) == (Phase.FAILED, "drain_timed_out", False)
    assert over.acts == []


def test_a_draining_connector_that_goes_down_is_restarted_at_once() -> None:
    draining = opened(Reason.DEGRADING, stand_in=StandIn.OTHERS)
    assert ways(decide(draining, Seen(healthy=False, devices_left=2), at(3))) == [Way.RESTART]


def test_a_predictive_restart_with_nobody_to_take_over_is_advised_and_not_done() -> None:
    advised = opened(Reason.DEGRADING)
    assert (advised.recovery.phase, advised.recovery.code, advised.acts) == (Phase.ADVISED, "no_stand_in", [])


def test_a_platform_that_replaces_before_ending_needs_nobody_to_take_over() -> None:
    begun = decide(opened(Reason.DEGRADING, stand_in=StandIn.PLATFORM), HEALTHY, T0)
    assert ways(begun) == [Way.RESTART]


def test_how_a_step_ended_is_told_once() -> None:
    told = recovery.step_ended(trying().recovery, Way.RESTART, 1, StepState.DONE, "", at(1))
    assert recovery.step_ended(told, Way.RESTART, 1, StepState.FAILED, "", at(2)) == told
    called_off = decide(Decision(told, History()), HEALTHY, at(2)).recovery
    left = recovery.step_ended(called_off, Way.REDEPLOY, 1, StepState.LEFT_RUNNING, "runs on", at(3))
    assert steps(left)[Way.REDEPLOY] is StepState.LEFT_RUNNING
    assert steps(recovery.step_ended(called_off, Way.REDEPLOY, 1, StepState.DONE, "", at(3)))[Way.REDEPLOY] is (
        StepState.CALLED_OFF
    )


def test_an_end_stays_an_end() -> None:
    over = decide(trying(), HEALTHY, at(1))
    for seen in (DOWN, HEALTHY):
        assert decide(Decision(over.recovery, over.history), seen, at(1e6)).recovery == over.recovery


def test_when_the_attempts_of_an_hour_are_used_up_the_next_may_begin_when_the_oldest_that_counts_is_an_hour_old() -> (
    None
):
    begun = (at(0), at(600), at(1_200), at(1_800))  # one more than the limit, as another setting may have left it
    assert recovery.earliest_attempt(History(begun, at(1_900)), at(2_000), LIMITS) == at(600 + 3_600)
