"""Daily reports: made once, exact, told; and read through the API."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from keepline.ports.documents import Create, Put, Update
from keepline.records import monitoring, outbox
from keepline.records.monitoring import StateChange
from keepline.testing.teller import MemoryTeller
from keepline.usecases import day_counting, reporting
from keepline.usecases.letter_telling import ChannelLetters
from keepline_functions.report_mail import write_letter

from .framework import PUBSUB_TYPE, deliver, serve
from .support import CHAT, NOON, World, error_code

DAY = "2026-03-02"
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def function(world: World, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return serve("on_report_hour", world, monkeypatch)


@pytest.fixture(autouse=True)
def teller(world: World) -> MemoryTeller:
    """In the place of the channels, which have tests of their own."""
    teller = MemoryTeller()
    world.process.reporting._teller = teller
    return teller


def teller_of(world: World) -> MemoryTeller:
    teller = world.process.reporting._teller
    assert isinstance(teller, MemoryTeller)
    return teller


def hour(function: FlaskClient, event_id: str = "h1") -> int:
    body = {"message": {"data": "", "messageId": event_id, "publishTime": "2026-03-01T12:00:00Z"}, "subscription": "s"}
    return deliver(function, PUBSUB_TYPE, event_id, json.dumps(body).encode(), "application/json")


def at(world: World, hours: float) -> None:
    """Go on to an hour of the second of March."""
    world.clock.at = MIDNIGHT + timedelta(hours=hours)


def change(world: World, account: str, state: str, before: str | None) -> None:
    """A session's state changes now, and the trigger has put it on record."""
    code = "socket_closed" if state == "reconnecting" else state
    world.set_state(account, state, code)
    tenant, _, session = account.partition("_")
    now = world.clock.now()
    told = StateChange(f"{account} {now}", account, session, tenant, now, before, state, code, "A sentence.")
    world.commit(monitoring.state_changed(told))


def linked(world: World, session: str = "shop", tenant: str = "anna") -> str:
    """A session that was linked at noon of the first of March."""
    world.clock.at = NOON
    account = world.add_session(session, tenant, state="starting", phone="14155550100")
    change(world, account, "connected", "starting")
    return account


def row(world: World, account: str, name: str, state: str, *, after_s: float | None = None) -> None:
    """A message that is accepted now and ends in a state; sent so many seconds later."""
    tenant, _, session = account.partition("_")
    now = world.clock.now()
    sent = {"sent": now + timedelta(seconds=after_s)} if after_s is not None else {}
    fields = {"tenant": tenant, "account": account, "session_id": session, "chat": CHAT, "state": state}
    times = {"accepted": now, **sent}
    world.commit(Put(outbox.row_path(name), {**fields, "accepted_at": now, "due_at": now, "times": times}))


def report_of(world: World, tenant: str | None = "anna", day: str = DAY) -> dict[str, Any]:
    return world.fields(f"reports/{tenant or 'installation'}_{day}")


def test_a_days_report_has_what_happened_in_that_day_and_nothing_else(world: World, function: FlaskClient) -> None:
    shop = linked(world)
    row(world, shop, "m_before", "sent", after_s=1)
    at(world, 1)
    for number in range(18):
        row(world, shop, f"m_sent{number}", "read" if number % 2 else "sent", after_s=0.5)
    row(world, shop, "m_slow", "delivered", after_s=90)
    row(world, shop, "m_failed", "failed")
    row(world, shop, "m_cancelled", "cancelled")
    row(world, shop, "m_doubt", "in_doubt")
    row(world, shop, "m_waits", "queued")
    world.hear(shop, "WA1", world.clock.now())
    world.hear(shop, "WA2", world.clock.now(), from_me=True)
    at(world, 5)
    change(world, shop, "reconnecting", "connected")
    at(world, 5.5)
    change(world, shop, "connected", "reconnecting")
    world.commit(monitoring.limit_reached("anna", "messages", world.clock.now()))
    at(world, 24)
    row(world, shop, "m_after", "sent", after_s=1)
    at(world, 24.2)
    assert hour(function) == 200

    report = report_of(world)
    assert (report["from"], report["to"]) == (MIDNIGHT, MIDNIGHT + timedelta(days=1))
    assert report["messages"] == {
        "accepted": 23,
        "sent": 19,
        "delivered": 10,
        "read": 9,
        "failed": 1,
        "expired": 0,
        "cancelled": 1,
        "in_doubt": 1,
        "received": 1,
        "waiting": 1,
    }
    assert report["delays"] == {"measured": 19, "p50_s": 0.5, "p95_s": 90.0, "max_s": 90.0}
    assert report["uptime"] == {
        "share": 0.979166,
        "watched_s": 86_400.0,
        "downtime_s": 1_800.0,
        "longest_s": 1_800.0,
        "degraded_s": 0,
        "disconnects": 1,
        "reconnects": 1,
    }
    assert report["limit_minutes"] == {"messages": 1}
    assert report["dead_letters"] == 1
    hours = report["hours"]
    assert len(hours) == 24
    assert [one["accepted"] for one in hours] == [0, 23] + [0] * 22
    assert [one["received"] for one in hours] == [0, 1] + [0] * 22
    assert [one["downtime_s"] for one in hours] == [0] * 5 + [1_800.0] + [0] * 18
    assert report["cost"]["usd"] > 0
    assert [one["session_id"] for one in report["sessions"]] == ["shop"]


