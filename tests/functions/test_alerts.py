"""Alerts, from what happens to who is told: opened once, told once, closed once, and nobody's but their owner's."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from keepline.domain.events import EventKind
from keepline.ports.documents import Update, Write
from keepline.records import accounts, monitoring
from keepline.records.monitoring import MONITORING

from .framework import FIRESTORE_TYPE, PUBSUB_TYPE, account_document, deliver, serve, written
from .support import NOON, World, error_code

MAIL = "mailto://me@a.example"


def rounds(world: World, count: int = 1, every_s: float = 60.0) -> None:
    for _ in range(count):
        world.run(world.process.alert_round.make())
        world.clock.advance(every_s)


def channel(world: World, query: str = "", headers: dict[str, str] | None = None, **body: Any) -> str:
    body = {"name": "mail", "url": MAIL} | body
    answer = world.client.post(f"/api/alerts/channels{query}", json=body, headers=headers or world.anna)
    assert answer.status_code == 201, answer.get_json()
    return str(answer.get_json()["channel_id"])


def listed(world: World, query: str = "", headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.get(f"/api/alerts{query}", headers).get_json()["alerts"]
    return found


def seen(world: World, query: str = "", headers: dict[str, str] | None = None) -> list[tuple[str, str]]:
    return [(alert["rule"], alert["state"]) for alert in listed(world, query, headers)]


def titles(world: World) -> list[str]:
    return [title for _, title, _ in world.notifier.told]


@pytest.fixture
def banned(world: World) -> World:
    """A session of anna's that is banned."""
    world.add_session(state="banned", code="banned", phone="14155550100")
    return world


@pytest.fixture
def operator(world: World) -> dict[str, str]:
    return world.add_key("olga", ("read", "admin", "operator"))


# Opened, told, closed.


def test_a_banned_number_is_told_once_and_so_is_its_end(banned: World) -> None:
    channel(banned)
    rounds(banned, 3)
    assert seen(banned) == [("session_banned", "open")]
    assert titles(banned) == ["[critical] session_banned: shop"]
    assert "Wait for the ban to end" in banned.notifier.told[0][2]
    banned.set_state("anna_shop", "connected", "connected")
    rounds(banned, 2)
    assert seen(banned) == [("session_banned", "open")], "it might come back"
    rounds(banned, 3)
    assert seen(banned) == [("session_banned", "closed")]
    assert titles(banned) == ["[critical] session_banned: shop", "[over] session_banned: shop"]


def test_an_alert_that_comes_and_goes_is_one_alert(banned: World) -> None:
    for state in ("connected", "banned", "connected", "banned"):
        banned.set_state("anna_shop", state, state)
        rounds(banned)
    assert len(listed(banned)) == 1
    banned.set_state("anna_shop", "connected", "connected")
    rounds(banned, 4)
    banned.set_state("anna_shop", "banned", "banned")
    rounds(banned)
    assert seen(banned) == [("session_banned", "open"), ("session_banned", "closed")]
    assert [alert["alert_id"][-2:] for alert in listed(banned)] == ["_2", "_1"]


def test_rounds_beside_each_other_open_and_tell_once(banned: World) -> None:
    channel(banned)

    async def beside() -> None:
        await asyncio.gather(*(banned.process.alert_round.make() for _ in range(6)))

    banned.run(beside())
    assert seen(banned) == [("session_banned", "open")]
    assert len(titles(banned)) == 1
    assert [event.fields["kind"] for event in banned.all_in(MONITORING)] == ["alert_opened"]


def test_a_round_that_dies_while_it_tells_leaves_the_notice_to_a_later_one(banned: World) -> None:
    channel(banned)
    told = banned.notifier.tell

    async def dies(url: str, title: str, text: str, html: str | None = None) -> Any:
        raise RuntimeError("the process ends here")

    banned.notifier.tell = dies  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        rounds(banned)
    banned.notifier.tell = told  # type: ignore[method-assign]
    rounds(banned)
    assert titles(banned) == [], "perhaps somebody is at it"
    rounds(banned, 3)
    assert len(titles(banned)) == 1


