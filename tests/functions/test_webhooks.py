"""Webhooks through the API: made, changed, seen by their owner alone, tried out; and what their secrets leave behind."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from keepline.ports.documents import Update
from keepline.records import webhooks

from .support import World, error_code

URL = "https://receiver.example/hook"


def create(world: World, **more: Any) -> Any:
    body = {"url": URL, "events": ["message"]} | more
    return world.client.post("/api/webhooks", json=body, headers=world.anna)


def made(world: World, **more: Any) -> dict[str, Any]:
    answer = create(world, **more)
    assert answer.status_code == 201, answer.get_json()
    return dict(answer.get_json())


def is_signed(secret: str, headers: Any, body: bytes) -> bool:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return expected in headers["webhook-signature"].split(" ")


def test_a_webhook_is_made_and_its_secret_is_shown_once(world: World) -> None:
    webhook = made(world, headers={"X-Team": "blue"})
    assert webhook["secret"].startswith("whsec_")
    assert len(base64.b64decode(webhook["secret"][6:])) == 32
    shown = world.get(f"/api/webhooks/{webhook['webhook_id']}").get_json()
    assert "secret" not in shown
    assert shown["headers"] == ["X-Team"]
    assert world.get("/api/webhooks").get_json() == {"webhooks": [shown]}


def test_secrets_and_header_values_rest_sealed(world: World) -> None:
    webhook = made(world, headers={"Authorization": "Bearer very-private"})
    stored = repr(world.fields(webhooks.webhook_path(webhook["webhook_id"])))
    assert webhook["secret"][6:20] not in stored
    assert "very-private" not in stored


def test_nobody_else_sees_or_moves_a_webhook(world: World) -> None:
    path = f"/api/webhooks/{made(world)['webhook_id']}"
    for method, suffix in (
        *(("get", ""), ("delete", ""), ("post", "/test"), ("post", "/rotate-secret"), ("post", "/replay")),
        ("get", "/deliveries"),
    ):
        answer = getattr(world.client, method)(path + suffix, headers=world.bert)
        assert (answer.status_code, error_code(answer)) == (404, "webhook_not_found")
    assert world.get("/api/webhooks", headers=world.bert).get_json() == {"webhooks": []}
    assert error_code(world.get("/api/webhooks/a%2Fb")) in ("webhook_not_found", "no_such_route")


def test_webhooks_need_the_scope_admin(world: World) -> None:
    reader = world.add_key("anna", ("read", "send"))
    assert error_code(world.get("/api/webhooks", headers=reader)) == "missing_scope"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"url": "http://receiver.example/"}, "bad_webhook_url"),
        ({"url": "https://a:b@receiver.example/"}, "bad_webhook_url"),
        ({"url": "https://receiver.example/#x"}, "bad_webhook_url"),
        ({"url": "https://receiver.example/\r\nX-Bad: 1"}, "bad_webhook_url"),
        ({"url": "https://127.0.0.1/"}, "webhook_url_not_allowed"),
        ({"url": "https://[::1]/"}, "webhook_url_not_allowed"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "webhook_url_not_allowed"),
        ({"url": "https://169.254.169.254/"}, "webhook_url_not_allowed"),
        ({"url": "https://metadata.google.internal/"}, "webhook_url_not_allowed"),
        ({"events": ["message.unheard_of"]}, "bad_event"),
        ({"events": ["group.joined"]}, "bad_event"),
        ({"headers": {"Webhook-Id": "1"}}, "bad_header"),
        ({"headers": {"X-A": "1\r\nX-B: 2"}}, "bad_header"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "bad_header"),
        ({"session_id": "not-mine"}, "session_not_found"),
        ({"colour": "red"}, "unknown_field"),
    ],
)
def test_what_a_webhook_cannot_be_is_refused_by_name(world: World, change: dict[str, Any], code: str) -> None:
    assert error_code(create(world, **change)) == code
    assert world.all_in(webhooks.WEBHOOKS) == []


def test_a_tenant_has_ten_webhooks_at_most(world: World) -> None:
    first = made(world)["webhook_id"]
    for _ in range(9):
        made(world)
    refused = create(world)
    assert refused.status_code == 409
    assert refused.get_json()["error"] | {"message": "", "hint": ""} == {
        "code": "webhook_limit",
        "message": "",
        "hint": "",
        "limit": 10,
        "used": 10,
    }
    assert world.delete(f"/api/webhooks/{first}").status_code == 204
    made(world)


def test_the_limit_holds_when_two_ask_at_once(world: World) -> None:
    for _ in range(9):
        made(world)

    async def another() -> None:
        owner = await world.store.get(webhooks.owner_path("anna"))
        assert owner is not None
        await world.store.others_commit(Update(owner.path, {"webhooks": [*owner.fields["webhooks"], "w0"]}))

    world.store.meanwhile = [another]
    assert create(world).get_json()["error"]["code"] == "webhook_limit"


def test_without_a_key_no_webhook_is_kept(world: World) -> None:
    world.keys.available = False
    assert error_code(create(world)) == "key_unavailable"


def test_a_test_call_is_signed_and_says_what_the_receiver_said(world: World) -> None:
    webhook = made(world, headers={"X-Team": "blue"})
    world.receiver.will_answer(200, 503)
    path = f"/api/webhooks/{webhook['webhook_id']}/test"
    assert world.post(path).get_json() == {"delivered": True, "status": 200, "error": None, "duration_ms": 3}
    assert world.post(path).get_json()["delivered"] is False
    call = world.receiver.calls[0]
    assert call.url == URL
    assert call.headers["X-Team"] == "blue"
    assert is_signed(webhook["secret"], call.headers, call.body)
    body = json.loads(call.body)
    assert (body["type"], body["id"]) == ("test", call.headers["webhook-id"])


def test_a_replaced_secret_signs_beside_the_new_one_for_a_day(world: World) -> None:
    webhook = made(world)
    path = f"/api/webhooks/{webhook['webhook_id']}"
    fresh = world.post(f"{path}/rotate-secret").get_json()["secret"]
    world.post(f"{path}/test")
    call = world.receiver.calls[-1]
    assert is_signed(webhook["secret"], call.headers, call.body)
    assert is_signed(fresh, call.headers, call.body)
    world.clock.advance(24 * 3600)
    world.post(f"{path}/test")
    call = world.receiver.calls[-1]
    assert not is_signed(webhook["secret"], call.headers, call.body)
    assert is_signed(fresh, call.headers, call.body)


def test_a_changed_address_keeps_its_secrets_and_one_put_there_from_elsewhere_gets_none(world: World) -> None:
    webhook = made(world)
    path = f"/api/webhooks/{webhook['webhook_id']}"
    changed = world.client.patch(path, json={"url": "https://new.example/"}, headers=world.anna).get_json()
    assert changed["url"] == "https://new.example/"
    assert world.post(f"{path}/test").get_json()["delivered"]
    assert is_signed(webhook["secret"], world.receiver.calls[-1].headers, world.receiver.calls[-1].body)
    calls = len(world.receiver.calls)
    world.commit(Update(webhooks.webhook_path(webhook["webhook_id"]), {"url": "https://thief.example/"}))
    assert world.post(f"{path}/test").get_json()["error"] == "secrets_unreadable"
    assert len(world.receiver.calls) == calls