def test_a_report_is_made_once_however_often_the_hour_comes(world: World, function: FlaskClient) -> None:
    linked(world)
    at(world, 24.2)
    for number in range(3):
        assert hour(function, f"h{number}") == 200
    first = report_of(world)
    assert [tenant for tenant, _ in teller_of(world).told] == ["anna", None]
    at(world, 30)
    hour(function)
    assert report_of(world) == first
    assert len(teller_of(world).told) == 2


def test_of_two_rounds_at_once_one_makes_the_report_and_one_tells_it(world: World, function: FlaskClient) -> None:
    linked(world)
    at(world, 24.2)
    other = world.process.reporting
    world.store.meanwhile = [other.make]
    assert hour(function) == 200
    assert [tenant for tenant, _ in teller_of(world).told] == ["anna", None]


def test_of_two_rounds_that_would_tell_a_report_at_once_one_does(world: World, function: FlaskClient) -> None:
    linked(world)
    at(world, 24.2)
    teller_of(world).broken = 2
    hour(function)
    assert teller_of(world).told == []
    at(world, 25.2)
    # Both have read that nobody has told it when the first one takes it on.
    world.store.meanwhile = [world.process.reporting.make]
    hour(function)
    assert sorted(str(tenant) for tenant, _ in teller_of(world).told) == ["None", "anna"]


def test_a_day_ends_when_it_ends_for_its_people(world: World, function: FlaskClient) -> None:
    linked(world)
    world.client.patch("/api/reports/settings", json={"time_zone": "Europe/Bucharest"}, headers=world.anna)
    at(world, 21.9)  # 23:54 in Bucharest
    hour(function)
    assert world.document(f"reports/anna_{DAY}") is None
    at(world, 22.2)
    hour(function)
    assert report_of(world)["to"] == MIDNIGHT + timedelta(hours=22)
    assert world.document(f"reports/installation_{DAY}") is None
    at(world, 24.2)
    hour(function)
    assert report_of(world, None)["messages"] == report_of(world)["messages"]


def test_missed_days_are_made_up_but_not_for_ever(world: World, function: FlaskClient) -> None:
    linked(world)
    at(world, 24.2)
    hour(function)
    at(world, 24 * 7 + 0.2)
    hour(function)
    made = sorted(one.fields["date"] for one in world.all_in("reports") if one.fields["tenant"] == "anna")
    assert made == [DAY, "2026-03-06", "2026-03-07", "2026-03-08"]
    assert report_of(world, day="2026-03-06")["uptime"]["share"] == 1


def test_a_letter_that_could_not_be_sent_is_tried_again_and_given_up_in_the_end(
    world: World, function: FlaskClient
) -> None:
    linked(world)
    at(world, 24.2)
    teller_of(world).broken = 1  # Anna's, who comes first
    hour(function)
    assert report_of(world)["told"] == {"state": "pending", "at": world.clock.now(), "attempts": 1}
    assert [tenant for tenant, _ in teller_of(world).told] == [None]
    at(world, 25.2)
    hour(function)
    assert report_of(world)["told"] == {"state": "told", "at": world.clock.now(), "attempts": 2}
    teller_of(world).broken = 1_000
    for number in range(9):
        at(world, 48.2 + number)
        hour(function)
    told = report_of(world, day="2026-03-03")["told"]
    assert (told["state"], told["attempts"]) == ("failed", reporting.TELLING_ATTEMPTS_MAX)


def test_a_teller_that_died_is_followed_by_another(world: World, function: FlaskClient) -> None:
    linked(world)
    at(world, 24.2)
    teller_of(world).deaf = True
    hour(function)
    path = f"reports/anna_{DAY}"
    teller_of(world).deaf = False
    world.commit(Update(path, {"told": {"state": "telling", "at": world.clock.now(), "attempts": 1}}))
    hour(function)
    assert teller_of(world).told == []
    world.clock.advance(reporting.TELLING_TIME.total_seconds() + 1)
    hour(function)
    assert [tenant for tenant, _ in teller_of(world).told] == ["anna"]


