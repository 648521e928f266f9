"""`GET /diagnostics/{id}` tells what is known and asks nobody; `POST /reconnect/{id}` has a session try now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keepline.domain.reconnect import Breaker
from keepline.ports.documents import Update
from keepline.records import accounts, monitoring
from keepline.records.monitoring import StateChange

from .support import NOON, World, error_code

ACCOUNT = "anna_shop"


def event(world: World, number: int, tenant: str = "anna", code: str = "connected") -> None:
    at = NOON + timedelta(seconds=number)
    change = StateChange(f"e{number}", f"{tenant}_shop", "shop", tenant, at, "starting", "connected", code, "Words.")
    world.commit(monitoring.state_changed(change))


def device(world: World, slot: str = "a", **fields: Any) -> dict[str, Any]:
    if fields:
        world.commit(Update(accounts.device_path(ACCOUNT, slot), fields))
    return world.fields(accounts.device_path(ACCOUNT, slot))


@pytest.fixture
def shop(world: World) -> World:
    world.add_session(state="connected", code="connected", phone="14155550100")
    world.beat(ACCOUNT, quality=88)
    return world


def recommended(world: World) -> list[str]:
    return [one["code"] for one in world.get("/diagnostics/shop").get_json()["recommendations"]]


def test_it_has_what_an_operator_needs(shop: World) -> None:
    for number in range(25):
        event(shop, number)
    event(shop, 99, tenant="bert")
    shop.send()
    found = shop.get("/diagnostics/shop").get_json()
    assert set(found) == {"session", "connectors", "events", "limits", "recommendations"}
    assert found["session"]["state"] == "connected"
    [one] = found["session"]["devices"]
    assert (one["breaker"], one["evidence"]["quality"], one["evidence"]["kind"]) == ("closed", 88, "answer")
    assert found["session"]["queue"]["queued"] == 1
    assert found["connectors"] == [
        {
            "connector": "c1",
            "region": "r1",
            "heartbeat_age_s": 0.0,
            "silent": False,
            "stopped": False,
            "draining": False,
        }
    ]
    assert len(found["events"]) == 20
    assert found["events"][0] == {
        "at": "2026-03-01T12:00:24.000Z",
        "from": "starting",
        "to": "connected",
        "code": "connected",
        "sentence": "Words.",
    }
    assert found["limits"]["messages"] == {
        "count": 60,
        "period_s": 60.0,
        "burst": 30,
        "remaining": 29,
        "reset_s": 1.0,
    }
    assert found["limits"]["queue"] == {"limit": 10_000, "used": 1}
    assert set(found["limits"]) == {"queue", "user_sessions", "messages", "files", "sessions", "codes", "reconnects"}


def test_places_of_the_pool_are_the_users_own(world: World) -> None:
    for headers in (world.anna, world.anna, world.bert):
        world.post("/api/sessions/create", headers)
    world.client.post("/api/sessions/create", json={"session_id": "shop"}, headers=world.anna)
    found = world.get("/diagnostics/shop").get_json()
    assert found["limits"]["user_sessions"] == {"limit": 5, "used": 3}


def test_looking_writes_nothing_and_asks_no_device(shop: World) -> None:
    shop.get("/diagnostics/shop")
    before = shop.store.commits
    for path in ("/diagnostics/shop", "/health/shop", "/health?detailed=true", "/api/sessions/shop/status"):
        assert shop.get(path).status_code == 200
    assert shop.store.commits == before
    assert shop.all_in("commands") == []


def test_it_shows_no_secret(shop: World) -> None:
    secret = shop.fields(accounts.secret_path(ACCOUNT))["tag_key"]
    text = shop.get("/diagnostics/shop").get_data()
    assert secret not in text
    for word in (b"tag_key", b"wrapped_key", b"sealed"):
        assert word not in text


def test_anothers_session_has_no_diagnosis(shop: World) -> None:
    assert error_code(shop.get("/diagnostics/shop", shop.bert)) == "session_not_found"


def test_it_recommends_a_standby_when_all_else_is_well(shop: World) -> None:
    assert recommended(shop) == ["no_standby"]
    shop.add_standby(ACCOUNT, "connected", "connected", linked=True)
    shop.beat(ACCOUNT, connector="c2", slot="b")
    assert recommended(shop) == []


def test_it_says_what_is_wrong_first(shop: World) -> None:
    shop.set_state(ACCOUNT, "reconnecting", "proxy_unreachable")
    device(shop, breaker=Breaker.OPEN.value, reconnect_attempts=7)
    assert recommended(shop) == ["proxy_unreachable", "breaker_open"]


def test_it_says_that_a_connection_is_poor_and_that_messages_wait(shop: World) -> None:
    shop.send()
    shop.clock.advance(61)
    shop.beat(ACCOUNT, quality=30, n=2)
    assert recommended(shop) == ["poor_quality", "queue_stuck", "no_standby"]
    shop.beat(ACCOUNT, quality=90, n=3, held=("first_contacts", 50.0))
    assert recommended(shop) == ["first_contacts", "no_standby"]


def test_it_says_that_a_limit_is_used_up(shop: World) -> None:
    while shop.send().status_code == 202:
        pass
    assert "limit_used_up" in recommended(shop)


# Reconnecting


def test_a_session_is_asked_to_try_now(shop: World) -> None:
    shop.set_state(ACCOUNT, "reconnecting", "unreachable")
    answer = shop.post("/reconnect/shop")
    assert (answer.status_code, answer.get_json()["session_id"]) == (202, "shop")
    assert answer.headers["RateLimit"] == '"reconnects";r=4;t=60'
    assert device(shop)["reconnects_asked"] == 1


def test_both_devices_are_asked_but_not_one_that_was_logged_out_or_never_linked(shop: World) -> None:
    shop.add_standby(ACCOUNT, "reconnecting", "unreachable", linked=True)
    shop.post("/reconnect/shop")
    assert [device(shop, slot)["reconnects_asked"] for slot in "ab"] == [1, 1]
    device(shop, "b", state="logged_out")
    shop.post("/reconnect/shop")
    device(shop, "b", state="pairing", linked=False)
    shop.post("/reconnect/shop")
    assert [device(shop, slot)["reconnects_asked"] for slot in "ab"] == [3, 1]


def test_asking_too_often_is_refused(shop: World) -> None:
    assert [shop.post("/reconnect/shop").status_code for _ in range(6)] == [202] * 5 + [429]
    assert device(shop)["reconnects_asked"] == 5


def test_a_connector_that_writes_at_that_moment_is_no_obstacle(shop: World) -> None:
    async def state() -> object:
        return await shop.store.others_commit(Update(accounts.device_path(ACCOUNT, "a"), {"reconnect_attempts": 3}))

    shop.store.meanwhile = [state, state]
    assert shop.post("/reconnect/shop").status_code == 202
    assert (device(shop)["reconnects_asked"], device(shop)["reconnect_attempts"]) == (1, 3)


@pytest.mark.parametrize(
    ("fields", "code"), [({"linked": False}, "not_linked_yet"), ({"state": "logged_out"}, "cannot_reconnect")]
)
def test_what_no_try_can_help_is_refused(shop: World, fields: dict[str, Any], code: str) -> None:
    device(shop, **fields)
    answer = shop.post("/reconnect/shop")
    assert (answer.status_code, error_code(answer)) == (409, code)