def test_what_is_critical_is_told_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add_session(state="banned", code="banned")
    channel(world)
    body = written(account_document("banned", "banned"), account_document("connected", "connected"))
    function = serve("on_account_written", world, monkeypatch)
    assert deliver(function, FIRESTORE_TYPE, "e1", body, "application/protobuf") == 200
    assert len(titles(world)) == 1


def test_the_minute_makes_the_round(banned: World, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"message": {"data": "", "messageId": "1"}, "subscription": "s"}).encode()
    assert deliver(serve("on_minute", banned, monkeypatch), PUBSUB_TYPE, "m1", body, "application/json") == 200
    assert seen(banned) == [("session_banned", "open")]


def test_a_reminder_comes_until_somebody_looks_after_it_and_not_for_ever(banned: World) -> None:
    channel(banned)
    rounds(banned, 13, every_s=3_600.0)
    assert len(titles(banned)) == 3, "after 4 and 12 hours"
    rounds(banned, 67, every_s=3_600.0)
    assert titles(banned)[1:] == ["[still] [critical] session_banned: shop"] * 3


def test_an_acknowledged_alert_is_not_repeated(banned: World) -> None:
    channel(banned)
    rounds(banned)
    [alert] = listed(banned)
    shown = banned.post(f"/api/alerts/{alert['alert_id']}/acknowledge").get_json()
    assert (shown["acknowledged_by"], shown["state"]) == ("anna", "open")
    assert banned.post(f"/api/alerts/{alert['alert_id']}/acknowledge").get_json() == shown
    rounds(banned, 30, every_s=3_600.0)
    assert len(titles(banned)) == 1


# Quiet hours.

QUIET = {"begins": "12:00", "ends": "13:00", "time_zone": "UTC"}


def change(world: World, query: str = "", headers: dict[str, str] | None = None, **body: Any) -> Any:
    return world.client.patch(f"/api/alerts/settings{query}", json=body, headers=headers or world.anna)


def lose_standby(world: World, session: str) -> None:
    account = world.add_session(session, state="connected", code="connected", phone="14155550100")
    world.add_standby(account, "stopped", "replaced", linked=True)


def test_in_quiet_hours_what_can_wait_is_gathered_and_told_after_them(world: World) -> None:
    channel(world)
    assert change(world, quiet_hours=QUIET).status_code == 200
    for session in ("shop", "till"):
        lose_standby(world, session)
    world.clock.advance(301)
    rounds(world, 3)
    assert seen(world) == [("no_standby", "open")] * 2
    assert titles(world) == []
    world.clock.advance(3_600)
    rounds(world)
    assert titles(world) == ["2 alerts of Keepline"]
    assert all(f"{session} works without its standby" in world.notifier.told[0][2] for session in ("shop", "till"))


def test_what_came_and_went_in_quiet_hours_is_told_after_them_as_over(world: World) -> None:
    channel(world)
    change(world, quiet_hours=QUIET)
    lose_standby(world, "shop")
    world.clock.advance(301)
    rounds(world)
    world.commit(Update(accounts.device_path("anna_shop", "b"), {"state": "connected"}))
    rounds(world, 12)
    assert seen(world) == [("no_standby", "closed")]
    assert titles(world) == []
    world.clock.advance(3_600)
    rounds(world, 3)
    assert titles(world) == ["[over] no_standby: shop"]


def test_what_is_critical_breaks_the_quiet(banned: World) -> None:
    channel(banned)
    change(banned, quiet_hours=QUIET)
    rounds(banned)
    assert len(titles(banned)) == 1


def test_a_channel_hears_nothing_milder_than_it_wants(world: World) -> None:
    channel(world, least="critical")
    lose_standby(world, "shop")
    world.clock.advance(301)
    rounds(world)
    assert seen(world) == [("no_standby", "open")]
    assert titles(world) == []


# Channels that fail.


