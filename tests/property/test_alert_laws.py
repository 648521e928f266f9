"""Alerts over any course of conditions, rounds and failures: one of a condition at a time, closed once, nothing told twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from keepline.domain.alert_rules import RULES, Condition, Rule
from keepline.domain.alerts import (
    REMINDERS_MAX,
    Alert,
    AlertState,
    Notice,
    due,
    telling,
    turn,
    was_not_told,
    was_told,
)
from keepline.domain.events import Severity
from keepline.domain.quiet_hours import QuietHours

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANNEL = "ch1"
QUIET = QuietHours("13:00", "15:00", "UTC")
CONDITIONS = [
    Condition(Rule.SESSION_BANNED, "anna_shop", "anna", "shop"),
    Condition(Rule.DISCONNECTS, "anna_shop", "anna", "shop", {"count": 11}),
    Condition(Rule.DISCONNECTS, "anna_till", "anna", "till", {"count": 12}),
    Condition(Rule.UPTIME_DOWN, "api", None, None, {"code": "timeout"}),
]
KEYS = [condition.key for condition in CONDITIONS]

# A round: after how many seconds, which conditions hold, which latched ones have ended, and how the telling goes.
rounds = st.lists(
    st.tuples(
        st.sampled_from([10.0, 60.0, 120.0, 601.0, 5_000.0, 20_000.0]),
        st.sets(st.sampled_from(range(len(CONDITIONS)))),
        st.booleans(),
        st.sampled_from(["taken", "refused", "died"]),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(rounds)
def test_one_open_alert_of_a_condition_one_end_of_each_and_nothing_told_twice(
    course: list[tuple[float, set[int], bool, str]],
) -> None:
    now, numbers = BEGIN, Counter[object]()
    alerts: dict[str, Alert] = {}
    ends, told = Counter[str](), Counter[tuple[str, Notice]]()
    for pause_s, holding, has_ended, telling_goes in course:
        now += timedelta(seconds=pause_s)
        opened = [alert for alert in alerts.values() if alert.state is AlertState.OPEN]
        holds = [CONDITIONS[index] for index in sorted(holding)]
        ended = {KEYS[3]} if has_ended and 3 not in holding else set()
        then = turn(opened, holds, ended, now)
        for condition in then.opening:
            numbers[condition.key] += 1
            severity = RULES[condition.rule].severity
            key = "_".join(map(str, condition.key))
            alert = Alert(key, numbers[condition.key], condition, severity, now, now)
            alerts[alert.id] = alert
        for alert in (*then.changed, *then.closed):
            alerts[alert.id] = alert
        ends.update(alert.id for alert in then.closed)
        for alert in list(alerts.values()):
            notice = due(alert, CHANNEL, Severity.INFO, BEGIN, QUIET, now)
            if notice is None:
                continue
            assert alert.severity is Severity.CRITICAL or not QUIET.is_quiet(now), "told in quiet hours"
            claimed = telling(alert, CHANNEL, now)
            assert due(claimed, CHANNEL, Severity.INFO, BEGIN, QUIET, now) is None, "two would tell it"
            if telling_goes == "taken":
                told[alert.id, notice] += 1
                claimed = was_told(claimed, CHANNEL, notice, now)
            elif telling_goes == "refused":
                claimed = was_not_told(claimed, CHANNEL, now)
            alerts[alert.id] = claimed
        # After the round exactly what holds, or held a moment ago, is open; each condition once.
        open_now = Counter(alert.condition.key for alert in alerts.values() if alert.state is AlertState.OPEN)
        assert all(count == 1 for count in open_now.values())
        assert {condition.key for condition in holds} <= set(open_now)
    closed = {alert.id for alert in alerts.values() if alert.state is AlertState.CLOSED}
    assert ends == Counter(closed), "closed once each, and for good"
    for (_, notice), count in told.items():
        assert count <= (REMINDERS_MAX if notice is Notice.REMINDER else 1)


@given(st.lists(st.booleans(), max_size=60), st.sampled_from(CONDITIONS[:3]))
def test_an_alert_closes_only_when_its_condition_has_been_gone_for_long_enough(
    holds: list[bool], condition: Condition
) -> None:
    now, gone_since = BEGIN, None
    alert = Alert("k", 1, condition, Severity.WARNING, BEGIN, BEGIN)
    for held in holds:
        now += timedelta(seconds=60)
        gone_since = None if held else gone_since or now
        then = turn([alert], [condition] if held else [], frozenset(), now)
        alert = next(iter((*then.changed, *then.closed)), alert)
        is_over = gone_since is not None and (now - gone_since).total_seconds() >= RULES[condition.rule].clear_s
        assert (alert.state is AlertState.CLOSED) == is_over
        if is_over:
            return


def test_a_channel_is_not_told_of_what_was_over_before_it_was_made() -> None:
    alert = Alert("k", 1, CONDITIONS[0], Severity.CRITICAL, BEGIN, BEGIN, AlertState.CLOSED, closed_at=BEGIN)
    later = BEGIN + timedelta(seconds=1)
    assert due(alert, CHANNEL, Severity.INFO, BEGIN, None, later) is Notice.CLOSED
    assert due(alert, CHANNEL, Severity.INFO, later, None, later) is None


@given(st.integers(0, 48 * 60))
def test_whatever_the_minute_a_warning_waits_for_the_end_of_the_quiet_and_is_told_then(minute: int) -> None:
    now = BEGIN + timedelta(minutes=minute)
    alert = Alert("k", 1, CONDITIONS[1], Severity.WARNING, now, now)
    quiet = QUIET.is_quiet(now)
    assert (due(alert, CHANNEL, Severity.INFO, BEGIN, QUIET, now) is None) == quiet
    after = now + timedelta(hours=2)
    assert due(alert, CHANNEL, Severity.INFO, BEGIN, QUIET, after if quiet else now) is Notice.OPENED
    critical = replace(alert, severity=Severity.CRITICAL)
    assert due(critical, CHANNEL, Severity.INFO, BEGIN, QUIET, now) is Notice.OPENED
