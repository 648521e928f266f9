"""How a watched target is judged: its pace, and what each check makes of its state.

`unknown → up ⇄ degraded ⇄ down`. One failed check is no outage: the verdict `down` waits for several in a row, and the outage it
records began at the first of them. It ends at the first of several good checks in a row. A target is degraded while half of
the checks of a window failed or were slow, until fewer than a quarter are: so a single slow answer changes nothing, and
nothing flaps around one bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from keepline.domain.errors import InvalidInput
from keepline.domain.uptime_trend import slow_in_s

# Checks that are kept to judge by. At the quickest pace they are three minutes.
RECENT_MAX = 60
# Below this many checks in its window a target is not called degraded.
WINDOW_CHECKS_MIN = 4
DEGRADED_FROM = 0.5
DEGRADED_UNTIL = 0.25
# After a failed check the next one is begun so soon, until the verdict: one that fails by its time limit is followed at once.
CONFIRM_S = 1.0

ANSWERS = "answers"
SLOW = "slow"
STOPPED = "stopped"
DISABLED = "disabled"
NOT_CHECKED_YET = "not_checked_yet"


class State(StrEnum):
    """What is known of a target. Each check may change it."""

    UNKNOWN = "unknown"  # Not checked yet, or stopped on purpose.
    UP = "up"  # It answers as it should.
    DEGRADED = "degraded"  # It answers, but half of the checks of its window failed or were slow.
    DOWN = "down"  # An outage is on record, and has not ended.


class Verdict(StrEnum):
    """What whoever repairs targets is told of one."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    DEGRADING = "degrading"  # A prediction: its answers slow down steadily, and will be slow within minutes.


@dataclass(frozen=True)
class Pace:
    """How often a target is checked, and what is made of it.

    `interval_s` lies between the beginnings of checks; `failures_until_down` and `successes_until_up` count in a row; an answer
    is slow above `slow_ms` and given up after `timeout_ms`; `degradation_window_s` is looked back to call it degraded.
    """

    interval_s: int
    failures_until_down: int
    successes_until_up: int
    slow_ms: int
    timeout_ms: int
    degradation_window_s: int


BALANCED = "balanced"
AGGRESSIVE = "aggressive"
CONSERVATIVE = "conservative"
# `aggressive` finds what hangs within 3 + 1 + 1 s and what refuses within 3 + 1 s, and calls a cold start an outage sooner;
# `conservative` waits for five failures, about 10 + 5 × 8 s.
PRESETS = {
    CONSERVATIVE: Pace(10, 5, 3, 2_000, 8_000, 300),
    BALANCED: Pace(5, 3, 2, 1_000, 3_000, 120),
    AGGRESSIVE: Pace(3, 2, 2, 500, 1_000, 60),
}
INTERVALS_S = (3, 5, 10)
BOUNDS = {
    "failures_until_down": (1, 20),
    "successes_until_up": (1, 20),
    "slow_ms": (10, 30_000),
    "timeout_ms": (100, 30_000),
    "degradation_window_s": (15, 600),
}


def pace_of(preset: str, overrides: Mapping[str, int]) -> Pace:
    """A preset with some of its values replaced. Raises InvalidInput (`bad_pace`)."""
    if preset not in PRESETS:
        raise _bad_pace(f"There is no preset {preset[:20]!r}.", f"The presets are: {', '.join(PRESETS)}.")
    for name, value in overrides.items():
        if name == "interval_s":
            if value not in INTERVALS_S:
                raise _bad_pace("interval_s is not 3, 5 or 10.", "Choose one of the three.")
            continue
        least, most = BOUNDS[name]
        if not least <= value <= most:
            raise _bad_pace(f"{name} is out of its bounds.", f"Give a number from {least} to {most}.")
    pace = replace(PRESETS[preset], **overrides)
    if pace.slow_ms > pace.timeout_ms:
        raise _bad_pace("slow_ms is above timeout_ms.", "What is given up cannot be slow: give a longer timeout_ms.")
    return pace


@dataclass(frozen=True)
class Check:
    """One look at a target. `at` is the time that it tells of: when it was begun, or the heartbeat that it found.

    `code` is `answers`, or why it counts as failed. `ms` is how long the answer took; None without one.
    """

    at: datetime
    code: str
    ms: int | None = None

    @property
    def ok(self) -> bool:
        return self.code == ANSWERS


@dataclass(frozen=True)
class Sample:
    """What is kept of a check to judge by."""

    at: datetime
    ms: int | None
    ok: bool