def test_who_has_switched_it_off_or_has_no_channel_is_told_nothing_and_can_read_it(
    world: World, function: FlaskClient
) -> None:
    linked(world)
    world.client.patch("/api/reports/settings", json={"enabled": False}, headers=world.anna)
    teller_of(world).deaf = True
    at(world, 24.2)
    hour(function)
    assert report_of(world)["told"]["state"] == report_of(world, None)["told"]["state"] == "off"
    assert teller_of(world).told == []
    assert world.get(f"/api/reports/{DAY}").status_code == 200


def test_one_tenants_broken_settings_cost_nobody_else_a_report(world: World, function: FlaskClient) -> None:
    linked(world)
    linked(world, tenant="bert")
    broken = {"tenant": "anna", "enabled": True, "time_zone": "Mars/Olympus", "made_until": None}
    world.commit(Create("report_settings/anna", broken))
    at(world, 24.2)
    assert hour(function) == 200
    assert report_of(world, "bert")["sessions_total"] == 1
    assert world.document(f"reports/anna_{DAY}") is None


def test_a_store_that_fails_leaves_the_report_to_the_next_hour(world: World, function: FlaskClient) -> None:
    linked(world)
    at(world, 24.2)
    world.store.down = True
    assert hour(function) == 500
    world.store.down = False
    hour(function)
    assert report_of(world)["sessions_total"] == 1


def test_a_busy_session_is_counted_by_index_and_its_delays_are_of_every_hour(
    world: World, function: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_counting, "ROWS_READ_MAX", 20)
    monkeypatch.setattr(day_counting, "ROWS_OF_HOUR_MAX", 5)
    shop = linked(world)
    for at_hour in range(4):
        at(world, at_hour)
        for number in range(10):
            row(world, shop, f"m_{at_hour}_{number}", "sent", after_s=at_hour)
    at(world, 24.2)
    hour(function)
    report = report_of(world)
    assert report["messages"]["sent"] == 40
    assert report["delays"] == {"measured": 20, "p50_s": 1.0, "p95_s": 3.0, "max_s": 3.0}
    assert [one["accepted"] for one in report["hours"]] == [10] * 4 + [0] * 20


@pytest.mark.parametrize("events_kept", [True, False])
def test_a_session_that_has_not_changed_for_months_was_up(
    world: World, function: FlaskClient, events_kept: bool
) -> None:
    shop = linked(world)
    if not events_kept:
        for event in world.all_in("monitoring"):
            world.commit(Update(event.path, {"account": "removed"}))
    at(world, 24.1)
    change(world, shop, "reconnecting", "connected")  # after the day
    at(world, 24.2)
    hour(function)
    assert report_of(world)["uptime"]["share"] == 1


def test_an_installations_report_is_of_all_tenants_and_for_operators(world: World, function: FlaskClient) -> None:
    for tenant in ("anna", "bert"):
        account = linked(world, tenant=tenant)
        at(world, 3)
        row(world, account, f"m_{tenant}", "sent", after_s=1)
    at(world, 24.2)
    hour(function)
    operator = world.add_key("anna", ("read", "admin", "operator"))
    path = f"/api/reports/{DAY}?installation=true"
    seen = world.get(path, operator).get_json()
    assert (seen["user_id"], seen["messages"]["sent"], seen["sessions_total"]) == (None, 2, 2)
    assert sorted(one["user_id"] for one in seen["sessions"]) == ["anna", "bert"]
    for refused in (path, "/api/reports?installation=true", "/api/reports/settings?installation=true"):
        assert error_code(world.get(refused)) == "missing_scope"
    assert len(world.get("/api/reports?installation=true", operator).get_json()["reports"]) == 1


def test_a_tenant_reads_its_own_reports_page_by_page(world: World, function: FlaskClient) -> None:
    linked(world)
    for day in range(1, 4):
        at(world, 24 * day + 0.2)
        hour(function)
    page = world.get("/api/reports?limit=2").get_json()
    assert [one["date"] for one in page["reports"]] == ["2026-03-04", "2026-03-03"]
    assert "hours" not in page["reports"][0]
    rest = world.get(f"/api/reports?limit=2&before={page['next_before']}").get_json()
    assert ([one["date"] for one in rest["reports"]], rest["next_before"]) == ([DAY], None)
    assert world.get("/api/reports", world.bert).get_json()["reports"] == []
    assert error_code(world.get(f"/api/reports/{DAY}", world.bert)) == "report_not_found"
    assert error_code(world.get("/api/reports/2026-02-31")) == "bad_date"
    some = world.add_key("anna", sessions=("shop",))
    assert error_code(world.get("/api/reports", some)) == "session_not_allowed"


