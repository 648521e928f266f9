"""`/api/connectors`: an operator sees where devices live and takes a connector out of use; nobody else does."""

from __future__ import annotations

import pytest

from keepline.records.api_keys import OPERATOR, USER_SCOPES
from keepline.records.connectors import connector_path

from .support import World, error_code


@pytest.fixture
def operator(world: World) -> dict[str, str]:
    world.add_session(state="connected", code="connected", phone="14155550100")
    world.beat("anna_shop", quality=88)
    return world.add_key("olga", (OPERATOR,))


def test_an_operator_sees_whose_devices_live_where(world: World, operator: dict[str, str]) -> None:
    world.beat("anna_shop", connector="b9", slot="b")
    [standby, first] = world.get("/api/connectors", operator).get_json()["connectors"]
    assert (first["connector"], standby["connector"]) == ("c1", "b9")
    assert first["devices"] == [
        {"user_id": "anna", "session_id": "shop", "slot": "a", "queued": first["queued"], "quality": 88}
    ]
    assert [device["slot"] for device in standby["devices"]] == ["b"]
    assert (first["silent"], first["stopped"], first["draining"]) == (False, False, False)


def test_a_look_is_never_older_than_the_heartbeat(world: World, operator: dict[str, str]) -> None:
    world.get("/api/connectors", operator)
    world.beat("anna_shop", quality=20, n=2)
    [one] = world.get("/api/connectors", operator).get_json()["connectors"]
    assert one["devices"][0]["quality"] == 20


def test_a_connector_is_taken_out_of_use_and_back(world: World, operator: dict[str, str]) -> None:
    for _ in range(2):  # twice is as good as once
        answer = world.post("/api/connectors/c1/drain", operator)
        assert (answer.status_code, answer.get_json()["draining"]) == (200, True)
    assert world.fields(connector_path("c1"))["drain"] is True
    assert world.post("/api/connectors/c1/undrain", operator).get_json()["draining"] is False
    assert world.fields(connector_path("c1"))["drain"] is False


@pytest.mark.parametrize("name", ["nobody", "..", "__x__", "a" * 2000])
def test_what_has_never_run_is_not_found(world: World, operator: dict[str, str], name: str) -> None:
    answer = world.post(f"/api/connectors/{name}/drain", operator)
    assert (answer.status_code, error_code(answer)) == (404, "connector_not_found")
    assert [document.id for document in world.all_in("connectors")] == ["c1"]


def test_a_users_key_steers_no_connector(world: World, operator: dict[str, str]) -> None:
    for headers in (world.anna, world.add_key("anna", USER_SCOPES)):
        for answer in (world.get("/api/connectors", headers), world.post("/api/connectors/c1/drain", headers)):
            assert (answer.status_code, error_code(answer)) == (403, "missing_scope")
    assert "drain" not in world.fields(connector_path("c1"))
