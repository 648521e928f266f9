"""Who is let in, with what, and for how long after it was taken away."""

from __future__ import annotations

import secrets

import pytest

from keepline.ports.documents import Delete
from keepline.records import api_keys
from keepline.usecases import access

from .every_route import requests
from .support import World, error_code

PRIVATE = [
    ("POST", "/api/sessions/create"),
    ("GET", "/api/sessions"),
    ("GET", "/api/sessions/shop/status"),
    ("PATCH", "/api/sessions/shop"),
    ("DELETE", "/api/sessions/shop"),
    ("POST", "/api/sessions/shop/standby"),
    ("DELETE", "/api/sessions/shop/standby"),
    ("POST", "/api/sessions/shop/pairing-code"),
    ("GET", "/api/qr/anna/shop"),
    ("POST", "/api/messages/send"),
    ("GET", "/api/messages"),
    ("GET", "/api/messages/m_aaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ("POST", "/api/messages/m_aaaaaaaaaaaaaaaaaaaaaaaaaa/cancel"),
    ("POST", "/api/messages/m_aaaaaaaaaaaaaaaaaaaaaaaaaa/replay"),
    ("GET", "/api/dead-letters"),
    ("POST", "/api/media"),
    ("GET", "/api/media/f_aaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ("POST", "/api/chats/14155550123@s.whatsapp.net/read"),
    ("POST", "/api/chats/14155550123@s.whatsapp.net/typing"),
    ("GET", "/api/groups"),
    ("POST", "/api/groups"),
    ("GET", "/api/groups/120363000000000000@g.us"),
    ("PATCH", "/api/groups/120363000000000000@g.us"),
    ("POST", "/api/groups/120363000000000000@g.us/members"),
    ("GET", "/api/groups/120363000000000000@g.us/invite"),
    ("POST", "/api/groups/120363000000000000@g.us/invite/reset"),
    ("POST", "/api/groups/120363000000000000@g.us/leave"),
    ("POST", "/api/contacts/check"),
    ("GET", "/api/contacts/14155550123"),
    ("POST", "/api/webhooks"),
    ("GET", "/api/webhooks"),
    ("GET", "/api/webhooks/w1"),
    ("PATCH", "/api/webhooks/w1"),
    ("DELETE", "/api/webhooks/w1"),
    ("POST", "/api/webhooks/w1/rotate-secret"),
    ("POST", "/api/webhooks/w1/test"),
    ("GET", "/api/webhooks/w1/deliveries"),
    ("POST", "/api/webhooks/w1/replay"),
    ("GET", "/api/events"),
    ("POST", "/api/events/keep"),
    ("GET", "/api/monitoring"),
    ("GET", "/api/alerts"),
    ("POST", "/api/alerts/disconnects_x_1/acknowledge"),
    ("GET", "/api/alerts/settings"),
    ("PATCH", "/api/alerts/settings"),
    ("POST", "/api/alerts/channels"),
    ("GET", "/api/alerts/channels"),
    ("DELETE", "/api/alerts/channels/ch1"),
    ("POST", "/api/alerts/channels/ch1/test"),
    ("POST", "/api/keys"),
    ("GET", "/api/keys"),
    ("DELETE", "/api/keys/0123456789abcdef"),
    ("GET", "/api/reports"),
    ("GET", "/api/reports/2026-02-28"),
    ("GET", "/api/reports/settings"),
    ("PATCH", "/api/reports/settings"),
    ("GET", "/api/fleet"),
    ("GET", "/api/uptime"),
    ("GET", "/api/uptime/api"),
    ("POST", "/api/uptime/targets"),
    ("PATCH", "/api/uptime/targets/u_x"),
    ("DELETE", "/api/uptime/targets/u_x"),
    ("GET", "/health/shop"),
    ("GET", "/diagnostics/shop"),
    ("POST", "/reconnect/shop"),
    ("GET", "/api/limits"),
    ("GET", "/api/connectors"),
    ("POST", "/api/connectors/c1/drain"),
    ("POST", "/api/connectors/c1/undrain"),
]
TOKEN = "header.payload.signature"


def test_every_route_is_in_the_list_above_but_those_that_are_for_others(world: World) -> None:
    others = ("/health", "/metrics", "/openapi.json", "/docs", "/docs/style.css", "/api/media/<media_id>/file")
    rules = [rule for rule in world.process.app.url_map.iter_rules() if rule.rule not in others]
    assert sum(len((rule.methods or set()) - {"HEAD", "OPTIONS"}) for rule in rules) == len(PRIVATE)


@pytest.mark.parametrize(("method", "path"), PRIVATE)
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "unauthenticated"),
        ({"Authorization": "Basic YTpi"}, "unauthenticated"),
        ({"Authorization": "Bearer"}, "unauthenticated"),
        ({"Authorization": "Bearer "}, "unauthenticated"),
        ({"X-Api-Key": ""}, "bad_api_key"),
        ({"X-Api-Key": "kl_short"}, "bad_api_key"),
        ({"X-Api-Key": "kl_" + "a" * 43}, "bad_api_key"),
        ({"X-Api-Key": "kl_" + "ä" * 43}, "bad_api_key"),
        ({"Authorization": "Bearer kl_" + "a" * 43}, "bad_api_key"),
        ({"Authorization": "Bearer nonsense"}, "bad_token"),
        ({"Authorization": f"Bearer {TOKEN}"}, "bad_token"),
        ({"Authorization": "Bearer a.b." + "c" * 9_000}, "bad_token"),
    ],
)
def test_nobody_unknown_gets_in(world: World, method: str, path: str, headers: dict[str, str], code: str) -> None:
    world.add_session()
    before = world.store.commits
    encoded = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    answer = world.client.open(path, method=method, headers=encoded)
    assert (answer.status_code, error_code(answer)) == (401, code)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="keepline"'
    assert world.store.commits == before