def test_a_channel_that_fails_is_tried_again_and_is_itself_an_alert(banned: World) -> None:
    broken = channel(banned, url="mailto://broken@a.example")
    banned.notifier.refusing["mailto://broken@a.example"] = "not_taken"
    channel(banned, name="other")
    rounds(banned, 6)
    assert ("notifier_failed", "open") in seen(banned)
    assert "[warning] notifier_failed: " + broken in titles(banned), "told through the other channel"
    assert all(url == MAIL for url, _, _ in banned.notifier.told)
    shown = {one["channel_id"]: one for one in banned.get("/api/alerts/channels").get_json()["channels"]}[broken]
    assert (shown["state"], shown["error"]) == ("failing", "not_taken")
    assert any(event.fields["kind"] == "notifier_failed" for event in banned.all_in(MONITORING))
    banned.notifier.refusing.clear()
    rounds(banned, 20)
    assert ("notifier_failed", "closed") in seen(banned)
    to_broken = [title for url, title, _ in banned.notifier.told if url != MAIL]
    assert to_broken == ["[critical] session_banned: shop"], "what it had missed, once"


def test_a_channel_that_never_works_is_given_up(banned: World) -> None:
    channel(banned)
    banned.notifier.refusing[MAIL] = "timeout"
    rounds(banned, 40, every_s=3_600.0)
    [shown] = banned.get("/api/alerts/channels").get_json()["channels"]
    assert shown["failures"] == 12


def test_a_channel_whose_address_cannot_be_opened_fails_and_says_so(banned: World) -> None:
    made = channel(banned)
    banned.commit(Update(f"alert_channels/{made}", {"sealed": {"wrapped_key": b"x", "sealed": b"y"}}))
    tested = banned.post(f"/api/alerts/channels/{made}/test").get_json()
    assert (tested["told"], tested["error"]) == (False, "address_unreadable")


def test_a_channel_is_tried_out(world: World) -> None:
    made = channel(world)
    assert world.post(f"/api/alerts/channels/{made}/test").get_json()["told"] is True
    assert titles(world) == ["Test of Keepline"]
    assert world.delete(f"/api/alerts/channels/{made}").status_code == 204
    assert error_code(world.post(f"/api/alerts/channels/{made}/test")) == "channel_not_found"


def test_the_address_of_a_channel_is_nowhere_in_clear(world: World, caplog: pytest.LogCaptureFixture) -> None:
    secret = "mailtos://name:opensesame@example.com?to=me@example.com"
    channel(world, url=secret)
    [document] = world.all_in("alert_channels")
    shown = world.get("/api/alerts/channels").get_data(as_text=True)
    for text in (repr(document.fields), shown, caplog.text):
        assert "opensesame" not in text
        assert "example.com" not in text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "syslog://localhost"}, "channel_url_not_allowed"),
        ({"url": "json://127.0.0.1/x"}, "channel_url_not_allowed"),
        ({"url": "mailtos://nobody example"}, "bad_channel_url"),
        ({"url": "mailtos://nobody"}, "bad_channel_url"),
        ({}, "bad_field"),
        ({"url": MAIL, "webhook_id": "w1"}, "bad_field"),
        ({"webhook_id": "w1"}, "webhook_not_found"),
        ({"webhook_id": "../x"}, "webhook_not_found"),
    ],
)
def test_a_channel_that_cannot_be_is_refused(world: World, body: dict[str, Any], code: str) -> None:
    world.notifier.unknown.add("mailtos://nobody")
    answer = world.client.post("/api/alerts/channels", json={"name": "x"} | body, headers=world.anna)
    assert error_code(answer) == code
    assert not world.all_in("alert_channels")


def test_there_are_so_many_channels_and_no_more(world: World) -> None:
    for _ in range(10):
        channel(world)
    answer = world.client.post("/api/alerts/channels", json={"name": "x", "url": MAIL}, headers=world.anna)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "channel_limit")


# By webhook.


def test_a_webhook_is_told_that_an_alert_opened_and_closed(banned: World) -> None:
    made = banned.client.post(
        "/api/webhooks", json={"url": "https://a.example/", "events": ["message"]}, headers=banned.anna
    ).get_json()
    channel(banned, url=None, webhook_id=made["webhook_id"])
    rounds(banned, 2)
    banned.set_state("anna_shop", "connected", "connected")
    rounds(banned, 5)
    for webhook, lane in banned.waker.woken:
        banned.run(banned.process.deliverer.deliver(webhook, lane))
    told = [json.loads(call.body) for call in banned.receiver.calls]
    assert [one["type"] for one in told] == ["alert.opened", "alert.closed"]
    assert told[0]["data"]["rule"] == "session_banned"
    assert [one["data"]["state"] for one in told] == ["open", "closed"]


