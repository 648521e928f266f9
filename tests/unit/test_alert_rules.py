"""The rules of alerts: each opens where it says, and not a step earlier."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from string import Formatter

import pytest

from keepline.domain import alert_rules
from keepline.domain.alert_rules import (
    LATCHES,
    RULES,
    THRESHOLDS,
    USUAL,
    Change,
    Condition,
    DeviceSeen,
    Rule,
    SessionSeen,
    Thresholds,
)
from keepline.domain.events import EVENTS, EventKind, Seen, of_state_change, sentence_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SESSION = SessionSeen("anna_shop", "shop", "anna", "connected")


def ago(**past: float) -> datetime:
    return NOW - timedelta(**past)


def rules(found: list[Condition]) -> list[Rule]:
    return [condition.rule for condition in found]


def of_session(session: SessionSeen, thresholds: Thresholds = USUAL) -> list[Rule]:
    return rules(alert_rules.of_session(session, NOW, thresholds))


def happened(kind: EventKind, *times: datetime, subject: str = "anna_shop") -> list[Seen]:
    return [Seen(kind, at, subject, "anna", "shop", {"code": "x"}) for at in times]


@pytest.mark.parametrize(
    ("state", "rule"),
    [
        ("banned", Rule.SESSION_BANNED),
        ("outdated", Rule.SESSION_OUTDATED),
        ("logged_out", Rule.SESSION_LOGGED_OUT),
    ],
)
def test_a_state_that_needs_a_person_is_an_alert(state: str, rule: Rule) -> None:
    assert of_session(replace(SESSION, state=state)) == [rule]
    assert of_session(SESSION) == []


@pytest.mark.parametrize(("waited_s", "found"), [(600, []), (601, [Rule.QUEUE_AGE])])
def test_a_message_that_waits_too_long_is_an_alert(waited_s: int, found: list[Rule]) -> None:
    assert of_session(replace(SESSION, oldest_queued_at=ago(seconds=waited_s))) == found


def test_a_threshold_of_ones_own_holds() -> None:
    waiting = replace(SESSION, oldest_queued_at=ago(seconds=60))
    assert of_session(waiting, Thresholds({"queue_age_s": 30})) == [Rule.QUEUE_AGE]


@pytest.mark.parametrize(("days", "found"), [(10, []), (10.1, [Rule.PHONE_UNSEEN])])
def test_a_phone_that_was_not_seen_for_ten_days_is_an_alert(days: float, found: list[Rule]) -> None:
    assert of_session(replace(SESSION, phone_seen_at=ago(days=days))) == found


def devices(*connected: bool, code: str = "socket_closed", since_s: float = 301) -> list[DeviceSeen]:
    return [DeviceSeen(slot, up, code, ago(seconds=since_s)) for slot, up in zip("ab", connected, strict=False)]


def test_a_session_whose_standby_is_away_is_an_alert_after_five_minutes() -> None:
    assert of_session(replace(SESSION, devices=devices(True, False))) == [Rule.NO_STANDBY]
    assert of_session(replace(SESSION, devices=devices(True, False, since_s=299))) == []


def test_a_session_of_one_device_or_with_none_connected_is_not_without_standby() -> None:
    for seen in (devices(True), devices(False), devices(False, False), devices(True, True)):
        assert of_session(replace(SESSION, devices=seen)) == []


def test_a_stored_session_that_was_refused_is_an_alert_whichever_device_it_is_of() -> None:
    for connected in ((True, False), (False,)):
        seen = devices(*connected, code="session_gap", since_s=1)
        assert of_session(replace(SESSION, devices=seen)) == [Rule.RESTORE_FAILED]


def counted(events: list[Seen], own: dict[str, Thresholds] | None = None) -> list[Rule]:
    return rules(alert_rules.of_counts(events, ago(hours=1), own or {}))


def test_more_than_ten_disconnects_in_an_hour_are_an_alert() -> None:
    kind = EventKind.SESSION_DISCONNECTED
    ten = happened(kind, *(ago(minutes=minute) for minute in range(10)))
    assert counted(ten) == []
    assert counted([*ten, *happened(kind, ago(minutes=59))]) == [Rule.DISCONNECTS]
    assert counted([*ten, *happened(kind, ago(minutes=60))]) == [], "an hour ago is no more within the hour"
    assert counted([*ten, *happened(kind, NOW, subject="anna_other")]) == [], "of one session"
    assert counted(ten, {"anna": Thresholds({"disconnects_per_hour": 9})}) == [Rule.DISCONNECTS]


def test_a_dead_letter_is_an_alert() -> None:
    assert counted(happened(EventKind.DEAD_LETTER, NOW)) == [Rule.DEAD_LETTERS]


def test_a_dead_letter_of_a_webhook_is_an_alert_of_the_webhook_whatever_number_of_messages_is_let_pass() -> None:
    death = Seen(EventKind.WEBHOOK_DEAD_LETTER, NOW, "wk1", "anna", None, {})
    [found] = alert_rules.of_counts([death], ago(hours=1), {"anna": Thresholds({"dead_letters_per_hour": 50})})
    assert (found.rule, found.subject, found.session_id) == (Rule.WEBHOOK_DEAD_LETTERS, "wk1", None)
    assert "wk1" in found.sentence


def downtime(*changes: Change, before: str = "connected") -> list[Rule]:
    return rules(alert_rules.of_downtime(SESSION, changes, before, NOW, USUAL))


def test_a_session_that_is_down_for_a_minute_burns_its_budget_fast() -> None:
    # 14.4 times 0.1 percent: 52 s of an hour, 4.3 s of five minutes; six times that budget of 6 hours are 130 s.
    assert downtime((ago(seconds=51), "reconnecting")) == []
    assert downtime((ago(seconds=52), "reconnecting")) == [Rule.BURN_FAST]
    assert downtime((ago(seconds=130), "reconnecting")) == [Rule.BURN_FAST, Rule.BURN_SLOW]


def test_what_is_over_for_the_short_window_burns_no_more() -> None:
    over = ((ago(minutes=20), "reconnecting"), (ago(minutes=10), "connected"))
    assert downtime(*over) == [Rule.BURN_SLOW], "ten minutes within the last thirty, none within the last five"
    assert downtime((ago(minutes=50), "reconnecting"), (ago(minutes=40), "connected")) == []


def test_a_session_that_has_been_down_all_the_time_has_no_changes_to_show() -> None:
    assert downtime(before="reconnecting") == [Rule.BURN_FAST, Rule.BURN_SLOW]
    assert downtime(before="pairing") == [], "nobody has linked it: there is nothing to keep up"


def test_a_client_older_than_ninety_days_is_an_alert() -> None:
    def of(built_at: datetime | None) -> list[Rule]:
        return rules(alert_rules.of_client("c1", built_at, NOW, USUAL))

    assert of(None) == []
    assert of(ago(days=90)) == []
    assert of(ago(days=91)) == [Rule.CLIENT_OLD]


def latch(kind: EventKind, minutes: float) -> Seen:
    return Seen(kind, ago(minutes=minutes), "api", None, None, {"code": "timeout"})


def test_an_outage_is_an_alert_until_it_has_ended() -> None:
    began, ended = latch(EventKind.OUTAGE_BEGAN, 5), latch(EventKind.OUTAGE_ENDED, 1)
    assert rules(list(alert_rules.of_latches([began]).open)) == [Rule.UPTIME_DOWN]
    for order in ([began, ended], [ended, began]):
        found = alert_rules.of_latches(order)
        assert not found.open
        assert (Rule.UPTIME_DOWN, "api", None) in found.ended


def test_an_outage_is_told_by_the_name_of_its_target() -> None:
    began = Seen(EventKind.OUTAGE_BEGAN, NOW, "u_1", None, None, {"name": "Online shop", "code": "timeout"})
    [condition] = alert_rules.of_latches([began]).open
    assert condition.sentence == "Online shop does not answer as it should (timeout)."
    assert condition.subject == "u_1"


def test_a_failed_recovery_is_over_when_its_target_is_back() -> None:
    failed = latch(EventKind.RECOVERY_FAILED, 5)
    assert rules(list(alert_rules.of_latches([failed]).open)) == [Rule.RECOVERY_FAILED]
    for kind in (EventKind.RECOVERED, EventKind.OUTAGE_ENDED):
        assert (Rule.RECOVERY_FAILED, "api", None) in alert_rules.of_latches([failed, latch(kind, 1)]).ended


def test_every_rule_and_every_kind_has_words() -> None:
    assert set(RULES) == set(Rule)
    assert set(EVENTS) == set(EventKind)
    assert set(LATCHES) <= set(Rule)
    assert all(bounds.least <= bounds.usual <= bounds.most for bounds in THRESHOLDS.values())


@pytest.mark.parametrize("kind", EventKind)
def test_an_event_is_told_in_whole_sentences(kind: EventKind) -> None:
    names = {name for _, name, _, _ in Formatter().parse(EVENTS[kind].sentence) if name}
    sentence = sentence_of(kind, "x", dict.fromkeys(names, "word"))
    assert "?" not in sentence
    assert "?" in sentence_of(kind, "x", {}) or names <= {"subject"}, "what is not known is left open"


@pytest.mark.parametrize(
    ("before", "state", "kinds"),
    [
        ("connected", "reconnecting", [EventKind.SESSION_DISCONNECTED]),
        ("degraded", "failed", [EventKind.SESSION_DISCONNECTED]),
        ("connected", "banned", [EventKind.SESSION_DISCONNECTED, EventKind.SESSION_BANNED]),
        ("reconnecting", "outdated", [EventKind.SESSION_OUTDATED]),
        ("reconnecting", "connected", [EventKind.SESSION_RECONNECTED]),
        ("connected", "degraded", []),
        ("connected", "connected", []),
        ("pairing", "stopped", []),
        (None, "starting", []),
    ],
)
def test_a_change_of_state_is_also_what_it_means(before: str | None, state: str, kinds: list[EventKind]) -> None:
    assert of_state_change(before, state) == kinds
