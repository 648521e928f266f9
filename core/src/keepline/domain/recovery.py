"""What is done for a target that is down or getting worse: a state machine over what is seen of it. Pure; time is passed in.

- Down: restart and redeploy begin side by side; the first that makes it healthy wins and the other is called off. That is an
  attempt. Attempts are limited within an hour, over all recoveries of a target, and the pause before each one grows.
- Getting worse while it still works: make before break. A connector gives its devices to others first, is restarted when it has
  none, and then takes devices again. Where nobody can take over, the restart is advised and not done: a prediction may be wrong,
  and a restart for nothing would be the only outage.

Who acts on the decisions holds a lease (`usecases/recovering.py`); each decision is on record before it is acted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

ATTEMPTS_MAX = 3


@dataclass(frozen=True)
class Limits:
    """Of one target. Seconds; `attempts_max` counts those begun within `window_s`.

    `attempt_s` is the goal for a recovery by a restart; what a platform has not managed in that time is tried anew.
    The pauses are 15 s, 60 s, 240 s, at most a quarter of an hour: a start that fails on something that passes (a quota, a
    registry) needs minutes, and one that fails on itself must not go on for ever. `drain_s`: 200 devices are given away in less.
    """

    attempts_max: int = ATTEMPTS_MAX
    window_s: float = 3600.0
    attempt_s: float = 90.0
    pause_first_s: float = 15.0
    pause_growth: float = 4.0
    pause_max_s: float = 900.0
    drain_s: float = 240.0

    def pause_s(self, attempts: int) -> float:
        """How long nothing is done after so many attempts within the window (1 or more), seconds."""
        return min(self.pause_first_s * self.pause_growth ** (attempts - 1), self.pause_max_s)


class Reason(StrEnum):
    """Why a target is to be recovered."""

    DOWN = "down"
    DEGRADING = "degrading"  # it works, and its trend says that it soon will not


class Way(StrEnum):
    """What is done to a target."""

    DRAIN = "drain"  # a connector gives its devices to others
    RESTART = "restart"  # what is deployed, started afresh
    REDEPLOY = "redeploy"  # what last worked, deployed anew
    UNDRAIN = "undrain"  # the connector takes devices again


class StepState(StrEnum):
    """What became of one way."""

    UNDER_WAY = "under_way"  # begun; the driver, or the one that takes over from it, says how it ended
    DONE = "done"  # the platform says that it is done; whether it helped, the target's health says
    FAILED = "failed"  # refused, or it ended badly
    NOT_OFFERED = "not_offered"  # this platform knows no such way
    CALLED_OFF = "called_off"  # another one was first, or the attempt is over
    LEFT_RUNNING = "left_running"  # it should have been called off, and cannot be


class Phase(StrEnum):
    """Where a recovery stands. The last three are its ends."""

    COOLING = "cooling"  # waits until `next_at` for its next attempt
    DRAINING = "draining"  # the connector gives its devices away, before it is restarted
    TRYING = "trying"  # ways are under way, or done and not yet seen to help
    RECOVERED = "recovered"
    FAILED = "failed"
    ADVISED = "advised"  # a restart would help, but nobody could take over meanwhile

    @property
    def is_end(self) -> bool:
        return self in (Phase.RECOVERED, Phase.FAILED, Phase.ADVISED)


class StandIn(StrEnum):
    """What carries a target's work while it is restarted."""

    NONE = "none"
    OTHERS = "others"  # other connectors have room for its devices
    PLATFORM = "platform"  # the platform starts the new one before it ends the old one


@dataclass(frozen=True)
class Step:
    """One way in one attempt."""

    way: Way
    attempt: int
    state: StepState
    at: datetime
    ended_at: datetime | None = None
    detail: str = ""


@dataclass(frozen=True)
class History:
    """A target's attempts over all its recoveries: when each of the newest began, and when the last one ended."""

    attempts: tuple[datetime, ...] = ()
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Recovery:
    """One recovery. `began_at`: when the target's trouble began, as the monitor says; `opened_at`: when this was opened.

    `winner`: the way that was done first when the target was healthy; None while there is none, or if it came back by itself.
    """

    id: str
    target: str
    name: str
    kind: str
    reason: Reason
    began_at: datetime
    opened_at: datetime
    phase: Phase
    next_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = 0
    steps: tuple[Step, ...] = ()
    winner: Way | None = None
    code: str = ""
    sentence: str = ""

    @property
    def drained(self) -> bool:
        """Whether its connector was told to give its devices away and not yet to take some again."""
        told = [step.way for step in self.steps if step.way in (Way.DRAIN, Way.UNDRAIN)]
        return bool(told) and told[-1] is Way.DRAIN

    def under_way(self) -> list[Step]:
        return [step for step in self.steps if step.state is StepState.UNDER_WAY]


