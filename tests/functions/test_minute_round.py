"""The round of every minute: silent connectors, deleted sessions that nobody holds, messages stranded without a session."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from flask.testing import FlaskClient

from keepline.records import accounts, outbox
from keepline.records.monitoring import MONITORING

from .framework import PUBSUB_TYPE, deliver, serve
from .support import NOON, World


@pytest.fixture
def function(world: World, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return serve("on_minute", world, monkeypatch)


def minute(function: FlaskClient, event_id: str = "m1") -> int:
    body = {"message": {"data": "", "messageId": event_id, "publishTime": "2026-03-01T12:00:00Z"}, "subscription": "s"}
    return deliver(function, PUBSUB_TYPE, event_id, json.dumps(body).encode(), "application/json")


def recorded(world: World) -> list[tuple[str, str]]:
    events = sorted(world.all_in(MONITORING), key=lambda event: event.created)
    return [(event.fields["kind"], event.fields["connector"]) for event in events]


def test_a_silence_and_its_end_are_recorded_once_each(world: World, function: FlaskClient) -> None:
    world.beat("", n=57)
    world.clock.advance(29)
    assert minute(function) == 200
    assert recorded(world) == []

    world.clock.advance(2)
    for _ in range(3):
        minute(function)
    assert recorded(world) == [("connector_silent", "c1")]
    [silence] = world.all_in(MONITORING)
    assert silence.fields["sentence"] == "The connector c1 has gone silent."
    assert silence.fields["beat"] == 57

    world.clock.advance(60)
    world.beat("", n=58)
    for _ in range(3):
        minute(function)
    assert recorded(world) == [("connector_silent", "c1"), ("connector_back", "c1")]


def test_every_silence_is_an_event_also_when_a_restart_counts_beats_anew(world: World, function: FlaskClient) -> None:
    for _ in range(3):
        world.beat("", n=1)
        world.clock.advance(31)
        minute(function)
    assert [kind for kind, _ in recorded(world)] == [
        "connector_silent",
        "connector_back",
        "connector_silent",
        "connector_back",
        "connector_silent",
    ]


def test_a_connector_that_stopped_on_purpose_is_not_silent(world: World, function: FlaskClient) -> None:
    world.beat("", stopping=True)
    world.clock.advance(3600)
    minute(function)
    assert recorded(world) == []


def test_a_silence_ends_also_with_a_last_beat(world: World, function: FlaskClient) -> None:
    world.beat("", n=1)
    world.clock.advance(31)
    minute(function)
    world.beat("", n=2, stopping=True)
    minute(function)
    assert recorded(world) == [("connector_silent", "c1"), ("connector_back", "c1")]


def test_connectors_are_judged_one_by_one(world: World, function: FlaskClient) -> None:
    world.beat("", connector="c1")
    world.clock.advance(31)
    world.beat("", connector="c2")
    minute(function)
    assert recorded(world) == [("connector_silent", "c1")]


def test_rounds_beside_each_other_record_once(world: World, function: FlaskClient) -> None:
    world.beat("")
    world.clock.advance(31)
    statuses: list[Any] = []

    def make() -> None:
        world.run(world.process.minute_round.make())
        statuses.append(200)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
    assert recorded(world) == [("connector_silent", "c1")]


def test_a_deleted_session_that_nobody_holds_is_cleared(world: World, function: FlaskClient) -> None:
    account = world.add_session(connector="")
    kept = world.add_session("kept", connector="")
    held = world.add_session("held", connector="c1")
    message_id = world.send().get_json()["message_id"]
    world.hear(account, "WA1", NOON)
    for name in ("shop", "held"):
        world.client.delete(f"/api/sessions/{name}", headers=world.anna)
    minute(function)

    assert world.document(accounts.account_path(account)) is None
    assert world.document(accounts.device_path(account, "a")) is None
    assert world.document(f"accounts/{account}/chats/14155550123@s.whatsapp.net/messages/WA1") is None
    assert world.document(accounts.account_path(kept)) is not None
    assert world.document(accounts.account_path(held)) is not None  # Its connector unlinks the device first.
    message = world.get(f"/api/messages/{message_id}").get_json()
    assert (message["state"], message["error"]["code"]) == ("cancelled", "session_deleted")
    assert world.client.post("/api/sessions/create", json={"session_id": "shop"}, headers=world.anna).status_code == 201


def test_a_message_accepted_while_its_session_was_cleared_does_not_wait_for_ever(
    world: World, function: FlaskClient
) -> None:
    account = world.add_session()
    world.add_session("alive")
    stranded = world.send().get_json()["message_id"]
    waiting = world.send(session="alive").get_json()["message_id"]
    document = world.document(accounts.account_path(account))
    assert document is not None
    world.commit(*accounts.remove_account(account, "a", document.version))
    minute(function)
    assert world.fields(outbox.row_path(stranded))["state"] == "queued"  # Its clearing may be under way.
    world.clock.advance(61)
    minute(function)
    minute(function)
    message = world.get(f"/api/messages/{stranded}").get_json()
    assert (message["state"], message["error"]["code"]) == ("cancelled", "session_deleted")
    assert message["times"]["cancelled"].startswith("2026-03-01T12:01:01")
    assert world.get(f"/api/messages/{waiting}").get_json()["state"] == "queued"


def test_when_the_store_is_down_the_round_fails_and_comes_again(world: World, function: FlaskClient) -> None:
    world.beat("")
    world.clock.advance(31)
    world.store.down = True
    assert minute(function) == 500
    world.store.down = False
    assert minute(function) == 200
    assert recorded(world) == [("connector_silent", "c1")]
