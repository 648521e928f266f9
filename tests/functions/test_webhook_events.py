"""From the platform's events to a receiver's call: the functions that triggers and the topic set off."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.events.cloud.firestore import Document, Value

from keepline.domain.content.references import MessageRef
from keepline.domain.link_events import MessageHeard
from keepline.records import changes, heard_media, history, webhooks
from keepline.records.heard_media import MediaFate, MediaState

from .framework import DOCUMENTS, FIRESTORE_TYPE, PUBSUB_TYPE, account_document, deliver, serve, written
from .support import CHAT, NOON, World, error_code

PROTOBUF = "application/protobuf"


def add_webhook(world: World, *events: str, session: str | None = None) -> str:
    body = {"url": "https://receiver.example/hook", "events": list(events), "session_id": session}
    answer = world.client.post("/api/webhooks", json=body, headers=world.anna)
    assert answer.status_code == 201
    world.clock.advance(1)
    return str(answer.get_json()["webhook_id"])


def document_written(path: str, tenant: str = "anna") -> bytes:
    fields = {"tenant": Value(string_value=tenant)}
    return written(Document(name=f"{DOCUMENTS}/{path}", fields=fields, update_time="2026-03-01T12:00:00.250Z"))


class Platform:
    """Delivers events to the functions, as often as it likes."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._world = world
        self._monkeypatch = monkeypatch

    def tell(self, function: str, body: bytes, event_type: str = FIRESTORE_TYPE, content_type: str = PROTOBUF) -> int:
        return deliver(serve(function, self._world, self._monkeypatch), event_type, "e1", body, content_type)

    def message(self, path: str) -> int:
        return self.tell("on_message_written", document_written(path))

    def due(self, data: Any) -> int:
        encoded = base64.b64encode(json.dumps(data).encode()).decode()
        body = json.dumps({"message": {"data": encoded, "messageId": "1"}, "subscription": "s"}).encode()
        return self.tell("on_webhook_due", body, PUBSUB_TYPE, "application/json")

    def deliver(self) -> None:
        woken, self._world.waker.woken = self._world.waker.woken, []
        for webhook, lane in woken:
            assert self.due({"webhook": webhook, "lane": lane}) == 200

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(call.body) for call in self._world.receiver.calls]


@pytest.fixture
def platform(world: World, monkeypatch: pytest.MonkeyPatch) -> Platform:
    return Platform(world, monkeypatch)


def heard(world: World, wa_id: str = "WA1", **more: Any) -> str:
    world.hear("anna_shop", wa_id, world.clock.now(), **more)
    return changes.heard_path("anna_shop", CHAT, wa_id)


def test_a_message_reaches_the_receiver_as_the_api_shows_it(world: World, platform: Platform) -> None:
    world.add_session()
    add_webhook(world, "message", "message.any")
    assert platform.message(heard(world)) == 200
    platform.deliver()
    assert [event["type"] for event in platform.told] == ["message", "message.any"]
    [message] = world.get("/api/messages?session_id=shop").get_json()["messages"]
    assert platform.told[0]["data"] == message
    assert platform.told[0]["session_id"] == "shop"


def test_a_message_with_a_file_reaches_the_receiver_with_what_the_api_shows_of_the_file(
    world: World, platform: Platform
) -> None:
    account = world.add_session(state="connected", code="connected", phone="14155550100")
    add_webhook(world, "message", "message.ack")
    content = {"media": {"mime_type": "image/png", "size": 3, "sha256": "ab", "file_name": ""}}
    heard = MessageHeard(
        1, "WA1", CHAT, "14155550123", None, False, "image", "look", world.clock.now(), content=content
    )
    write = history.heard_message(account, "anna", "shop", heard, content)
    world.commit(write)
    assert platform.message(write.path) == 200
    platform.deliver()
    [message] = world.get("/api/messages?session_id=shop").get_json()["messages"]
    assert message["media"] == content["media"] | {"media_id": None, "state": "pending", "error": None}
    assert [event["data"] for event in platform.told] == [message]
    # That its file has come is no news of the message.
    world.commit(heard_media.settled(account, CHAT, "WA1", MediaFate(MediaState.STORED)))
    assert platform.message(write.path) == 200
    platform.deliver()
    assert len(platform.told) == 1


def test_an_edit_and_a_revocation_are_told_of_the_message_they_change(world: World, platform: Platform) -> None:
    world.add_session()
    add_webhook(world, "message.edited", "message.revoked")
    path = heard(world)
    message = MessageRef("i_x", "WA1", CHAT)
    world.commit(changes.edited("anna_shop", message, "WA2", "better", world.clock.now()))
    platform.message(path)
    platform.deliver()
    world.commit(changes.revoked("anna_shop", message, world.clock.now()))
    platform.message(path)
    platform.deliver()
    assert [event["type"] for event in platform.told] == ["message.edited", "message.revoked"]
    assert platform.told[0]["data"]["text"] == "better"
    assert platform.told[1]["data"]["text"] is None


