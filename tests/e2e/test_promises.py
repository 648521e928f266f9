"""The promises, through the public API only; the other side of the conversation is what the simulator's phones decrypted."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from keepline_local import api_key
from keepline_local.stack import Stack

from .conftest import CONNECTORS
from .keepline import Api, Http, Phones, Session, eventually

Frozen = Callable[..., AbstractContextManager[None]]


def kill_connectors(stack: Stack) -> None:
    for connector in CONNECTORS:
        os.kill(stack.run.pids[connector], signal.SIGKILL)


def test_a_message_goes_out_and_its_receipts_come_back(api: Api, phones: Phones, session: Session) -> None:
    friend = phones.new_number()
    accepted = api.send(session.id, f"+{friend}", "out it goes")
    [sent] = api.wait_for_delivery(accepted["message_id"])
    assert sent["chat"] == f"{friend}@s.whatsapp.net"
    assert sent["error"] is None
    assert {"accepted", "sent", "delivered"} <= set(sent["times"])
    [seen] = phones.inbox(friend)["messages"]
    assert (seen["text"], seen["from"], seen["id"]) == ("out it goes", session.phone, sent["wa_message_id"])
    phones.call("POST", f"/phones/{friend}/receipts", json={"message_ids": [seen["id"]], "type": "read"})
    eventually(lambda: api.message(sent["message_id"])["state"] == "read", "the message is read")


def test_a_message_comes_in(api: Api, phones: Phones, session: Session) -> None:
    friend = phones.new_number()
    wa_message_id = phones.write(friend, session.phone, "in it comes")
    heard = api.wait_for_text(session.id, "in it comes")
    assert heard["wa_message_id"] == wa_message_id
    assert (heard["direction"], heard["chat"], heard["state"]) == ("in", f"{friend}@s.whatsapp.net", "delivered")
    assert api.message(heard["message_id"]) == heard
    assert api.messages(session.id, chat=friend) == [heard]


def test_a_repeat_with_the_same_key_is_the_same_message(api: Api, phones: Phones, session: Session) -> None:
    friend = phones.new_number()
    first = api.send(session.id, friend, "once", key="order-17")
    assert api.send(session.id, friend, "once", key="order-17")["message_id"] == first["message_id"]
    api.wait_for_delivery(first["message_id"])
    assert api.send(session.id, friend, "once", key="order-17")["state"] == "delivered"
    other = {"session_id": session.id, "to": friend, "text": "twice"}
    headers = {"Idempotency-Key": "order-17"}
    assert api.refusal("POST", "/api/messages/send", json=other, headers=headers) == (409, "idempotency_mismatch")
    assert phones.texts(friend) == ["once"]


def test_a_running_session_follows_what_is_changed_of_it(api: Api, phones: Phones, session: Session) -> None:
    friend, path = phones.new_number(), f"/api/sessions/{session.id}"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    changed = api.json("PATCH", path, json={"proxy": f"socks5://someone:secret@127.0.0.1:{port}"})
    assert changed["proxy"] == {"scheme": "socks5", "host": "127.0.0.1", "port": port, "has_credentials": True}
    eventually(lambda: api.status(session.id)["reason"]["code"] == "proxy_unreachable", "the proxy is named")
    accepted = api.send(session.id, friend, "through")
    api.json("PATCH", path, json={"proxy": None, "presence": "available"})
    api.wait_for_delivery(accepted["message_id"])
    assert api.status(session.id)["presence"] == "available"
    eventually(lambda: phones.json("GET", f"/phones/{session.phone}/presence")["online"], "the number is seen online")


def test_ten_messages_that_wait_at_a_kill_of_the_connector_arrive_once(
    stack: Stack, api: Api, phones: Phones, session: Session, frozen: Frozen
) -> None:
    friend = phones.new_number()
    [device_before] = phones.devices(session.phone)
    with frozen(*CONNECTORS):
        texts = [f"number {n}" for n in range(1, 11)]
        accepted = [api.send(session.id, friend, text)["message_id"] for text in texts]
        assert {api.message(message_id)["state"] for message_id in accepted} == {"queued"}
        kill_connectors(stack)
    states: set[str] = set()

    def all_delivered() -> bool:
        states.add(api.status(session.id)["state"])
        return all(api.message(message_id)["state"] == "delivered" for message_id in accepted)

    eventually(all_delivered, "ten messages are delivered after the kill")
    inbox = phones.inbox(friend)
    assert [message["text"] for message in inbox["messages"]] == texts
    assert inbox["duplicates_dropped"] == 0
    # The same linked device as before: nobody was asked to scan anything.
    assert states <= {"connected", "degraded", "starting", "reconnecting"}
    assert api.refusal("GET", f"/api/qr/me/{session.id}") == (409, "already_linked")
    [device_after] = phones.devices(session.phone)
    assert (device_after["jid"], device_after["linked_at"]) == (device_before["jid"], device_before["linked_at"])


def test_a_message_on_its_way_at_a_kill_arrives_once(
    stack: Stack, api: Api, phones: Phones, session: Session, frozen: Frozen
) -> None:
    friend = phones.new_number()
    # The first one has the library learn the recipient's devices, so that the next one leaves without a question.
    api.wait_for_delivery(api.send(session.id, friend, "before")["message_id"])
    with frozen("simulator"):  # WhatsApp takes bytes and says nothing.
        on_its_way = api.send(session.id, friend, "on its way")["message_id"]
        eventually(lambda: api.message(on_its_way)["state"] == "sending", "the message is being sent")
        kill_connectors(stack)
    [sent] = api.wait_for_delivery(on_its_way)
    assert phones.texts(friend) == ["before", "on its way"]
    assert sent["error"] is None


def test_a_message_heard_before_a_kill_is_kept(
    stack: Stack, api: Api, phones: Phones, session: Session, frozen: Frozen
) -> None:
    friend = phones.new_number()
    with frozen(*CONNECTORS):
        phones.write(friend, session.phone, "just before the end")
        # For WhatsApp it is delivered: the cell has taken it, and its supervisor will never hear of it.
        eventually(lambda: phones.devices(session.phone)[0]["queued"] == 0, "WhatsApp has delivered the message")
        kill_connectors(stack)
    api.wait_for_text(session.id, "just before the end")
    api.wait_for_state(session.id, "connected")
    assert [message["text"] for message in api.messages(session.id)] == ["just before the end"]


def test_the_status_tells_the_truth_when_the_connector_is_gone(
    stack: Stack, api: Api, session: Session, frozen: Frozen
) -> None:
    with frozen(*CONNECTORS):  # Were there one left, it would take the session after three seconds.
        told = api.wait_for_state(session.id, "degraded", limit_s=10.0)
        assert told["reason"]["code"] == "connector_silent"
        assert told["devices"][0]["state"] == "degraded"
        # Told as soon as its lease has run out (3 s), and the newest evidence is from before.
        assert told["evidence"]["age_ms"] > 2_000
    api.wait_for_state(session.id, "connected", limit_s=10.0)

    def heard_lately() -> bool:
        evidence = api.status(session.id)["evidence"]
        # None while whoever has the device now has not heard anything on it.
        return evidence is not None and evidence["age_ms"] < 2_000

    eventually(heard_lately, "WhatsApp is heard again")


def test_a_person_scans_the_code_that_the_api_offers(api: Api, phones: Phones, frozen: Frozen) -> None:
    with frozen("runner"):  # The demo's scanning hands are its.
        api.create("by-hand")
        path = "/api/qr/me/by-hand"
        eventually(lambda: api.call("GET", path).ok, "a code is on offer")
        assert api.status("by-hand")["state"] == "pairing"
        assert api.call("GET", path).content.startswith(b"\x89PNG")
        assert "█" in api.call("GET", path, params={"format": "ascii"}).text
        code = api.call("GET", path, headers={"Accept": "text/plain"}).text.strip()
        assert api.json("GET", path, headers={"Accept": "application/json"})["qr"] == code
        number = phones.new_number()
        assert phones.call("POST", "/phones", json={"number": number, "name": "Ada"}).status_code == 201
        assert phones.call("POST", f"/phones/{number}/scan", json={"qr": code}).ok
        assert api.wait_for_state("by-hand", "connected")["phone"] == number
        assert api.refusal("GET", path) == (409, "already_linked")


def test_another_tenants_things_are_not_found(
    stack: Stack, api: Api, phones: Phones, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = api.send(session.id, phones.new_number(), "mine")
    phones.write(phones.new_number(), session.phone, "mine too")
    heard = api.wait_for_text(session.id, "mine too")

    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", stack.run.firestore)
    key = api_key.PREFIX + secrets.token_urlsafe(32)
    api_key.register(stack.run.project, key, tenant="somebody-else")
    stranger = Api(stack.run.api, key)

    assert stranger.json("GET", "/api/sessions") == {"sessions": []}
    body = {"session_id": session.id, "to": "14155550123", "text": "not yours"}
    for method, path, options in (
        ("GET", f"/api/sessions/{session.id}/status", {}),
        ("DELETE", f"/api/sessions/{session.id}", {}),
        ("GET", f"/api/qr/me/{session.id}", {}),
        ("GET", f"/api/qr/demo/{session.id}", {}),
        ("GET", "/api/messages", {"params": {"session_id": session.id}}),
        ("POST", "/api/messages/send", {"json": body}),
    ):
        assert stranger.refusal(method, path, **options) == (404, "session_not_found"), path
    for message in (sent, heard):
        path = f"/api/messages/{message['message_id']}"
        assert stranger.refusal("GET", path) == (404, "message_not_found")
    # The same name is free for the stranger, and is another session.
    stranger.create(session.id)
    assert stranger.messages(session.id) == []
    assert api.status(session.id)["phone"] == session.phone
    assert [message["text"] for message in api.messages(session.id, chat=heard["chat"])] == ["mine too"]


def test_a_conversation_has_more_than_words(api: Api, phones: Phones, session: Session) -> None:
    friend = phones.new_number()
    body = {
        "session_id": session.id,
        "to": friend,
        "kind": "poll",
        "poll": {"question": "When?", "options": ["now", "later"]},
    }
    poll = api.json("POST", "/api/messages/send", 202, json=body)
    [sent] = api.wait_for_delivery(poll["message_id"])
    assert sent["to"]["phone"] == friend and sent["to"]["lid"]
    path = f"/phones/{friend}/messages"
    phones.json("POST", path, json={"kind": "vote", "target": sent["wa_message_id"], "options": ["later"]})

    def heard() -> dict[str, Any] | None:
        return next((one for one in api.messages(session.id) if one["kind"] == "vote"), None)

    vote = eventually(heard, "the vote comes in")
    assert (vote["vote"]["options"], vote["vote"]["message"]["message_id"]) == (["later"], poll["message_id"])
    assert vote["from"] == sent["to"]
    phones.write(friend, session.phone, "see you")
    words = api.wait_for_text(session.id, "see you")
    reaction = {
        "session_id": session.id,
        "kind": "reaction",
        "reaction": {"message": words["message_id"], "emoji": "👍"},
    }
    api.json("POST", "/api/messages/send", 202, json=reaction)
    marked = api.json("POST", f"/api/chats/{friend}/read", json={"session_id": session.id})
    assert words["message_id"] in marked["read"]
    assert api.message(words["message_id"])["state"] == "read"
    typing = api.call("POST", f"/api/chats/{friend}/typing", json={"session_id": session.id})
    assert typing.status_code == 204

    def reacted() -> bool:
        own = phones.inbox(friend)["own"]
        return any(one["id"] == words["wa_message_id"] and one["reactions"] == {session.phone: "👍"} for one in own)

    eventually(reacted, "the reaction is shown")


BAD_BODIES: list[tuple[dict[str, Any], int, str]] = [
    ({"data": "hello", "headers": {"Content-Type": "application/json"}}, 400, "bad_json"),
    ({"data": "[1]", "headers": {"Content-Type": "application/json"}}, 400, "bad_json"),
    ({"data": "to=1"}, 415, "unsupported_media_type"),
    ({"json": {"to": "14155550123", "text": "x"}}, 400, "missing_field"),
    ({"json": {"session_id": "S", "to": "14155550123", "text": "x", "when": "now"}}, 400, "unknown_field"),
    ({"json": {"session_id": "S", "to": 14155550123, "text": "x"}}, 400, "bad_field"),
    ({"json": {"session_id": "S", "to": "0800 flowers", "text": "x"}}, 400, "bad_number"),
    (
        {"json": {"session_id": "S", "to": "120363025246125486@newsletter", "text": "x"}},
        400,
        "newsletter_not_supported",
    ),
    ({"json": {"session_id": "S", "to": "14155550123", "kind": "gif"}}, 400, "unsupported_kind"),
    ({"json": {"session_id": "S", "to": "14155550123", "text": " \n"}}, 400, "empty_text"),
    ({"json": {"session_id": "S", "to": "14155550123", "text": "x" * 65_537}}, 413, "text_too_long"),
    ({"json": {"session_id": "S", "to": "14155550123", "text": "x" * 1_100_000}}, 413, "body_too_large"),
    ({"json": {"session_id": "nobody", "to": "14155550123", "text": "x"}}, 404, "session_not_found"),
]
BAD_REQUESTS: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("POST", "/api/sessions/create", {"json": {"session_id": "Not_A_Name"}}, 400, "bad_session_id"),
    ("POST", "/api/sessions/create", {"json": {"name": "shop"}}, 400, "unknown_field"),
    ("POST", "/api/sessions/create", {"json": {"session_id": "S"}}, 409, "session_exists"),
    ("GET", "/api/messages", {"params": {"session_id": "S", "limit": "0"}}, 400, "bad_field"),
    ("GET", "/api/messages", {"params": {"session_id": "S", "before": "yesterday"}}, 400, "bad_field"),
    ("GET", "/api/messages/m_none", {}, 404, "message_not_found"),
    ("PUT", "/api/messages/send", {}, 405, "method_not_allowed"),
    ("GET", "/api/nothing", {}, 404, "no_such_route"),
]


def test_bad_requests_are_refused_and_write_nothing(stack: Stack, api: Api, session: Session) -> None:
    sessions_before = {one["session_id"] for one in api.json("GET", "/api/sessions")["sessions"]}

    def mine(options: dict[str, Any]) -> dict[str, Any]:
        """With `S` replaced by a session that exists, so that nothing else can be the reason."""
        return {
            part: {name: session.id if content == "S" else content for name, content in value.items()}
            if part in ("json", "params")
            else value
            for part, value in options.items()
        }

    for options, status, code in BAD_BODIES:
        assert api.refusal("POST", "/api/messages/send", **mine(options)) == (status, code), options.keys()
    for method, path, options, status, code in BAD_REQUESTS:
        assert api.refusal(method, path, **mine(options)) == (status, code), path

    body = {"session_id": session.id, "to": "14155550123", "text": "let me in"}
    for headers, code in (
        ({}, "unauthenticated"),
        ({"X-Api-Key": "kl_" + "x" * 43}, "bad_api_key"),
        ({"Authorization": "Bearer no-token-at-all"}, "bad_token"),
        ({"Authorization": "Basic " + "x" * 20}, "unauthenticated"),
    ):
        stranger = Http(stack.run.api, headers)
        assert stranger.refusal("POST", "/api/messages/send", json=body) == (401, code)
        assert stranger.refusal("DELETE", f"/api/sessions/{session.id}") == (401, code)

    assert api.messages(session.id) == []
    assert {one["session_id"] for one in api.json("GET", "/api/sessions")["sessions"]} == sessions_before


def test_deleting_a_session_unlinks_it_and_removes_its_chats(api: Api, phones: Phones, session: Session) -> None:
    phones.write(phones.new_number(), session.phone, "soon gone")
    heard = api.wait_for_text(session.id, "soon gone")
    assert api.call("DELETE", f"/api/sessions/{session.id}").status_code == 204
    # Gone for its owner at once, and from the phone's list of linked devices a moment later.
    assert api.refusal("GET", f"/api/sessions/{session.id}/status") == (404, "session_not_found")
    assert api.refusal("DELETE", f"/api/sessions/{session.id}") == (404, "session_not_found")
    eventually(lambda: not phones.devices(session.phone), "the device is unlinked")

    def name_is_free() -> bool:
        return api.call("POST", "/api/sessions/create", json={"session_id": session.id}).status_code == 201

    eventually(name_is_free, "the session is cleared and its name free")
    assert api.refusal("GET", f"/api/messages/{heard['message_id']}") == (404, "message_not_found")
    assert api.messages(session.id) == []


def test_deleting_a_session_cancels_what_waits(api: Api, phones: Phones, frozen: Frozen) -> None:
    friend = phones.new_number()
    with frozen(*CONNECTORS):
        api.create("never-mind")
        waiting = api.send("never-mind", friend, "never mind")
        assert api.call("DELETE", "/api/sessions/never-mind").status_code == 204

    def ended() -> dict[str, Any] | None:
        message = api.message(waiting["message_id"])
        return message if message["state"] == "cancelled" else None

    assert eventually(ended, "the message is cancelled")["error"]["code"] == "session_deleted"
    assert phones.texts(friend) == []