@dataclass(frozen=True)
class Seen:
    """The target now. `devices_left`: how many a connector still holds; 0 for other kinds."""

    healthy: bool
    devices_left: int = 0


@dataclass(frozen=True)
class Act:
    """To be carried out. `call_off`: the step is to be called off instead of begun."""

    step: Step
    call_off: bool = False


@dataclass(frozen=True)
class Decision:
    """What the recovery and the target's history are now, and what is to be done about it, in this order."""

    recovery: Recovery
    history: History
    acts: list[Act] = field(default_factory=list)


def attempts_within(history: History, now: datetime, limits: Limits) -> list[datetime]:
    """The attempts that count against the limit."""
    since = now - timedelta(seconds=limits.window_s)
    return [at for at in history.attempts if at > since]


def earliest_attempt(history: History, now: datetime, limits: Limits) -> datetime:
    """When the next attempt may begin: `now`, or later."""
    recent = attempts_within(history, now, limits)
    if not recent:
        return now
    if len(recent) >= limits.attempts_max:
        return recent[-limits.attempts_max] + timedelta(seconds=limits.window_s)
    rested_since = max(history.ended_at or recent[-1], recent[-1])
    return max(now, rested_since + timedelta(seconds=limits.pause_s(len(recent))))


def opened(
    recovery_id: str,
    target: str,
    name: str,
    kind: str,
    reason: Reason,
    began_at: datetime,
    *,
    history: History,
    stand_in: StandIn,
    now: datetime,
    limits: Limits,
) -> Decision:
    """The beginning of a recovery, or its end at once where nothing may be done."""
    recovery = Recovery(recovery_id, target, name, kind, reason, began_at, now, Phase.COOLING)
    may_at = earliest_attempt(history, now, limits)
    if reason is Reason.DEGRADING:
        if stand_in is StandIn.NONE:
            return Decision(
                _ended(recovery, Phase.ADVISED, now, "no_stand_in", f"{name} is getting worse: restart it soon."),
                history,
            )
        if may_at > now:
            return Decision(
                _ended(
                    recovery, Phase.ADVISED, now, "recovered_recently", f"{name} is getting worse again: look at it."
                ),
                history,
            )
        if stand_in is StandIn.OTHERS:
            drain = Step(Way.DRAIN, 1, StepState.DONE, now, now)
            return Decision(replace(recovery, phase=Phase.DRAINING, steps=(drain,)), history)
    elif len(attempts_within(history, now, limits)) >= limits.attempts_max:
        return Decision(_used_up(recovery, now, limits), history)
    return Decision(replace(recovery, next_at=may_at), history)


def decide(recovery: Recovery, history: History, seen: Seen, now: datetime, limits: Limits) -> Decision:
    """The next decision. Nothing to do is the same recovery again, with no acts."""
    match recovery.phase:
        case Phase.COOLING:
            return _cooling(recovery, history, seen, now, limits)
        case Phase.DRAINING:
            return _draining(recovery, history, seen, now, limits)
        case Phase.TRYING:
            return _trying(recovery, history, seen, now, limits)
        case _:
            return Decision(recovery, history)


def step_ended(recovery: Recovery, way: Way, attempt: int, state: StepState, detail: str, now: datetime) -> Recovery:
    """Its driver says how a step ended. A step that has ended, or was called off, stays as it is, unless it could not be."""
    return replace(
        recovery,
        steps=tuple(
            replace(step, state=state, detail=detail, ended_at=now)
            if (step.way, step.attempt) == (way, attempt)
            and (
                step.state is StepState.UNDER_WAY
                or (step.state is StepState.CALLED_OFF and state is StepState.LEFT_RUNNING)
            )
            else step
            for step in recovery.steps
        ),
    )


def _cooling(recovery: Recovery, history: History, seen: Seen, now: datetime, limits: Limits) -> Decision:
    if seen.healthy and recovery.reason is Reason.DOWN:
        return _recovered(recovery, history, now)
    may_at = earliest_attempt(history, now, limits)
    if may_at > now or (recovery.next_at is not None and now < recovery.next_at):
        return Decision(recovery, history)
    return _attempt(recovery, history, now, limits)