def test_a_message_of_the_api_is_told_when_it_is_sent_and_at_each_receipt(world: World, platform: Platform) -> None:
    world.add_session()
    add_webhook(world, "message", "message.any", "message.ack")
    message_id = world.send().get_json()["message_id"]
    body = document_written(f"outbox/{message_id}")
    assert platform.tell("on_outbox_written", body) == 200
    assert not world.waker.woken
    for state in ("sent", "delivered"):
        world.clock.advance(1)
        world.settle(message_id, state=state, wa_message_id="WA", **{f"times.{state}": world.clock.now()})
        platform.tell("on_outbox_written", body)
        platform.tell("on_outbox_written", body)
    platform.deliver()
    assert [(event["type"], event["data"]["state"]) for event in platform.told] == [
        ("message.any", "sent"),
        ("message.ack", "sent"),
        ("message.ack", "delivered"),
    ]


def test_a_change_of_state_is_told(world: World, platform: Platform) -> None:
    world.clock.at = NOON.replace(hour=11)
    world.add_session()
    add_webhook(world, "session.status")
    platform.tell("on_account_written", written(account_document("connected", "connected")))
    platform.tell("on_account_written", written(account_document("connected", "connected")))
    platform.deliver()
    [event] = platform.told
    assert (event["type"], event["data"]["state"]) == ("session.status", "connected")


def test_a_webhook_of_one_session_is_told_of_no_other_and_of_no_other_tenants(world: World, platform: Platform) -> None:
    world.add_session()
    world.add_session("other")
    add_webhook(world, "*", session="other")
    platform.message(heard(world))
    assert not world.waker.woken
    add_webhook(world, "*")
    platform.tell("on_message_written", document_written(changes.heard_path("bert_shop", CHAT, "WA1"), "bert"))
    assert not world.waker.woken


def test_what_a_webhook_says_holds_at_once(world: World, platform: Platform) -> None:
    world.add_session()
    platform.message(heard(world, "WA0"))
    webhook = add_webhook(world, "message")
    platform.message(heard(world, "WA1"))
    platform.deliver()
    assert len(platform.told) == 1
    world.client.patch(f"/api/webhooks/{webhook}", json={"enabled": False}, headers=world.anna)
    platform.message(heard(world, "WA2"))
    assert not world.waker.woken


def test_events_that_cannot_be_read_are_dropped(world: World, platform: Platform) -> None:
    assert platform.tell("on_message_written", b"\xff\xff") == 200
    assert platform.tell("on_outbox_written", written(Document(name="elsewhere"))) == 200
    for data in ("text", {"webhook": "w1"}, {"webhook": "../x", "lane": "l"}, {"webhook": 1, "lane": "l"}):
        assert platform.due(data) == 200


def test_a_trigger_fails_when_the_store_or_the_topic_does_so_that_it_comes_again(
    world: World, platform: Platform
) -> None:
    world.add_session()
    add_webhook(world, "message")
    path = heard(world)
    world.waker.down = True
    assert platform.message(path) == 500
    world.waker.down = False
    world.store.down = True
    assert platform.message(path) == 500
    world.store.down = False
    assert platform.message(path) == 200
    platform.deliver()
    assert len(platform.told) == 1


def test_the_minute_wakes_what_is_due(world: World, platform: Platform) -> None:
    world.add_session()
    add_webhook(world, "message")
    platform.message(heard(world))
    world.waker.woken = []
    assert platform.tell("on_minute", b"{}", PUBSUB_TYPE, "application/json") == 200
    platform.deliver()
    assert len(platform.told) == 1


def test_the_log_and_the_dead_letters_of_a_webhook(world: World, platform: Platform) -> None:
    world.add_session()
    webhook = add_webhook(world, "message")
    platform.message(heard(world))
    platform.deliver()
    path = f"/api/webhooks/{webhook}"
    [delivery] = world.get(f"{path}/deliveries").get_json()["deliveries"]
    assert (delivery["state"], delivery["attempts"], delivery["chat"]) == ("delivered", 1, CHAT)
    assert delivery["tries"] == [{"at": "2026-03-01T12:00:01.000Z", "status": 200, "error": None, "duration_ms": 3}]
    assert world.get(f"{path}/deliveries?state=dead").get_json() == {"deliveries": [], "next_before": None}
    answer = world.client.post(f"{path}/replay", json={"events": [delivery["event_id"]]}, headers=world.anna)
    assert error_code(answer) == "not_dead"
    answer = world.client.post(f"{path}/replay", json={"events": ["evt_none"]}, headers=world.anna)
    assert error_code(answer) == "delivery_not_found"
    stored = webhooks.delivery_path(webhook, delivery["event_id"])
    world.commit(webhooks.given_up(webhooks.Delivery.read(world.run(world.store.get(stored))), world.clock.now()))  # type: ignore[arg-type]
    assert world.post(f"{path}/replay").get_json() == {"replayed": 1}
    platform.deliver()
    assert [event["id"] for event in platform.told] == [delivery["event_id"]] * 2