def test_settings_are_kept_and_checked(world: World) -> None:
    seen = world.get("/api/reports/settings").get_json()
    assert seen == {"enabled": True, "time_zone": "UTC", "next_report_at": "2026-03-02T00:05:00.000Z"}
    answer = world.client.patch("/api/reports/settings", json={"time_zone": "America/Havana"}, headers=world.anna)
    assert answer.get_json()["next_report_at"] == "2026-03-02T05:05:00.000Z"
    assert world.get("/api/reports/settings").get_json() == answer.get_json()
    for name in ("Mars/Olympus", "../../etc/passwd", "/etc/passwd", "America", ""):
        refused = world.client.patch("/api/reports/settings", json={"time_zone": name}, headers=world.anna)
        assert (refused.status_code, error_code(refused)) == (400, "bad_time_zone"), name
    assert world.get("/api/reports/settings", world.bert).get_json()["time_zone"] == "UTC"


def test_a_hit_limit_is_on_record_once_a_minute(world: World) -> None:
    world.add_session(state="connected", code="connected", phone="14155550100")
    world.set_limit("anna", "messages", count=1, period_s=3600, burst=1)
    assert world.send("one").status_code == 202
    for _ in range(5):
        assert world.send("two").status_code == 429
    world.clock.advance(60)
    assert world.send("three").status_code == 429
    events = world.all_in("monitoring")
    assert [event.fields["kind"] for event in events] == ["limit_reached"] * 2
    assert {event.fields["tenant"] for event in events} == {"anna"}


# The letter.


def letter_of(world: World, function: FlaskClient, name: str = "shop") -> tuple[str, str, str]:
    shop = linked(world, name)
    at(world, 2)
    row(world, shop, "m_sent", "read", after_s=0.25)
    row(world, shop, "m_failed", "failed")
    at(world, 5)
    change(world, shop, "reconnecting", "connected")
    at(world, 6.5)
    change(world, shop, "connected", "reconnecting")
    at(world, 24.2)
    hour(function)
    _, letter = teller_of(world).told[0]
    return letter.subject, letter.html, letter.text


def test_a_letter_says_the_same_in_both_its_forms(world: World, function: FlaskClient) -> None:
    subject, html, text = letter_of(world, function)
    assert subject == "Keepline, 2026-03-02: 93.750 % up, 1 message sent (1 session)"
    for form in (html, text):
        assert "Monday, 2 March 2026" in form
        assert "There was trouble: 1 message not sent and 1 h 30 min of downtime." in form
        assert "93.750 %" in form
        assert "0.25 s" in form
    assert html.count("Messages accepted, hour by hour") == 1


def test_a_letter_asks_nothing_of_anybody_else_and_runs_nothing(world: World, function: FlaskClient) -> None:
    _, html, _ = letter_of(world, function)
    for forbidden in ("<script", "<img", "<link", "http:", "https:", "url(", "@import", "<iframe", "<svg", "<form"):
        assert forbidden not in html
    assert "prefers-color-scheme: dark" in html
    assert len(html.encode()) < 100_000  # Gmail cuts what is longer than 102 KB


def test_nothing_in_a_letter_can_become_html(world: World) -> None:
    fields = {
        "tenant": None,
        "date": DAY,
        "time_zone": "UTC",
        "sessions_total": 1,
        "limit_minutes": {"<b>": 1},
        "doubts": 0,
        "bans": 0,
        "rate_signals": 0,
        "dead_letters": 0,
        "hours": [],
        "delays": None,
        "uptime": {"share": 0.5, "downtime_s": 1, "longest_s": 1, "disconnects": 1, "reconnects": 1},
        "messages": dict.fromkeys(("accepted", "sent", "received", "failed", "waiting", "in_doubt"), 0)
        | dict.fromkeys(("delivered", "read", "expired", "cancelled"), 0),
        "webhooks": {"delivered": 0, "failed": 0, "waiting": 0},
        "cost": {"usd": 0, "parts": [], "prices_of": DAY},
    }
    session = {"session_id": "<script>", "tenant": "<i>", "uptime": fields["uptime"], "messages": fields["messages"]}
    letter = write_letter({**fields, "sessions": [session]})
    assert "<script>" not in letter.html and "<i>" not in letter.html and "<b>" not in letter.html
    assert "&lt;script&gt;" in letter.html
    assert not re.search(r"[{}]{2}", letter.html)


def test_a_letter_goes_to_the_addresses_that_are_told_of_alerts(world: World, function: FlaskClient) -> None:
    world.process.reporting._teller = ChannelLetters(world.store, world.process.alert_round._teller)
    channel = {"name": "On call", "url": "mailtos://anna:word@mail.example?to=anna@example.com"}
    made = world.client.post("/api/alerts/channels", json=channel, headers=world.anna)
    assert made.status_code == 201
    linked(world)
    at(world, 24.2)
    hour(function)
    [(_, title, _)] = world.notifier.told
    assert title.startswith("Keepline, 2026-03-02: 100 % up")
    assert report_of(world)["told"]["state"] == "told"
    assert report_of(world, None)["told"]["state"] == "off"
