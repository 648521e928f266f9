"""What operators see of what is watched, and how they steer it; and the function that watches."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keepline.domain.uptime_checks import ANSWERS, Check, State
from keepline.domain.uptime_ledger import Span
from keepline.ports.uptime_probes import Found
from keepline.records import uptime
from keepline.records.uptime import Outage, Settings, Target
from keepline.usecases.uptime import UptimeMonitor
from keepline.usecases.uptime_watching import Watched, nobody_reacts
from keepline_functions import uptime_views

from .framework import PUBSUB_TYPE, deliver, serve
from .support import World, error_code

SHOP = {"name": "Shop", "url": "https://shop.example.com/health"}


@pytest.fixture
def operator(world: World) -> dict[str, str]:
    return world.add_key("olga", ("operator",))


def add(world: World, operator: dict[str, str], **body: Any) -> Any:
    return world.client.post("/api/uptime/targets", json=SHOP | body, headers=operator)


def change(world: World, operator: dict[str, str], target: str, **body: Any) -> Any:
    return world.client.patch(f"/api/uptime/targets/{target}", json=body, headers=operator)


def story(world: World, operator: dict[str, str], target: str) -> Any:
    return world.get(f"/api/uptime/{target}", operator).get_json()


def add_api(world: World) -> None:
    world.commit(uptime.new_target("api", world.clock.now(), name="API", kind=uptime.API, settings=Settings()))


def target(world: World, name: str) -> Target:
    document = world.document(uptime.target_path(name))
    assert document is not None
    return Target.read(document)


def check(world: World, name: str, *codes: str) -> None:
    """Checks that a run would make, every five seconds."""

    async def make() -> None:
        found_open = [
            Outage.read(document)
            for document in await world.store.query(uptime.open_outages())
            if document.fields["target"] == name
        ]
        watched = Watched(world.store, world.clock, target_now, found_open, nobody_reacts)
        for code in codes:
            world.clock.advance(5)
            await watched.seen(Check(world.clock.now(), code, 40 if code == ANSWERS else None))
        await watched.save()

    target_now = target(world, name)
    world.run(make())


def test_a_target_is_added_and_shown_with_its_settings(world: World, operator: dict[str, str]) -> None:
    made = add(world, operator, settings={"preset": "aggressive", "interval_s": 10, "slo": 0.99})
    assert made.status_code == 201
    shown = made.get_json()
    assert shown["target_id"].startswith("u_")
    assert (shown["kind"], shown["state"], shown["reason"]["code"]) == ("url", "unknown", "not_checked_yet")
    assert shown["settings"]["interval_s"] == 10
    assert shown["settings"]["failures_until_down"] == 2
    assert shown["uptime"]["day"]["uptime"] is None
    assert shown["budget"]["allowed_s"] == pytest.approx(0.01 * 30 * 86_400)
    [listed] = world.get("/api/uptime", operator).get_json()["targets"]
    assert listed == shown


def test_uptime_is_told_from_the_outages_on_record(world: World, operator: dict[str, str]) -> None:
    add_api(world)
    check(world, "api", *[ANSWERS] * 12)
    began = world.clock.now() + timedelta(seconds=5)
    check(world, "api", *["timeout"] * 12, ANSWERS, ANSWERS)
    shown = story(world, operator, "api")
    [incident] = shown["incidents"]
    assert incident["down_s"] == 60
    assert incident["began_at"] == uptime_views.rfc3339(began)
    assert incident["reason"]["code"] == "timeout"
    day = shown["uptime"]["day"]
    assert (day["down_s"], day["outages"]) == (60, 1)
    assert day["uptime"] == pytest.approx(1 - 60 / day["watched_s"], abs=1e-6)
    assert shown["budget"]["used_s"] == 60
    assert (shown["longest_outage_s"], shown["mttr_s"]) == (60, 60)
    assert len(shown["days"]) == 90
    assert shown["days"][-1]["failures"] == 12
    assert shown["days"][-1]["response"]["average_ms"] == 40
    assert shown["days"][0]["uptime"] is None
    assert shown["months"][-1] == {**shown["months"][-1], "month": "2026-03", "down_s": 60}
    assert shown["recent"][-1]["ok"] is True


def test_time_that_nobody_watched_is_shown_as_such(world: World, operator: dict[str, str]) -> None:
    add_api(world)
    check(world, "api", *[ANSWERS] * 12)
    world.clock.advance(3_600)
    shown = story(world, operator, "api")["uptime"]["day"]
    assert shown["watched_s"] == 60
    assert shown["not_watched_s"] == pytest.approx(3_600, abs=10)
    check(world, "api", ANSWERS)  # Then the gap is on record.
    again = story(world, operator, "api")["uptime"]["day"]
    assert again["not_watched_s"] == pytest.approx(3_600, abs=20)
    assert again["uptime"] == 1.0


def test_an_open_outage_counts_until_now(world: World, operator: dict[str, str]) -> None:
    add_api(world)
    check(world, "api", ANSWERS, *["bad_status"] * 4)
    world.clock.advance(20)
    shown = story(world, operator, "api")
    assert (shown["state"], shown["reason"]["code"]) == ("down", "bad_status")
    assert shown["outage_id"] == shown["incidents"][0]["outage_id"]
    assert shown["incidents"][0]["ended_at"] is None
    assert shown["mttr_s"] is None
    assert shown["uptime"]["day"]["down_s"] == pytest.approx(35, abs=1)


def test_settings_are_changed_by_name(world: World, operator: dict[str, str]) -> None:
    name = add(world, operator, settings={"interval_s": 3, "slow_ms": 500}).get_json()["target_id"]
    shown = change(world, operator, name, settings={"slow_ms": None, "slo": 0.95}, name="The shop").get_json()
    assert (shown["name"], shown["settings"]["interval_s"]) == ("The shop", 3)
    assert (shown["settings"]["slow_ms"], shown["settings"]["slo"]) == (1_000, 0.95)


def test_how_a_target_is_asked_is_changed(world: World, operator: dict[str, str]) -> None:
    name = add(world, operator, text="ok", headers={"Authorization": "Bearer secret-1"}).get_json()["target_id"]
    shown = change(world, operator, name, url="https://other.example.com", expected_status=[204], text=None)
    assert shown.get_json()["check"] == {
        "url": "https://other.example.com",
        "method": "GET",
        "expected_status": [204],
        "text": None,
        "headers": ["Authorization"],
    }
    # Its headers went with it to the new address.
    opened = world.run(
        world.process.uptime_monitor._headers.open(name, "https://other.example.com", target(world, name).secrets)
    )
    assert opened == {"Authorization": "Bearer secret-1"}


def test_the_values_of_headers_rest_sealed_and_are_shown_nowhere(world: World, operator: dict[str, str]) -> None:
    made = add(world, operator, headers={"Authorization": "Bearer secret-1"})
    name = made.get_json()["target_id"]
    assert made.get_json()["check"]["headers"] == ["Authorization"]
    assert "secret-1" not in made.text
    assert "secret-1" not in world.get("/api/uptime", operator).text
    assert "secret-1" not in repr(world.fields(uptime.target_path(name)))


def test_a_target_is_deleted_and_its_outage_with_it(world: World, operator: dict[str, str]) -> None:
    name = add(world, operator).get_json()["target_id"]
    check(world, name, *["timeout"] * 3)
    assert world.run(world.store.query(uptime.open_outages()))
    assert world.delete(f"/api/uptime/targets/{name}", operator).status_code == 204
    assert error_code(world.get(f"/api/uptime/{name}", operator)) == "target_not_found"
    assert not world.run(world.store.query(uptime.open_outages()))


def test_keeplines_own_parts_are_watched_otherwise_but_not_deleted(world: World, operator: dict[str, str]) -> None:
    add_api(world)
    answer = world.delete("/api/uptime/targets/api", operator)
    assert (answer.status_code, error_code(answer)) == (409, "target_is_ours")
    assert error_code(change(world, operator, "api", url="https://elsewhere.example.com")) == "target_is_ours"
    shown = change(world, operator, "api", enabled=False, settings={"preset": "conservative"}).get_json()
    assert (shown["enabled"], shown["reason"]["code"]) == (False, "disabled")
    assert shown["settings"]["interval_s"] == 10


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "https://127.0.0.1/health"}, "target_url_not_allowed"),
        ({"url": "https://metadata.google.internal/"}, "target_url_not_allowed"),
        ({"url": "http://shop.example.com"}, "bad_target_url"),
        ({"url": "https://a:b@shop.example.com"}, "bad_target_url"),
        ({"headers": {"Host": "other"}}, "bad_header"),
        ({"method": "HEAD", "text": "ok"}, "bad_target"),
        ({"method": "DELETE"}, "bad_field"),
        ({"expected_status": []}, "bad_field"),
        ({"settings": {"interval_s": 1}}, "bad_field"),
        ({"settings": {"slow_ms": 3_000, "timeout_ms": 1_000}}, "bad_pace"),
        ({"settings": {"slo": 1.0}}, "bad_field"),
        ({"name": ""}, "bad_field"),
    ],
)
def test_what_cannot_be_watched_is_refused(
    world: World, operator: dict[str, str], body: dict[str, Any], code: str
) -> None:
    before = world.store.commits
    answer = add(world, operator, **body)
    assert (answer.status_code, error_code(answer)) == (400, code)
    assert world.store.commits == before


def test_there_is_a_limit_of_targets(world: World, operator: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keepline.usecases.uptime_targets.TARGETS_MAX", 1)
    assert add(world, operator).status_code == 201
    answer = add(world, operator)
    assert answer.status_code == 409
    assert answer.get_json()["error"]["code"] == "target_limit_reached"


@pytest.mark.parametrize("name", ["none", "u_" + "x" * 200, "a%2Fb"])
def test_a_target_that_is_not_there_is_not_found(world: World, operator: dict[str, str], name: str) -> None:
    assert error_code(world.get(f"/api/uptime/{name}", operator)) in ("target_not_found", "no_such_route")


def test_however_many_ask_the_record_is_read_once_in_a_while(world: World, operator: dict[str, str]) -> None:
    add_api(world)
    asked: list[str] = []
    query = world.store.query

    async def counting(one: Any) -> Any:
        asked.append(one.collection)
        return await query(one)

    world.store.query = counting  # type: ignore[method-assign]
    for _ in range(5):
        world.get("/api/uptime", operator)
    assert asked.count(uptime.GAPS) == 1


def test_every_code_of_a_check_has_words() -> None:
    core = Path(uptime.__file__).parents[1]
    for file in ("adapters/uptime_http.py", "domain/uptime_checks.py", "usecases/uptime.py", "records/uptime.py"):
        text = (core / file).read_text()
        for code in ("timeout", "bad_status", "lease_ran_out", "tls_failed", "secrets_unreadable", "text_missing"):
            if f'"{code}"' in text:
                assert code in uptime_views.REASONS
    assert set(State) >= {State.UP}


def test_the_function_watches_for_a_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[UptimeMonitor] = []

    async def watch(monitor: UptimeMonitor) -> bool:
        watched.append(monitor)
        return True

    monkeypatch.setattr(UptimeMonitor, "watch", watch)
    function = serve("on_uptime_minute", world, monkeypatch)
    body = {"message": {"data": "", "messageId": "1", "publishTime": "2026-03-01T12:00:00Z"}, "subscription": "s"}
    assert deliver(function, PUBSUB_TYPE, "1", json.dumps(body).encode(), "application/json") == 200
    assert watched == [world.process.uptime_monitor]


def test_a_gap_over_midnight_belongs_to_both_days(world: World, operator: dict[str, str]) -> None:
    add_api(world)
    world.clock.advance(12 * 3_600 - 600)
    check(world, "api", ANSWERS)
    began = world.clock.now()
    world.clock.advance(1_200)
    world.commit(uptime.not_watched("api", Span(began, world.clock.now()), "no_run"))
    check(world, "api", ANSWERS)
    days = story(world, operator, "api")["days"][-2:]
    assert [round(day["not_watched_s"]) > 590 for day in days] == [True, True]


def test_what_is_found_is_told_in_its_own_words() -> None:
    assert Found("bad_status", 12).code in uptime_views.REASONS
