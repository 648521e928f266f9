"""API keys: made once and shown once, for some scopes and some sessions, with a note of their last use, and revoked."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from keepline.ports.documents import Delete, Put
from keepline.records import api_keys
from keepline.usecases import commanding, pairing_codes
from keepline.usecases.access import REMEMBERED_S_MAX, USE_NOTED_EVERY_S

from .every_route import requests
from .support import NOON, World, error_code


def make(world: World, headers: dict[str, str] | None = None, **body: Any) -> Any:
    asked = {"name": "till", "scopes": ["read", "send"]} | body
    return world.client.post("/api/keys", json=asked, headers=world.anna if headers is None else headers)


def listed(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.get("/api/keys").get_json()["keys"]
    return found


def test_a_key_is_shown_once_and_kept_as_its_hash(world: World) -> None:
    answer = make(world)
    made = answer.get_json()
    key = made.pop("key")
    assert answer.status_code == 201
    assert re.fullmatch(r"kl_[A-Za-z0-9_-]{43}", key)
    assert made == {
        "key_id": hashlib.sha256(key.encode()).hexdigest()[:16],
        "name": "till",
        "scopes": ["read", "send"],
        "sessions": None,
        "created_at": "2026-03-01T12:00:00.000Z",
        "last_used_at": None,
    }
    assert listed(world)[-1] == made
    for document in world.all_in(api_keys.API_KEYS):
        assert key not in document.path + repr(document.fields)
    assert world.get("/api/sessions", {"X-Api-Key": key}).status_code == 200


def test_two_keys_are_never_the_same(world: World) -> None:
    keys = {make(world).get_json()["key"] for _ in range(20)}
    assert len(keys) == 20


def test_a_key_that_was_made_although_the_stores_answer_was_lost_is_shown(world: World) -> None:
    world.get("/api/sessions")
    world.store.conflicts_after_applying = 1
    made = make(world).get_json()
    assert world.get("/api/sessions", {"X-Api-Key": made["key"]}).status_code == 200


def test_a_user_sees_and_revokes_own_keys_only(world: World) -> None:
    made = make(world).get_json()
    assert made["key_id"] not in {key["key_id"] for key in world.get("/api/keys", world.bert).get_json()["keys"]}
    answer = world.delete(f"/api/keys/{made['key_id']}", world.bert)
    assert (answer.status_code, error_code(answer)) == (404, "key_not_found")
    assert world.get("/api/sessions", {"X-Api-Key": made["key"]}).status_code == 200


def test_a_revoked_key_lets_nobody_in_after_five_seconds(world: World) -> None:
    made = make(world).get_json()
    headers = {"X-Api-Key": made["key"]}
    assert world.get("/api/sessions", headers).status_code == 200
    assert world.delete(f"/api/keys/{made['key_id']}").status_code == 204
    world.clock.advance(REMEMBERED_S_MAX + 0.1)
    assert error_code(world.get("/api/sessions", headers)) == "bad_api_key"
    assert made["key_id"] not in {key["key_id"] for key in listed(world)}
    assert error_code(world.delete(f"/api/keys/{made['key_id']}")) == "key_not_found"


def test_the_last_use_of_a_key_is_noted_once_an_hour_at_most(world: World) -> None:
    made = make(world).get_json()
    headers = {"X-Api-Key": made["key"]}

    def noted() -> Any:
        return next(key["last_used_at"] for key in listed(world) if key["key_id"] == made["key_id"])

    world.get("/api/sessions")
    before = world.store.commits
    for _ in range(11):
        world.get("/api/sessions", headers)
        world.clock.advance(300)
    assert world.store.commits == before + 1
    assert noted() == "2026-03-01T12:00:00.000Z"
    world.clock.at = NOON
    world.clock.advance(USE_NOTED_EVERY_S + 1)
    world.get("/api/sessions", headers)
    assert noted() == "2026-03-01T13:00:01.000Z"


def test_a_note_that_cannot_be_written_keeps_nobody_out(world: World) -> None:
    headers = {"X-Api-Key": make(world).get_json()["key"]}
    world.store.conflicts = 1
    assert world.get("/api/sessions", headers).status_code == 200


def test_a_key_gives_no_more_than_its_maker_has(world: World) -> None:
    admin = world.add_key("anna", ("admin",))
    answer = make(world, admin, scopes=["read", "admin"])
    assert (answer.status_code, error_code(answer)) == (403, "scope_not_yours")
    assert make(world, admin, scopes=["admin"]).status_code == 201


def test_only_an_operator_makes_a_key_for_operators(world: World) -> None:
    world.tokens["a.b.c"] = "anna"
    headers = {"Authorization": "Bearer a.b.c"}
    assert error_code(make(world, headers, scopes=["operator"])) == "scope_not_yours"
    world.clock.advance(REMEMBERED_S_MAX + 0.1)
    world.operators.add("anna")
    assert make(world, headers, scopes=["operator"]).status_code == 201


def test_a_key_for_some_sessions_makes_sees_and_revokes_no_keys(world: World) -> None:
    headers = world.add_key("anna", sessions=("shop",))
    key_id = make(world).get_json()["key_id"]
    for answer in (
        make(world, headers, sessions=["shop"]),
        world.get("/api/keys", headers),
        world.delete(f"/api/keys/{key_id}", headers),
    ):
        assert (answer.status_code, error_code(answer)) == (403, "session_not_allowed")


def test_a_user_has_a_hundred_keys_at_most(world: World) -> None:
    for _ in range(99):
        world.add_key("anna")
    answer = make(world)
    assert answer.status_code == 409
    assert {"code": "key_limit_reached", "limit": 100, "used": 100}.items() <= answer.get_json()["error"].items()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": ""}, "bad_field"),
        ({"name": "x" * 101}, "bad_field"),
        ({"scopes": []}, "bad_field"),
        ({"scopes": ["everything"]}, "bad_field"),
        ({"sessions": []}, "bad_field"),
        ({"sessions": ["../shop"]}, "bad_session_id"),
        ({"tenant": "bert"}, "unknown_field"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(world: World, body: dict[str, Any], code: str) -> None:
    before = len(world.all_in(api_keys.API_KEYS))
    answer = make(world, **body)
    assert (answer.status_code, error_code(answer)) == (400, code)
    assert len(world.all_in(api_keys.API_KEYS)) == before


# A key for one session, on every route.

SHOP, OTHER = "shop", "other"


# What concerns all sessions of a user, none, or one that only a document names: tested on its own above, below, in test_media
# and in test_alerts.
OF_ALL = {
    ("GET", "/api/reports"),
    ("GET", "/api/reports/<day>"),
    ("GET", "/api/reports/settings"),
    ("PATCH", "/api/reports/settings"),
    ("GET", "/api/sessions"),
    ("POST", "/api/media"),
    ("GET", "/api/media/<media_id>"),
    ("POST", "/api/webhooks"),
    ("GET", "/api/webhooks"),
    ("GET", "/api/webhooks/<webhook_id>"),
    ("PATCH", "/api/webhooks/<webhook_id>"),
    ("DELETE", "/api/webhooks/<webhook_id>"),
    ("POST", "/api/webhooks/<webhook_id>/rotate-secret"),
    ("POST", "/api/webhooks/<webhook_id>/test"),
    ("GET", "/api/webhooks/<webhook_id>/deliveries"),
    ("POST", "/api/webhooks/<webhook_id>/replay"),
    ("POST", "/api/events/keep"),
    ("GET", "/api/alerts"),
    ("POST", "/api/alerts/<alert_id>/acknowledge"),
    ("GET", "/api/alerts/settings"),
    ("PATCH", "/api/alerts/settings"),
    ("POST", "/api/alerts/channels"),
    ("GET", "/api/alerts/channels"),
    ("DELETE", "/api/alerts/channels/<channel_id>"),
    ("POST", "/api/alerts/channels/<channel_id>/test"),
    ("POST", "/api/keys"),
    ("GET", "/api/keys"),
    ("DELETE", "/api/keys/<key_id>"),
    ("GET", "/api/limits"),
    ("GET", "/api/connectors"),
    ("POST", "/api/connectors/<connector>/drain"),
    ("POST", "/api/connectors/<connector>/undrain"),
    ("GET", "/api/fleet"),
    ("GET", "/api/uptime"),
    ("GET", "/api/uptime/<target_id>"),
    ("POST", "/api/uptime/targets"),
    ("PATCH", "/api/uptime/targets/<target_id>"),
    ("DELETE", "/api/uptime/targets/<target_id>"),
}


@pytest.fixture
def shops(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(pairing_codes, "CODE_WAIT_S", 0.02)
    monkeypatch.setattr(commanding, "ANSWER_LIMIT_S", 0.0)
    for session in (SHOP, OTHER):
        world.add_session(session, state="connected", code="connected", phone="14155550100")
    return world


def test_every_route_is_in_one_of_the_two_lists_above(world: World) -> None:
    routes = {
        (method, rule.rule)
        for rule in world.process.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    open_paths = ("/health", "/metrics", "/openapi.json", "/docs", "/docs/style.css", "/api/media/<media_id>/file")
    for_others = {("GET", path) for path in open_paths}
    assert routes - for_others == set(requests(SHOP, "m")) | OF_ALL


@pytest.mark.parametrize("route", requests(SHOP, "m"), ids=" ".join)
def test_a_key_for_one_session_reaches_no_other(shops: World, route: tuple[str, str]) -> None:
    headers = shops.add_key("anna", sessions=(SHOP,))
    shops.get("/api/sessions", headers)
    for session in (OTHER, SHOP):
        message_id = shops.send(session=session).get_json()["message_id"]
        path, body = requests(session, message_id)[route]
        before = shops.store.commits
        answer = shops.client.open(path, method=route[0], json=body, headers=headers)
        if session == SHOP:
            assert answer.status_code not in (401, 403, 404) or error_code(answer) == "standby_not_found"
            continue
        expected = (404, "message_not_found") if "<message_id>" in route[1] else (403, "session_not_allowed")
        assert (answer.status_code, error_code(answer)) == expected
        assert shops.store.commits == before


def test_a_key_for_one_session_is_told_of_that_one_only(shops: World) -> None:
    headers = shops.add_key("anna", sessions=(SHOP, "not-there-yet"))
    assert [one["session_id"] for one in shops.get("/api/sessions", headers).get_json()["sessions"]] == [SHOP]


def test_a_key_for_one_session_has_the_webhooks_of_that_one_only(shops: World) -> None:
    headers = shops.add_key("anna", sessions=(SHOP,))
    shops.get("/api/sessions", headers)

    def create(session: str | None, headers: dict[str, str]) -> Any:
        body = {"url": "https://receiver.example/hook", "events": ["*"], "session_id": session}
        return shops.client.post("/api/webhooks", json=body, headers=headers)

    for session in (OTHER, None):
        refused = create(session, headers)
        assert (refused.status_code, error_code(refused)) == (403, "session_not_allowed")
    own = create(SHOP, headers).get_json()["webhook_id"]
    others = [create(session, shops.anna).get_json()["webhook_id"] for session in (OTHER, None)]
    assert [one["webhook_id"] for one in shops.get("/api/webhooks", headers).get_json()["webhooks"]] == [own]
    assert shops.get(f"/api/webhooks/{own}", headers).status_code == 200
    before = shops.store.commits
    for method, route in sorted(one for one in OF_ALL if "<webhook_id>" in one[1]):
        for webhook_id in others:
            path = route.replace("<webhook_id>", webhook_id)
            answer = shops.client.open(path, method=method, json={"enabled": False}, headers=headers)
            assert (answer.status_code, error_code(answer)) == (404, "webhook_not_found"), (method, route)
    assert (shops.store.commits, shops.receiver.calls) == (before, [])


def test_a_key_for_one_session_creates_none_whose_name_it_cannot_know(world: World) -> None:
    headers = world.add_key("anna", sessions=(SHOP,))
    answer = world.client.post("/api/sessions/create", headers=headers)
    assert (answer.status_code, error_code(answer)) == (403, "session_not_allowed")
    answer = world.client.post("/api/sessions/create", json={"session_id": SHOP}, headers=headers)
    assert answer.status_code == 201


def test_a_key_of_before_is_for_all_sessions(world: World) -> None:
    """Written by hand, as the docs said: without the fields that came later."""
    path = api_keys.key_path(world.anna["X-Api-Key"])
    fields = {name: world.fields(path)[name] for name in ("tenant", "name", "scopes", "created_at")}
    world.commit(Delete(path), Put(path, fields))
    world.add_session(OTHER)
    assert world.get(f"/api/sessions/{OTHER}/status").status_code == 200