def test_a_webhook_that_is_gone_is_a_channel_that_fails(banned: World) -> None:
    made = banned.client.post(
        "/api/webhooks", json={"url": "https://a.example/", "events": ["message"]}, headers=banned.anna
    ).get_json()
    channel(banned, url=None, webhook_id=made["webhook_id"])
    assert banned.delete(f"/api/webhooks/{made['webhook_id']}").status_code == 204
    rounds(banned)
    assert banned.get("/api/alerts/channels").get_json()["channels"][0]["error"] == "webhook_gone"


# What is seen.


def happen(world: World, kind: EventKind, at: datetime, subject: str = "anna_shop", **more: Any) -> Write:
    tenant = None if more.pop("installation", False) else "anna"
    session = {"tenant": tenant, "account": subject, "session_id": "shop"} if tenant else {}
    write = monitoring.event(kind, f"{subject} {at}", at=at, subject=subject, details={"code": "x", **more}, **session)
    world.commit(write)
    return write


def test_eleven_disconnects_within_an_hour_are_an_alert(world: World) -> None:
    world.add_session(state="connected", code="connected")
    for minute in range(11):
        happen(world, EventKind.SESSION_DISCONNECTED, NOON - timedelta(minutes=minute))
    rounds(world)
    assert seen(world) == [("disconnects", "open")]
    assert listed(world)[0]["details"] == {"count": 11}


def test_downtime_that_burns_the_budget_is_an_alert_and_its_end_ends_it(world: World) -> None:
    world.add_session(state="connected", code="connected")
    for at, before, state in (
        (NOON, "connected", "reconnecting"),
        (NOON + timedelta(minutes=2), "reconnecting", "connected"),
    ):
        change_of = monitoring.StateChange(str(at), "anna_shop", "shop", "anna", at, before, state, "x", "Words.")
        world.commit(monitoring.state_changed(change_of))
    world.clock.advance(120)
    rounds(world)
    assert seen(world) == [("burn_fast", "open")]
    rounds(world, 8)
    assert seen(world) == [("burn_fast", "closed")]


def test_a_message_that_nobody_sends_is_an_alert(world: World) -> None:
    world.add_session(state="connected", code="connected")
    world.send()
    world.clock.advance(601)
    rounds(world)
    assert seen(world) == [("queue_age", "open")]


def test_what_concerns_the_installation_is_for_its_operators(world: World, operator: dict[str, str]) -> None:
    channel(world, "?installation=true", operator)
    channel(world, url="mailto://anna@a.example")
    happen(world, EventKind.OUTAGE_BEGAN, NOON, "api", installation=True)
    rounds(world)
    assert seen(world, "?installation=true", operator) == [("uptime_down", "open")]
    assert seen(world) == []
    assert [(url, title) for url, title, _ in world.notifier.told] == [(MAIL, "[critical] uptime_down: api")]
    rounds(world, 400)
    assert seen(world, "?installation=true", operator) == [("uptime_down", "open")], "until its end is told"
    happen(world, EventKind.OUTAGE_ENDED, world.clock.now(), "api", installation=True, seconds=9)
    rounds(world)
    assert seen(world, "?installation=true", operator) == [("uptime_down", "closed")]


def test_a_silent_connector_is_an_alert_until_it_beats(world: World, operator: dict[str, str]) -> None:
    world.beat("", connector="c1")
    world.clock.advance(31)
    world.run(world.process.minute_round.make())
    rounds(world)
    assert seen(world, "?installation=true", operator) == [("connector_silent", "open")]
    world.beat("", connector="c1", n=2)
    world.run(world.process.minute_round.make())
    rounds(world, 4)
    assert seen(world, "?installation=true", operator) == [("connector_silent", "closed")]


def test_when_the_store_is_down_nothing_opens_and_nothing_closes(banned: World) -> None:
    rounds(banned)
    banned.store.down = True
    with pytest.raises(Exception, match="bad day"):
        rounds(banned)
    banned.store.down = False
    assert seen(banned) == [("session_banned", "open")]


# Whose.


