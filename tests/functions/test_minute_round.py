"""The round of every minute: silent connectors, deleted sessions that nobody holds, messages stranded without a session."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from flask.testing import FlaskClient

from keepline.ports.documents import Document, Update
from keepline.records import accounts, outbox
from keepline.records.monitoring import MONITORING
from keepline.usecases import withdrawing

from .framework import PUBSUB_TYPE, deliver, serve
from .support import NOON, World


@pytest.fixture
def function(world: World, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return serve("on_minute", world, monkeypatch)


def minute(function: FlaskClient, event_id: str = "m1") -> int:
    body = {"message": {"data": "", "messageId": event_id, "publishTime": "2026-03-01T12:00:00Z"}, "subscription": "s"}
    return deliver(function, PUBSUB_TYPE, event_id, json.dumps(body).encode(), "application/json")


def recorded(world: World) -> list[tuple[str, str]]:
    events = sorted(told(world), key=lambda event: event.created)
    return [(event.fields["kind"], event.fields["connector"]) for event in events]


def told(world: World) -> list[Document]:
    """What is on record of connectors; their alerts have tests of their own."""
    return [event for event in world.all_in(MONITORING) if event.fields["kind"].startswith("connector_")]


def test_a_silence_and_its_end_are_recorded_once_each(world: World, function: FlaskClient) -> None:
    world.beat("", n=57)
    world.clock.advance(29)
    assert minute(function) == 200
    assert recorded(world) == []

    world.clock.advance(2)
    for _ in range(3):
        minute(function)
    assert recorded(world) == [("connector_silent", "c1")]
    [silence] = told(world)
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
    world.commit(*accounts.remove_account(account, document.version))
    minute(function)
    assert world.fields(outbox.row_path(stranded))["state"] == "queued"  # Its clearing may be under way.
    world.clock.advance(61)
    minute(function)
    minute(function)
    message = world.get(f"/api/messages/{stranded}").get_json()
    assert (message["state"], message["error"]["code"]) == ("cancelled", "session_deleted")
    assert message["times"]["cancelled"].startswith("2026-03-01T12:01:01")
    assert world.get(f"/api/messages/{waiting}").get_json()["state"] == "queued"


SOON = "2026-03-01T12:00:10Z"  # ten seconds after noon


def expiring(world: World, session: str = "shop", at: str = SOON) -> str:
    return str(world.send(session=session, options={"expires_at": at}).get_json()["message_id"])


def test_a_message_whose_time_ran_out_is_expired_when_no_connector_has_done_it(
    world: World, function: FlaskClient
) -> None:
    world.add_session(connector="")
    message_id = expiring(world)
    kept = world.send().get_json()["message_id"]
    world.clock.advance(70)
    minute(function)
    assert world.fields(outbox.row_path(message_id))["state"] == "queued"  # A connector has a minute to do it.
    world.clock.advance(1)
    minute(function)
    message = world.get(f"/api/messages/{message_id}").get_json()
    assert (message["state"], message["error"]["code"]) == ("expired", "expired")
    assert message["times"]["expired"].startswith("2026-03-01T12:01:11")
    assert world.get(f"/api/messages/{kept}").get_json()["state"] == "queued"
    before = world.store.commits
    minute(function)
    assert world.store.commits == before


def test_what_a_claim_names_does_not_expire(world: World, function: FlaskClient) -> None:
    account = world.add_session()
    claimed, idle = expiring(world), expiring(world)
    world.claim(account, claimed)
    world.clock.advance(71)
    minute(function)
    assert world.fields(outbox.row_path(claimed))["state"] == "queued"
    assert world.fields(outbox.row_path(idle))["state"] == "expired"


def test_a_claim_made_while_the_round_looks_is_not_expired_under_its_holders_hands(
    world: World, function: FlaskClient
) -> None:
    account = world.add_session()
    claimed, idle = expiring(world), expiring(world)
    world.clock.advance(71)
    world.store.meanwhile = [world.claims(account, claimed)]
    minute(function)
    assert not world.store.meanwhile
    assert world.fields(outbox.row_path(claimed))["state"] == "queued"
    assert world.fields(outbox.row_path(idle))["state"] == "expired"
    # And a claim that was prepared before the round is refused by the store.
    assert world.fields(outbox.authority_path(account))["recalls"] == 1


def test_what_was_sent_while_the_round_looks_stays_sent(world: World, function: FlaskClient) -> None:
    world.add_session()
    sent, idle = expiring(world), expiring(world)
    world.clock.advance(71)

    async def settle() -> object:
        return await world.store.others_commit(Update(outbox.row_path(sent), {"state": "sent"}))

    world.store.meanwhile = [settle]
    minute(function)
    assert world.fields(outbox.row_path(sent))["state"] == "sent"
    assert world.fields(outbox.row_path(idle))["state"] == "expired"


def test_a_message_of_which_a_copy_has_left_does_not_expire(world: World, function: FlaskClient) -> None:
    world.add_session()
    message_id = expiring(world)
    world.settle(message_id, state="queued", repairs=1, repair_of="3EB0")
    world.clock.advance(71)
    minute(function)
    assert world.fields(outbox.row_path(message_id))["state"] == "queued"


def test_a_queue_that_never_stands_still_does_not_keep_the_others_from_expiring(
    world: World, function: FlaskClient
) -> None:
    busy = world.add_session("busy")
    world.add_session("quiet")
    first, second = (
        expiring(world, "busy"),
        expiring(world, "quiet", "2026-03-01T12:00:10.5Z"),
    )  # the busy one comes first
    world.clock.advance(71)
    changes = [world.send(session="busy").get_json()["message_id"] for _ in range(withdrawing.TRIES_MAX)]
    world.store.meanwhile = [world.claims(busy, change) for change in changes]
    assert minute(function) == 200
    assert world.fields(outbox.row_path(first))["state"] == "queued"
    assert world.fields(outbox.row_path(second))["state"] == "expired"
    minute(function)
    assert world.fields(outbox.row_path(first))["state"] == "expired"


def test_a_standby_that_nobody_holds_is_cleared_and_its_session_stays(world: World, function: FlaskClient) -> None:
    account = world.add_session(state="connected", code="connected", phone="14155550100")
    world.add_standby(account, "starting", "waiting_for_connector", linked=False, connector="")
    world.offer_qr(account, "2@qr", slot="b")
    minute(function)
    assert world.document(accounts.device_path(account, "b")) is not None
    world.delete("/api/sessions/shop/standby")
    minute(function)
    assert world.document(accounts.device_path(account, "b")) is None
    assert world.document(accounts.pairing_path(account, "b")) is None
    assert world.get("/api/sessions/shop/status").get_json()["standby"]["state"] == "none"
    assert world.post("/api/sessions/shop/standby").status_code == 202


def test_when_the_store_is_down_the_round_fails_and_comes_again(world: World, function: FlaskClient) -> None:
    world.beat("")
    world.clock.advance(31)
    world.store.down = True
    assert minute(function) == 500
    world.store.down = False
    assert minute(function) == 200
    assert recorded(world) == [("connector_silent", "c1")]