def _draining(recovery: Recovery, history: History, seen: Seen, now: datetime, limits: Limits) -> Decision:
    if not seen.healthy or seen.devices_left == 0:
        # If it has gone down meanwhile, there is nothing left to spare.
        return _attempt(recovery, history, now, limits)
    if now >= recovery.opened_at + timedelta(seconds=limits.drain_s):
        sentence = f"{recovery.name} still had {seen.devices_left} devices when it was to be restarted, so it was not."
        return Decision(_ended(recovery, Phase.FAILED, now, "drain_timed_out", sentence), history)
    return Decision(recovery, history)


def _attempt(recovery: Recovery, history: History, now: datetime, limits: Limits) -> Decision:
    attempt = recovery.attempts + 1
    # A redeployment is for what a restart may not mend. What still works is not to be changed on a guess.
    ways: Sequence[Way] = (Way.RESTART, Way.REDEPLOY) if recovery.reason is Reason.DOWN else (Way.RESTART,)
    steps = [Step(way, attempt, StepState.UNDER_WAY, now) for way in ways]
    trying = replace(recovery, phase=Phase.TRYING, next_at=None, attempts=attempt, steps=(*recovery.steps, *steps))
    kept = (*attempts_within(history, now, limits), now)
    return Decision(trying, History(kept, history.ended_at), [Act(step) for step in steps])


def _trying(recovery: Recovery, history: History, seen: Seen, now: datetime, limits: Limits) -> Decision:
    steps = [
        step for step in recovery.steps if step.attempt == recovery.attempts and step.way in (Way.RESTART, Way.REDEPLOY)
    ]
    # What was restarted while it worked looks healthy all the time: only what is seen after the restart counts.
    restarted = any(step.state is StepState.DONE for step in steps)
    if seen.healthy and (restarted or recovery.reason is Reason.DOWN):
        return _recovered(recovery, history, now)
    idle = all(step.state in (StepState.FAILED, StepState.NOT_OFFERED) for step in steps)
    if not idle and now < steps[0].at + timedelta(seconds=limits.attempt_s):
        return Decision(recovery, history)
    acts, called_off = _call_off(recovery, now, "the attempt is over")
    rested = History(history.attempts, now)
    if all(step.state is StepState.NOT_OFFERED for step in steps):
        sentence = f"Nothing that is configured for {recovery.name} can restart it."
        return Decision(_ended(called_off, Phase.FAILED, now, "nothing_offered", sentence), rested, acts)
    if recovery.reason is Reason.DEGRADING:
        sentence = f"{recovery.name} could not be restarted before it fails."
        return Decision(_ended(called_off, Phase.FAILED, now, "not_restarted", sentence), rested, acts)
    if len(attempts_within(rested, now, limits)) >= limits.attempts_max:
        return Decision(_used_up(called_off, now, limits), rested, acts)
    cooling = replace(called_off, phase=Phase.COOLING, next_at=earliest_attempt(rested, now, limits))
    return Decision(cooling, rested, acts)


def _recovered(recovery: Recovery, history: History, now: datetime) -> Decision:
    done = [step for step in recovery.steps if step.state is StepState.DONE and step.way in (Way.RESTART, Way.REDEPLOY)]
    winner = min(done, key=lambda step: step.ended_at or now).way if done else None
    acts, called_off = _call_off(recovery, now, f"{winner} was first" if winner else "it came back by itself")
    if winner is None:
        code, how = "came_back", "by itself"
    else:
        code, how = "recovered", f"after a {winner}"
    ended = _ended(called_off, Phase.RECOVERED, now, code, f"{recovery.name} is healthy again {how}.")
    rested = History(history.attempts, now) if recovery.attempts else history
    return Decision(replace(ended, winner=winner), rested, acts)


def _call_off(recovery: Recovery, now: datetime, why: str) -> tuple[list[Act], Recovery]:
    acts = [Act(step, call_off=True) for step in recovery.under_way()]
    called_off = recovery
    for act in acts:
        called_off = step_ended(called_off, act.step.way, act.step.attempt, StepState.CALLED_OFF, why, now)
    return acts, called_off


def _used_up(recovery: Recovery, now: datetime, limits: Limits) -> Recovery:
    sentence = f"{recovery.name} was restarted {limits.attempts_max} times within an hour and is not healthy."
    return _ended(recovery, Phase.FAILED, now, "attempts_used_up", sentence)


def _ended(recovery: Recovery, phase: Phase, now: datetime, code: str, sentence: str) -> Recovery:
    """At its end a connector takes devices again, however it ended."""
    undrain = (Step(Way.UNDRAIN, max(recovery.attempts, 1), StepState.DONE, now, now),) if recovery.drained else ()
    return replace(
        recovery,
        phase=phase,
        next_at=None,
        ended_at=now,
        steps=(*recovery.steps, *undrain),
        code=code,
        sentence=sentence,
    )
