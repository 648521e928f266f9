"""The life of an alert: opened once per condition, closed once when the condition has ended, and told of to each channel. Pure.

A condition that comes and goes is one alert (its rule says how long it must be gone). Nobody is told the same thing twice, and
nobody is reminded for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from keepline.domain.alert_rules import LATCHES, RULES, Condition, Rule
from keepline.domain.events import SEVERITIES, Severity
from keepline.domain.quiet_hours import QuietHours

# After so long without a word and without an acknowledgement a channel is told again; each time the pause doubles.
REMIND_AFTER = timedelta(hours=4)
REMINDERS_MAX = 3
# The pauses after a channel's failures, one after the other; the last one repeats until the notice is given up.
RETRY_PAUSES_S = (60.0, 120.0, 300.0, 900.0, 1_800.0, 3_600.0)
TRIES_MAX = 12
# Whoever tells a channel has this long for it: nobody else begins meanwhile.
TELLING_S = 120.0


class AlertState(StrEnum):
    """Where an alert is."""

    OPEN = "open"  # The condition holds, or held a moment ago. Left when it has been gone for long enough.
    CLOSED = "closed"  # It is over for good; when the condition comes back, that is another alert.


class Notice(StrEnum):
    """What a channel is told of an alert."""

    OPENED = "opened"
    REMINDER = "reminder"
    CLOSED = "closed"


@dataclass(frozen=True)
class Told:
    """What one channel has been told of an alert, and how the telling fares.

    `failures`: in a row, of the notice that is due. Until `next_try_at` it is left alone: somebody is at it, or it has failed.
    """

    opened_at: datetime | None = None
    last_at: datetime | None = None
    reminders: int = 0
    closed_at: datetime | None = None
    failures: int = 0
    next_try_at: datetime | None = None


@dataclass(frozen=True)
class Alert:
    """`number` counts the alerts of one condition. `count`: in how many rounds the condition was seen."""

    key: str
    number: int
    condition: Condition
    severity: Severity
    opened_at: datetime
    last_seen_at: datetime
    state: AlertState = AlertState.OPEN
    clear_since: datetime | None = None
    closed_at: datetime | None = None
    count: int = 1
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    told: Mapping[str, Told] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.key}_{self.number}"


@dataclass(frozen=True)
class Turn:
    """What a round makes of the open alerts: conditions that are new, alerts that changed, and of these those that closed."""

    opening: Sequence[Condition]
    changed: Sequence[Alert]
    closed: Sequence[Alert]


def turn(
    alerts: Iterable[Alert],
    conditions: Iterable[Condition],
    ended: Collection[tuple[Rule, str, str | None]],
    now: datetime,
) -> Turn:
    """Compare the open alerts with what holds now. `ended`: latched conditions that are over; the others of theirs stay."""
    holding = {condition.key: condition for condition in conditions}
    known = set()
    changed, closed = [], []
    for alert in alerts:
        key = alert.condition.key
        known.add(key)
        after = _next(alert, holding.get(key), is_latched=key[0] in LATCHES, has_ended=key in ended, now=now)
        if after.state is AlertState.CLOSED:
            closed.append(after)
        elif after != alert:
            changed.append(after)
    return Turn([one for key, one in holding.items() if key not in known], changed, closed)


def _next(alert: Alert, condition: Condition | None, *, is_latched: bool, has_ended: bool, now: datetime) -> Alert:
    if condition is not None:
        seen = replace(alert, condition=condition, last_seen_at=now, clear_since=None, count=alert.count + 1)
        # An event that latches is seen again each round: it says nothing new.
        return alert if is_latched else seen
    if is_latched and not has_ended:
        return alert
    clear_since = alert.clear_since or now
    if (now - clear_since).total_seconds() >= RULES[alert.condition.rule].clear_s:
        return replace(alert, state=AlertState.CLOSED, clear_since=clear_since, closed_at=now)
    return replace(alert, clear_since=clear_since)


def due(
    alert: Alert, channel: str, least: Severity, since: datetime, quiet: QuietHours | None, now: datetime
) -> Notice | None:
    """What a channel is to be told of an alert now, if anything.

    `least`: what is milder is not told there. `since`: the channel is there since then; what closed before is not its matter.
    Only what is critical breaks the quiet; the rest is told when that is over, and of what came and went meanwhile its end.
    """
    if SEVERITIES.index(alert.severity) < SEVERITIES.index(least):
        return None
    if alert.condition.rule is Rule.NOTIFIER_FAILED and alert.condition.subject == channel:
        return None  # The others are told that this one does not work.
    told = alert.told.get(channel, Told())
    if told.failures >= TRIES_MAX or (told.next_try_at is not None and now < told.next_try_at):
        return None
    if quiet is not None and quiet.is_quiet(now) and alert.severity is not Severity.CRITICAL:
        return None
    if alert.closed_at is not None:
        return Notice.CLOSED if told.closed_at is None and alert.closed_at >= since else None
    if told.opened_at is None:
        return Notice.OPENED
    last_at = told.last_at or told.opened_at
    is_due = now - last_at >= REMIND_AFTER * 2**told.reminders
    return Notice.REMINDER if is_due and alert.acknowledged_at is None and told.reminders < REMINDERS_MAX else None


def telling(alert: Alert, channel: str, now: datetime) -> Alert:
    """Somebody tells the channel now; others leave it alone until that is done, or has failed without a word."""
    busy = replace(alert.told.get(channel, Told()), next_try_at=now + timedelta(seconds=TELLING_S))
    return replace(alert, told={**alert.told, channel: busy})


def was_told(alert: Alert, channel: str, notice: Notice, now: datetime) -> Alert:
    """The channel has taken it."""
    told = replace(alert.told.get(channel, Told()), last_at=now, failures=0, next_try_at=None)
    match notice:
        case Notice.OPENED:
            told = replace(told, opened_at=now)
        case Notice.REMINDER:
            told = replace(told, reminders=told.reminders + 1)
        case Notice.CLOSED:
            told = replace(told, closed_at=now)
    return replace(alert, told={**alert.told, channel: told})


def was_not_told(alert: Alert, channel: str, now: datetime) -> Alert:
    """The channel has failed: it is tried again, later each time."""
    told = alert.told.get(channel, Told())
    pause_s = RETRY_PAUSES_S[min(told.failures, len(RETRY_PAUSES_S) - 1)]
    failed = replace(told, failures=told.failures + 1, next_try_at=now + timedelta(seconds=pause_s))
    return replace(alert, told={**alert.told, channel: failed})


def words(alert: Alert, notice: Notice) -> tuple[str, str]:
    """The title and the text of a notice, for people."""
    condition: Condition = alert.condition
    if notice is Notice.CLOSED:
        lasted_s = round(((alert.closed_at or alert.last_seen_at) - alert.opened_at).total_seconds())
        return f"[over] {condition.rule.value}: {_of(condition)}", (
            f"It is over after {lasted_s} s: {condition.sentence}\nBegan {alert.opened_at:%Y-%m-%d %H:%M:%S} UTC."
        )
    again = "[still] " if notice is Notice.REMINDER else ""
    title = f"{again}[{alert.severity.value}] {condition.rule.value}: {_of(condition)}"
    text = f"{condition.sentence}\nWhat to do: {condition.next_step}\nSince {alert.opened_at:%Y-%m-%d %H:%M:%S} UTC."
    return title, text


def _of(condition: Condition) -> str:
    return condition.session_id or condition.subject
