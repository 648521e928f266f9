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
