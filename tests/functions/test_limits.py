"""`GET /api/limits`: what is left, of uses and of places; asking costs nothing."""

from __future__ import annotations

from .support import World


def test_it_says_what_is_left_of_each_limit_and_of_the_places(world: World) -> None:
    for headers in (world.anna, world.bert):
        world.client.post("/api/sessions/create", json={"session_id": "shop"}, headers=headers)
    world.send()
    found = world.get("/api/limits").get_json()
    of_user = {"messages", "files", "sessions", "codes", "reconnects", "lookups", "groups", "questions"}
    assert set(found["limits"]) == of_user
    assert found["limits"]["messages"] == {
        "count": 60,
        "period_s": 60.0,
        "burst": 30,
        "remaining": 29,
        "reset_s": 1.0,
    }
    assert found["places"] == {
        "user_sessions": {"limit": 5, "used": 1},
        "installation_sessions": {"limit": 100, "used": 2},
    }


def test_before_the_first_session_all_places_are_free(world: World) -> None:
    places = world.get("/api/limits").get_json()["places"]
    assert [place["used"] for place in places.values()] == [0, 0]


def test_asking_uses_nothing(world: World) -> None:
    first = world.get("/api/limits").get_json()
    before = world.store.commits
    assert world.get("/api/limits").get_json() == first
    assert world.store.commits == before


def test_never_more_is_left_than_the_burst(world: World) -> None:
    world.set_limit("anna", "messages", count=60_000, period_s=60, burst=60_000)
    assert world.get("/api/limits").get_json()["limits"]["messages"]["remaining"] == 60_000
