"""`GET /health` is for everybody, cheap, and honest about Firestore."""

from __future__ import annotations

import pytest

from keepline_functions import store_health

from .support import World, error_code


def test_it_is_ok_without_a_key(world: World) -> None:
    answer = world.get("/health", {})
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok", "store": "ok"})


def test_it_is_not_when_firestore_refuses(world: World) -> None:
    world.store.down = True
    answer = world.get("/health", {})
    assert (answer.status_code, error_code(answer)) == (503, "store_unavailable")
    assert answer.headers["Retry-After"] == "1"
    world.store.down = False
    world.clock.advance(1.1)
    assert world.get("/health", {}).status_code == 200


def test_it_is_not_when_firestore_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_health, "STORE_TIMEOUT_S", 0.05)
    world.store.hangs = True
    assert world.get("/health", {}).status_code == 503


def test_however_many_ask_firestore_is_asked_once_a_second(world: World) -> None:
    before = world.store.gets
    for _ in range(20):
        world.get("/health", {})
    assert world.store.gets == before + 1
    world.clock.advance(1.1)
    world.get("/health", {})
    assert world.store.gets == before + 2


# With details, for callers


def test_details_are_for_callers_who_may_read(world: World) -> None:
    assert error_code(world.get("/health?detailed=true", {})) == "unauthenticated"
    assert error_code(world.get("/health?detailed=true", world.add_key("anna", ("send",)))) == "missing_scope"
    assert world.get("/health?detailed=false", {}).status_code == 200


def test_details_count_the_connectors_and_the_callers_own_sessions(world: World) -> None:
    shop = world.add_session("shop", state="connected", code="connected", phone="14155550100", connector="c1")
    world.add_session("till", state="connected", code="connected", phone="14155550101", connector="c2")
    world.add_session("shop", tenant="bert", state="connected", code="connected", phone="14155550102", connector="c1")
    world.beat(shop)
    world.beat("", connector="c2")
    world.beat("", connector="c3", stopping=True)
    world.clock.advance(60)
    world.beat(shop, n=2)
    answer = world.get("/health?detailed=true").get_json()
    assert answer["connectors"] == {"alive": 1, "silent": 1, "stopped": 1}
    assert {state: count for state, count in answer["sessions"].items() if count} == {"connected": 1, "degraded": 1}
    of_shop = world.get("/health?detailed=true", world.add_key("anna", ("read",), ("shop",))).get_json()
    assert sum(of_shop["sessions"].values()) == 1


def test_details_say_nothing_when_firestore_does_not_answer(world: World) -> None:
    world.get("/api/sessions")
    world.store.down = True
    assert error_code(world.get("/health?detailed=true")) == "store_unavailable"


# Of one session


def test_a_session_is_healthy_with_fresh_evidence_only(world: World) -> None:
    shop = world.add_session(state="connected", code="connected", phone="14155550100")
    world.beat(shop, quality=93)
    answer = world.get("/health/shop")
    assert answer.status_code == 200
    assert answer.get_json() == {
        "status": "ok",
        "session_id": "shop",
        "state": "connected",
        "reason": {"code": "connected", "sentence": "WhatsApp answers.", "next_step": "Nothing to do."},
        "evidence": {"at": "2026-03-01T11:59:59.900Z", "kind": "answer", "age_ms": 100, "quality": 93},
        "queue": {"queued": 0, "oldest_s": None, "held": None},
    }
    world.clock.advance(60)
    gone = world.get("/health/shop")
    assert (gone.status_code, error_code(gone)) == (503, "session_unhealthy")
    assert "silent" in gone.get_json()["error"]["message"]


def test_a_session_that_works_badly_is_said_to_and_is_no_outage(world: World) -> None:
    shop = world.add_session(state="degraded", code="poor_connection", phone="14155550100")
    world.beat(shop, quality=40)
    answer = world.get("/health/shop")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")


@pytest.mark.parametrize(("state", "code"), [("logged_out", "logged_out"), ("reconnecting", "unreachable")])
def test_a_session_that_cannot_send_is_an_outage(world: World, state: str, code: str) -> None:
    world.beat(world.add_session(state=state, code=code, phone="14155550100"))
    answer = world.get("/health/shop")
    assert (answer.status_code, error_code(answer)) == (503, "session_unhealthy")
    assert answer.get_json()["error"]["message"].startswith(f"{state}: ")


def test_the_health_of_anothers_session_is_that_of_none(world: World) -> None:
    world.add_session()
    assert error_code(world.get("/health/shop", world.bert)) == "session_not_found"