def test_a_key_may_come_in_either_header(world: World) -> None:
    key = world.anna["X-Api-Key"]
    for headers in ({"X-Api-Key": key}, {"Authorization": f"Bearer {key}"}, {"Authorization": f"bearer {key}"}):
        assert world.get("/api/sessions", headers).status_code == 200


def test_a_person_signed_in_through_firebase_is_their_own_tenant(world: World) -> None:
    world.tokens[TOKEN] = "anna"
    world.add_session()
    sessions = world.get("/api/sessions", {"Authorization": f"Bearer {TOKEN}"}).get_json()["sessions"]
    assert [session["user_id"] for session in sessions] == ["anna"]


def test_a_user_id_that_cannot_be_part_of_a_name_is_refused(world: World) -> None:
    world.tokens[TOKEN] = "../bert"
    answer = world.client.post("/api/sessions/create", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, error_code(answer)) == (400, "bad_user_id")


MESSAGE = "/api/messages/m_" + "a" * 26
GROUP = "/api/groups/120363000000000000@g.us"
OF_SCOPE = {
    "read": {
        ("GET", "/api/sessions"),
        ("GET", "/api/sessions/shop/status"),
        ("GET", "/api/messages?session_id=shop"),
        ("GET", "/api/dead-letters?session_id=shop"),
        ("GET", MESSAGE),
        ("GET", "/api/events"),
        ("POST", "/api/events/keep"),
        ("GET", "/api/monitoring"),
        ("GET", "/api/alerts"),
        ("GET", "/api/alerts/settings"),
        ("GET", "/health/shop"),
        ("GET", "/diagnostics/shop"),
        ("GET", "/api/limits"),
        ("GET", "/api/media/f_" + "a" * 26),
        ("GET", "/api/groups"),
        ("GET", GROUP),
        ("GET", f"{GROUP}/invite"),
        ("POST", "/api/contacts/check"),
        ("GET", "/api/contacts/14155550123"),
        ("GET", "/api/reports"),
        ("GET", "/api/reports/2026-02-28"),
        ("GET", "/api/reports/settings"),
    },
    "send": {
        ("POST", "/api/groups"),
        ("PATCH", GROUP),
        ("POST", f"{GROUP}/members"),
        ("POST", f"{GROUP}/invite/reset"),
        ("POST", f"{GROUP}/leave"),
        ("POST", "/api/messages/send"),
        ("POST", "/api/media"),
        ("POST", f"{MESSAGE}/cancel"),
        ("POST", f"{MESSAGE}/replay"),
        ("POST", "/api/chats/14155550123/read"),
        ("POST", "/api/chats/14155550123/typing"),
    },
    "admin": {
        ("GET", "/api/qr/me/shop"),
        ("POST", "/api/sessions/create"),
        ("POST", "/api/sessions/shop/standby"),
        ("DELETE", "/api/sessions/shop/standby"),
        ("PATCH", "/api/sessions/shop"),
        *((method, path) for method, path in PRIVATE if path.startswith("/api/webhooks")),
        ("POST", "/api/alerts/disconnects_x_1/acknowledge"),
        ("PATCH", "/api/alerts/settings"),
        ("POST", "/api/alerts/channels"),
        ("GET", "/api/alerts/channels"),
        ("DELETE", "/api/alerts/channels/ch1"),
        ("POST", "/api/alerts/channels/ch1/test"),
        ("POST", "/api/sessions/shop/pairing-code"),
        ("DELETE", "/api/sessions/shop"),
        ("POST", "/api/keys"),
        ("GET", "/api/keys"),
        ("DELETE", "/api/keys/0123456789abcdef"),
        ("PATCH", "/api/reports/settings"),
        ("POST", "/reconnect/shop"),
    },
    "operator": {
        (method, path) for method, path in PRIVATE if path.startswith(("/api/fleet", "/api/uptime", "/api/connectors"))
    },
}


