"""Cron expressions and the scheduler's clock."""

import json
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepline_local import functions_table
from keepline_local.cron import Cron
from keepline_local.errors import LocalError
from keepline_local.functions_table import FirestoreTrigger, Function, HttpTrigger, ScheduleTrigger, TopicTrigger
from keepline_local.scheduler import LOOK_AGAIN_S_MAX, Schedule, keep_publishing

NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)  # a Sunday


def after(text, moment=NOON):
    return Cron.parse(text).next_after(moment).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "2026-03-01 12:01"),
        ("*/15 * * * *", "2026-03-01 12:15"),
        ("0 12 * * *", "2026-03-02 12:00"),
        ("5,35 8-10 * * *", "2026-03-02 08:05"),
        ("0 0 * * 1", "2026-03-02 00:00"),
        ("0 0 * * 7", "2026-03-08 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 13 * 5", "2026-03-06 00:00"),  # the 13th or a Friday
        ("58/1 23 31 12 *", "2026-12-31 23:58"),
    ],
)
def test_the_next_time(text, expected):
    assert after(text) == expected


def test_the_times_are_utc_whatever_the_clocks_zone():
    moment = datetime(2026, 3, 1, 14, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert after("0 13 * * *", moment) == "2026-03-01 13:00"


@pytest.mark.parametrize(
    "text", ["", "* * * *", "60 * * * *", "* * 0 * *", "*/0 * * * *", "5-1 * * * *", "MON * * * *", "-1 * * * *"]
)
def test_a_wrong_expression_is_refused(text):
    with pytest.raises(ValueError, match=r"fields|minute|hour|day"):
        Cron.parse(text)


def test_a_day_that_never_comes_is_said():
    with pytest.raises(ValueError, match="never comes"):
        after("0 0 30 2 *")


@given(st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))
def test_every_minute_means_the_very_next_one(moment):
    found = Cron.parse("* * * * *").next_after(moment)
    assert timedelta(0) < found - moment <= timedelta(minutes=1)
    assert (found.second, found.microsecond) == (0, 0)


def scheduled(topic, cron):
    return Function(topic, "f", ScheduleTrigger(topic, Cron.parse(cron)))


def test_what_is_due_is_taken_once():
    schedule = Schedule([scheduled("often", "* * * * *"), scheduled("daily", "0 0 * * *")], NOON)
    assert schedule.take(NOON) == []
    assert schedule.wait_s(NOON) == LOOK_AGAIN_S_MAX
    assert schedule.wait_s(NOON + timedelta(seconds=20)) == 10
    minute = NOON.replace(minute=1, second=0)
    assert schedule.take(minute) == [("often", minute)]
    assert schedule.take(minute) == []


def test_minutes_slept_through_come_once():
    schedule = Schedule([scheduled("often", "* * * * *")], NOON)
    later = NOON + timedelta(hours=5)
    assert len(schedule.take(later)) == 1
    assert schedule.take(later) == []


def test_a_failing_topic_is_said_once_and_the_schedule_goes_on(caplog):
    caplog.set_level("INFO")
    stop = threading.Event()
    tries = []

    class Impatient(Schedule):
        def wait_s(self, now):
            return 0.0

        def take(self, now):
            return [("often", now)]

    def publish(topic, at):
        tries.append(topic)
        if len(tries) < 4:
            raise RuntimeError("no route")
        stop.set()

    keep_publishing(Impatient([], NOON), publish, stop)
    assert len(tries) == 4
    assert caplog.text.count("fails") == 1
    assert caplog.text.count("works again") == 1


def test_the_projects_table_is_good():
    functions = functions_table.load()
    assert {type(function.trigger) for function in functions} <= {
        HttpTrigger,
        FirestoreTrigger,
        ScheduleTrigger,
        TopicTrigger,
    }
    assert [f.name for f in functions if isinstance(f.trigger, HttpTrigger)] == ["api"]
    assert functions_table.topics(functions) == {
        "daily-reports": "daily-reports",
        "every-minute": "every-minute",
        "uptime-checks": "uptime-checks",
        "webhook-deliveries": "webhook-deliveries",
    }


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "Api", "entry_point": "api", "trigger": {"type": "http"}},
        {"name": "api", "entry_point": "a-p-i", "trigger": {"type": "http"}},
        {"name": "api", "entry_point": "api", "trigger": {"type": "https"}},
        {
            "name": "api",
            "entry_point": "api",
            "trigger": {"type": "firestore", "event_type": "written", "document": "a/{b}"},
        },
        {"name": "api", "entry_point": "api", "trigger": {"type": "schedule", "topic": "t", "cron": "hourly"}},
        {"name": "api", "entry_point": "api"},
    ],
)
def test_a_wrong_entry_is_named(tmp_path, entry):
    table = tmp_path / "functions.json"
    table.write_text(json.dumps({"functions": [entry]}))
    with pytest.raises(LocalError, match=r"functions\.json: the function"):
        functions_table.load(table)
