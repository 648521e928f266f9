"""`GET /api/fleet`: the whole installation, for operators, not older than 2 s."""

from __future__ import annotations

from keepline_functions.fleet_api import AGE_S_MAX

from .support import World


def test_an_operator_sees_every_connector_and_everybodys_sessions(world: World) -> None:
    operator = world.add_key("root", ("operator",))
    account = world.add_session(state="connected", code="connected")
    world.beat(account)
    world.beat("", connector="c2", stopping=True)
    found = world.get("/api/fleet", operator).get_json()
    assert found["sessions"]["connected"] == 1
    assert {one["id"]: one["state"] for one in found["connectors"]} == {"c1": "alive", "c2": "stopped"}
    assert found["queue"] == {"queued": 0, "oldest_queued_s": 0.0}


def test_the_fleet_is_two_seconds_old_at_most(world: World) -> None:
    operator = world.add_key("root", ("operator",))
    world.beat(world.add_session())
    assert world.get("/api/fleet", operator).get_json()["connectors"][0]["state"] == "alive"
    world.clock.advance(60.0)
    found = world.get("/api/fleet", operator).get_json()["connectors"][0]
    assert found["state"] == "silent"
    assert found["heartbeat_age_s"] >= 60.0
    assert AGE_S_MAX == 2.0
