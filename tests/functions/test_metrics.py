"""`GET /metrics`: for who knows the operator's token; requests of this process, connectors and sessions of the installation."""

from __future__ import annotations

from typing import Any

import pytest

from keepline.domain.session import SessionState
from keepline.ports.documents import Delete
from keepline.records import connectors
from keepline.usecases.fleet import KINDS_COUNTED, LOOK_EVERY_S

from .support import METRICS_TOKEN, World, error_code

OPERATOR = {"Authorization": f"Bearer {METRICS_TOKEN}"}


def metrics(world: World) -> dict[str, float]:
    """The samples, by name and labels."""
    answer = world.get("/metrics", OPERATOR)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")
    lines = [line for line in answer.get_data(as_text=True).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer no"}, {"Authorization": METRICS_TOKEN}, {"X-Api-Key": METRICS_TOKEN}]
)
def test_nobody_reads_them_without_the_token(world: World, headers: dict[str, str]) -> None:
    answer = world.get("/metrics", headers)
    assert (answer.status_code, error_code(answer)) == (401, "bad_metrics_token")


def test_an_api_key_is_no_operators_token(world: World) -> None:
    assert world.get("/metrics", {"Authorization": f"Bearer {world.anna['X-Api-Key']}"}).status_code == 401


def test_without_a_token_in_the_settings_there_is_no_such_page(world: World) -> None:
    parts = world.process.services
    object.__setattr__(parts, "metrics_token", None)
    for headers in (OPERATOR, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        answer = world.get("/metrics", headers)
        assert (answer.status_code, error_code(answer)) == (404, "no_such_route")


def test_requests_are_counted_by_route_and_not_by_address(world: World) -> None:
    world.add_session()
    for path in ("/api/sessions/shop/status", "/api/sessions/nothing/status", "/made/up", "/made/up/2"):
        world.get(path)
    world.client.open("/made/up", method="BREW")
    found = metrics(world)
    route = 'method="GET",route="/api/sessions/<session_id>/status"'
    assert found[f'keepline_http_requests_total{{{route},status="200"}}'] == 1
    assert found[f'keepline_http_requests_total{{{route},status="404"}}'] == 1
    assert found[f"keepline_http_request_seconds_count{{{route}}}"] == 2
    assert found['keepline_http_requests_total{method="(any)",route="(none)",status="404"}'] == 3
    assert not any("made" in name or "BREW" in name or "nothing" in name for name in found)


def test_connectors_and_sessions_are_there(world: World) -> None:
    shop = world.add_session(state="connected", code="connected", phone="14155550100")
    world.add_session("shop", tenant="bert", state="banned", code="banned", phone="14155550101")
    world.beat(shop, quality=20, held=("spacing", 5.0))
    world.beat("", connector="c2", stopping=True)
    world.clock.advance(2)
    found = metrics(world)
    labels = '{connector="c1",region="r1"}'
    assert found["keepline_store_up"] == 1
    assert found['keepline_sessions{state="connected"}'] == 1
    assert found['keepline_sessions{state="banned"}'] == 1
    assert found['keepline_sessions{state="failed"}'] == 0
    assert found[f"keepline_connector_heartbeat_age_seconds{labels}"] == pytest.approx(2, abs=0.01)
    assert [found[f"keepline_connector_{name}{labels}"] for name in ("silent", "devices", "capacity")] == [0, 1, 200]
    assert [found[f"keepline_connector_{name}{labels}"] for name in ("poor_devices", "held_devices")] == [1, 1]
    assert found['keepline_connector_stopped{connector="c2",region="r1"}'] == 1
    world.clock.advance(LOOK_EVERY_S + 1)
    assert metrics(world)[f"keepline_connector_silent{labels}"] == 1


def test_however_often_they_are_read_firestore_is_asked_once_in_15_s(world: World) -> None:
    metrics(world)
    before = world.store.counts
    for _ in range(10):
        metrics(world)
    assert world.store.counts == before
    world.clock.advance(LOOK_EVERY_S + 0.1)
    metrics(world)
    assert world.store.counts == before + len(SessionState) + len(KINDS_COUNTED)


def test_a_store_that_does_not_answer_is_told_and_the_rest_is_there(world: World) -> None:
    world.get("/health", {})
    world.store.down = True
    found = metrics(world)
    assert found["keepline_store_up"] == 0
    assert any(name.startswith("keepline_http_requests_total") for name in found)
    assert not any(name.startswith(("keepline_sessions", "keepline_connector")) for name in found)


def test_what_is_gone_has_no_gauge_any_more(world: World) -> None:
    world.beat("", connector="c9")
    assert any("c9" in name for name in metrics(world))
    world.commit(Delete(connectors.connector_path("c9")))
    world.clock.advance(LOOK_EVERY_S + 0.1)
    assert not any("c9" in name for name in metrics(world))


def test_the_token_is_in_no_repr(world: World) -> None:
    shown: Any = world.process.services
    assert METRICS_TOKEN not in repr(shown)