def test_every_private_route_has_its_scope_in_the_table_above() -> None:
    assert sum(map(len, OF_SCOPE.values())) == len(PRIVATE)


@pytest.mark.parametrize("scopes", [("read",), ("send",), ("admin",), ("operator",), ()])
def test_a_key_does_what_its_scopes_say(world: World, scopes: tuple[str, ...]) -> None:
    world.add_session()
    headers = world.add_key("anna", scopes)
    allowed = {request for scope in scopes for request in OF_SCOPE[scope]}
    asked = sorted(set.union(*OF_SCOPE.values()), reverse=True)  # POST and GET before the session is deleted
    for method, path in asked:
        before = world.store.commits
        answer = world.client.open(path, method=method, headers=headers)
        if (method, path) in allowed:
            assert answer.status_code not in (401, 403)
        else:
            assert (answer.status_code, error_code(answer)) == (403, "missing_scope")
            assert world.store.commits == before


def test_a_revoked_key_is_refused_within_five_seconds(world: World) -> None:
    assert world.get("/api/sessions").status_code == 200
    world.commit(Delete(api_keys.key_path(world.anna["X-Api-Key"])))
    world.clock.advance(access.REMEMBERED_S_MAX + 0.1)
    assert error_code(world.get("/api/sessions")) == "bad_api_key"


def test_a_revoked_token_is_refused_within_five_seconds(world: World) -> None:
    world.tokens[TOKEN] = "anna"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert world.get("/api/sessions", headers).status_code == 200
    world.tokens.clear()
    world.clock.advance(access.REMEMBERED_S_MAX + 0.1)
    assert error_code(world.get("/api/sessions", headers)) == "bad_token"


def test_being_asked_does_not_keep_a_revoked_key_alive(world: World) -> None:
    world.get("/api/sessions")
    world.commit(Delete(api_keys.key_path(world.anna["X-Api-Key"])))
    for _ in range(6):
        world.clock.advance(1)
        last = world.get("/api/sessions")
    assert error_code(last) == "bad_api_key"


def test_a_key_is_looked_up_once_in_a_while(world: World) -> None:
    world.get("/api/sessions")
    before = world.store.gets
    for _ in range(10):
        world.get("/api/sessions")
    assert world.store.gets == before


def test_a_new_key_works_although_it_was_tried_too_early(world: World) -> None:
    key = api_keys.new_key(secrets.token_bytes(32))
    assert error_code(world.get("/api/sessions", {"X-Api-Key": key})) == "bad_api_key"
    world.commit(api_keys.add_key(key, tenant="anna", name="new"))
    assert world.get("/api/sessions", {"X-Api-Key": key}).status_code == 200


def test_what_is_remembered_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "REMEMBERED_CALLERS_MAX", 3)
    keys = [world.add_key("anna") for _ in range(6)]
    for headers in keys:
        assert world.get("/api/sessions", headers).status_code == 200
    assert len(world.process.services.access._remembered) == 3


def test_when_the_look_fails_nobody_gets_in(world: World) -> None:
    world.store.down = True
    answer = world.get("/api/sessions")
    assert (answer.status_code, error_code(answer)) == (503, "store_unavailable")


def test_a_key_is_kept_as_its_hash_only(world: World) -> None:
    key = world.anna["X-Api-Key"]
    assert len(key) == 46
    for document in world.all_in(api_keys.API_KEYS):
        assert key not in document.path
        assert key not in repr(document.fields)


@pytest.mark.parametrize("route", requests("shop", "m"), ids=" ".join)
def test_nobody_reaches_anothers_session_by_any_route(world: World, route: tuple[str, str]) -> None:
    world.add_session(state="connected", code="connected", phone="14155550100")
    message_id = world.send().get_json()["message_id"]
    path, body = requests("shop", message_id)[route]
    kept = {document.path: document.version for name in COLLECTIONS for document in world.all_in(name)}
    answer = world.client.open(path, method=route[0], json=body, headers=world.bert)
    if route == ("POST", "/api/sessions/create"):
        assert (answer.status_code, answer.get_json()["user_id"]) == (
            201,
            "bert",
        )  # A name is taken once for each user.
    else:
        assert answer.status_code == 404
        assert error_code(answer) in ("session_not_found", "message_not_found")
    now = {document.path: document.version for name in COLLECTIONS for document in world.all_in(name)}
    assert {path: now.get(path) for path in kept} == kept


# What a request could change of another user's.
COLLECTIONS = ("accounts", "account_secrets", "accounts/anna_shop/devices", "outbox", "pairing", "commands", "api_keys")