def test_alerts_settings_and_channels_are_nobodys_but_their_owners(banned: World, operator: dict[str, str]) -> None:
    rounds(banned)
    made = channel(banned)
    [alert] = listed(banned)
    acknowledge = f"/api/alerts/{alert['alert_id']}/acknowledge"
    for headers, query in ((banned.bert, ""), (operator, ""), (operator, "?installation=true")):
        assert listed(banned, query, headers) == []
        assert error_code(banned.post(acknowledge + query, headers)) == "alert_not_found"
        assert banned.get("/api/alerts/channels" + query, headers).get_json() == {"channels": []}
        assert error_code(banned.delete(f"/api/alerts/channels/{made}{query}", headers)) == "channel_not_found"
    for method, path in (
        ("GET", "/api/alerts"),
        ("POST", acknowledge),
        ("GET", "/api/alerts/settings"),
        ("PATCH", "/api/alerts/settings"),
        ("GET", "/api/alerts/channels"),
        ("POST", "/api/alerts/channels"),
        ("DELETE", f"/api/alerts/channels/{made}"),
        ("POST", f"/api/alerts/channels/{made}/test"),
    ):
        answer = banned.client.open(f"{path}?installation=true", method=method, headers=banned.anna)
        assert (answer.status_code, error_code(answer)) == (403, "missing_scope"), path


def test_a_key_for_one_session_sees_its_alerts_and_changes_nothing_for_all(banned: World) -> None:
    banned.add_session("till", state="logged_out", code="logged_out")
    rounds(banned)
    till = banned.add_key("anna", ("read", "admin"), ("till",))
    assert seen(banned, "", till) == [("session_logged_out", "open")]
    other = next(alert["alert_id"] for alert in listed(banned) if alert["session_id"] == "shop")
    assert error_code(banned.post(f"/api/alerts/{other}/acknowledge", till)) == "alert_not_found"
    assert error_code(change(banned, "", till, thresholds={"phone_days": 5})) == "session_not_allowed"
    assert error_code(banned.get("/api/alerts/channels", till)) == "session_not_allowed"


def test_alerts_come_in_pages(banned: World) -> None:
    rounds(banned)
    banned.add_session("till", state="outdated", code="outdated")
    rounds(banned)
    page = banned.get("/api/alerts?limit=1").get_json()
    assert [alert["rule"] for alert in page["alerts"]] == ["session_outdated"]
    rest = banned.get(f"/api/alerts?limit=1&before={page['next_before']}").get_json()
    assert [alert["rule"] for alert in rest["alerts"]] == ["session_banned"]
    assert seen(banned, "?state=closed") == []


# Settings.


def test_a_threshold_holds_for_its_owner_and_can_be_put_back(world: World) -> None:
    world.add_session(state="connected", code="connected")
    world.send()
    shown = change(world, thresholds={"queue_age_s": 60}).get_json()
    assert shown["thresholds"]["queue_age_s"] == {"value": 60, "usual": 600, "least": 30, "most": 86_400}
    world.clock.advance(61)
    rounds(world)
    assert seen(world) == [("queue_age", "open")]
    assert world.get("/api/alerts/settings").get_json() == shown
    assert world.get("/api/alerts/settings", world.bert).get_json()["thresholds"]["queue_age_s"]["value"] == 600
    assert change(world, thresholds={"queue_age_s": None}).get_json()["thresholds"]["queue_age_s"]["value"] == 600


def test_quiet_hours_stay_until_they_are_changed(world: World) -> None:
    assert change(world, quiet_hours=QUIET).get_json()["quiet_hours"] == QUIET
    assert change(world, thresholds={"phone_days": 5}).get_json()["quiet_hours"] == QUIET
    assert change(world, quiet_hours=None).get_json()["quiet_hours"] is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"thresholds": {"phone_days": 14}}, "bad_threshold"),
        ({"thresholds": {"queue_age_s": 0}}, "bad_threshold"),
        ({"thresholds": {"nonsense": 1}}, "bad_threshold"),
        ({"quiet_hours": QUIET | {"time_zone": "Mars/Phobos"}}, "bad_quiet_hours"),
        ({"quiet_hours": QUIET | {"ends": "12:00"}}, "bad_quiet_hours"),
    ],
)
def test_settings_that_make_no_sense_are_refused(world: World, body: dict[str, Any], code: str) -> None:
    answer = change(world, **body)
    assert (answer.status_code, error_code(answer)) == (400, code)
    assert not world.all_in("alert_settings")