@dataclass(frozen=True)
class Condition:
    """What is known of a target after its checks. `code` says why its state is so, `since` from when."""

    state: State
    since: datetime
    code: str = NOT_CHECKED_YET
    failures: int = 0  # in a row
    failing_since: datetime | None = None
    successes: int = 0  # in a row
    good_since: datetime | None = None
    outage_began: datetime | None = None
    degrading_since: datetime | None = None
    recent: tuple[Sample, ...] = field(default=(), repr=False)

    @property
    def verdict(self) -> Verdict | None:
        """What there is to tell of it; None while nothing is known."""
        if self.degrading_since is not None and self.state is not State.DOWN:
            return Verdict.DEGRADING
        return None if self.state is State.UNKNOWN else Verdict(self.state.value)

    @property
    def is_in_doubt(self) -> bool:
        """Whether the next check decides something, so that it should come soon."""
        return self.failures > 0 and self.state is not State.DOWN


def after(before: Condition, check: Check, pace: Pace) -> Condition:
    """What is known of a target after one more check."""
    counted = _counted(before, check)
    if not check.ok:
        if before.state is State.DOWN:
            return replace(counted, code=check.code)
        if counted.failures < pace.failures_until_down:
            return _graded(counted, check, pace)
        began = counted.failing_since or check.at
        return replace(
            counted, state=State.DOWN, since=check.at, code=check.code, outage_began=began, degrading_since=None
        )
    if before.state is State.DOWN:
        if counted.successes < pace.successes_until_up:
            return counted
        # What was before the outage's end says nothing of how it is now.
        since = counted.good_since or check.at
        kept = tuple(sample for sample in counted.recent if sample.ok and sample.at >= since)
        counted = replace(counted, state=State.UP, since=since, code=ANSWERS, outage_began=None, recent=kept)
    return _graded(counted, check, pace)


def struck(before: Condition, began_at: datetime, at: datetime, code: str) -> Condition:
    """Somebody else has found that the target is down."""
    if before.state is State.DOWN:
        return before
    return replace(
        before,
        state=State.DOWN,
        since=at,
        code=code,
        outage_began=began_at,
        successes=0,
        good_since=None,
        degrading_since=None,
    )


def put_to_rest(before: Condition, at: datetime, code: str) -> Condition:
    """There is nothing to judge: it stopped on purpose, or is not to be watched."""
    if before.state is State.UNKNOWN and before.code == code:
        return before
    return Condition(State.UNKNOWN, at, code)


def _counted(before: Condition, check: Check) -> Condition:
    recent = (*before.recent, Sample(check.at, check.ms, check.ok))[-RECENT_MAX:]
    if check.ok:
        return replace(
            before,
            failures=0,
            failing_since=None,
            successes=before.successes + 1,
            good_since=before.good_since or check.at,
            recent=recent,
        )
    return replace(
        before,
        failures=before.failures + 1,
        failing_since=before.failing_since or check.at,
        successes=0,
        good_since=None,
        recent=recent,
    )


def _graded(now: Condition, check: Check, pace: Pace) -> Condition:
    """Up or degraded, and where its answers are heading."""
    window_began = check.at - timedelta(seconds=pace.degradation_window_s)
    window = [sample for sample in now.recent if sample.at >= window_began]
    bad = sum(not sample.ok or (sample.ms or 0) > pace.slow_ms for sample in window) / len(window)
    bound = DEGRADED_UNTIL if now.state is State.DEGRADED else DEGRADED_FROM
    state = now.state
    if len(window) >= WINDOW_CHECKS_MIN and bad >= bound:
        state = State.DEGRADED
    elif check.ok or now.state is State.DEGRADED:
        state = State.UP
    code = {State.UP: ANSWERS, State.DEGRADED: SLOW}.get(state, now.code)
    if state is not now.state:
        now = replace(now, state=state, since=check.at)
    return replace(now, code=code, degrading_since=_degrading_since(now, check, pace))


def _degrading_since(now: Condition, check: Check, pace: Pace) -> datetime | None:
    answered = [
        (sample.at.timestamp(), float(sample.ms)) for sample in now.recent if sample.ok and sample.ms is not None
    ]
    if slow_in_s(answered, pace.slow_ms) is None:
        return None
    return now.degrading_since or check.at


def _bad_pace(message: str, hint: str) -> InvalidInput:
    return InvalidInput("bad_pace", message, hint)
