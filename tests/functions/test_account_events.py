"""A session's change of state goes on record once, however often and in whatever shape the event comes."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from google.events.cloud.firestore import Value

from keepline.ports.documents import Document
from keepline.records.monitoring import EVENTS_KEPT, MONITORING

from .framework import FIRESTORE_TYPE, account_document, deliver, serve, written
from .support import World

PROTOBUF = "application/protobuf"
CONNECTED = account_document("connected", "connected")
BROKEN = account_document("reconnecting", "socket_closed")


@pytest.fixture
def function(world: World, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return serve("on_account_written", world, monkeypatch)


def changes(world: World) -> list[Document]:
    """The changes of a state that are on record; what they are besides has tests in test_event_log."""
    return [event for event in world.all_in(MONITORING) if event.fields["kind"] == "session_state"]


def tell(function: FlaskClient, body: bytes, event_id: str = "e1", content_type: str = PROTOBUF) -> int:
    return deliver(function, FIRESTORE_TYPE, event_id, body, content_type)


def test_a_change_of_state_is_recorded(world: World, function: FlaskClient) -> None:
    assert tell(function, written(BROKEN, CONNECTED)) == 200
    [event] = changes(world)
    fields = dict(event.fields)
    assert fields.pop("recorded_at").year == 2026
    assert fields.pop("expire_at") - fields["at"] == EVENTS_KEPT
    assert fields.pop("at").isoformat() == "2026-03-01T12:00:00.250000+00:00"
    assert fields == {
        "kind": "session_state",
        "account": "anna_shop",
        "session_id": "shop",
        "tenant": "anna",
        "from": "connected",
        "to": "reconnecting",
        "code": "socket_closed",
        "sentence": "socket_closed in words.",
        "subject": "anna_shop",
        "severity": "warning",
        "next_step": "Nothing to do: it heals by itself and queued messages are kept.",
        "details": {"from": "connected", "to": "reconnecting"},
    }
    assert event.id.startswith("anna_shop_")


def test_a_repeated_event_is_one_document(world: World, function: FlaskClient) -> None:
    for _ in range(3):
        assert tell(function, written(BROKEN, CONNECTED), "e1") == 200
    assert len(changes(world)) == 1
    assert tell(function, written(BROKEN, CONNECTED), "e2") == 200
    assert len(changes(world)) == 2


def test_a_new_session_is_recorded(world: World, function: FlaskClient) -> None:
    tell(function, written(account_document("starting", "waiting_for_connector")))
    [event] = world.all_in(MONITORING)
    assert (event.fields["from"], event.fields["to"]) == (None, "starting")


def test_another_reason_for_the_same_state_is_recorded(world: World, function: FlaskClient) -> None:
    tell(function, written(account_document("reconnecting", "unreachable"), BROKEN))
    [event] = world.all_in(MONITORING)
    assert (event.fields["from"], event.fields["to"], event.fields["code"]) == (
        "reconnecting",
        "reconnecting",
        "unreachable",
    )


def test_a_write_that_leaves_the_state_alone_is_not(world: World, function: FlaskClient) -> None:
    renamed = account_document("connected", "connected", {"phone": Value(string_value="14155550100")})
    assert tell(function, written(renamed, CONNECTED)) == 200
    assert not world.all_in(MONITORING)


def test_a_deletion_is_no_change_of_state(world: World, function: FlaskClient) -> None:
    assert tell(function, written(None, CONNECTED)) == 200
    assert not world.all_in(MONITORING)


def without(name: str) -> bytes:
    document = account_document("connected", "connected")
    del document.fields[name]
    return written(document)


def elsewhere(path: str) -> bytes:
    document = account_document("connected", "connected")
    document.name = f"projects/p/databases/(default)/{path}"
    return written(document)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff\xff\xff no protobuf",
        b'{"value": {}}',
        b'"text"',
        b"",
        without("state"),
        without("reason"),
        without("tenant"),
        without("session_id"),
        elsewhere("documents/outbox/m_1"),
        elsewhere("documents/accounts/a/devices/b"),
        elsewhere("accounts/a"),
        written(account_document("connected", "connected", {"state": Value(integer_value=1)})),
        written(account_document("connected", "connected", {"reason": Value(string_value="why")})),
    ],
)
def test_a_malformed_event_is_logged_and_done_with(
    world: World, function: FlaskClient, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert tell(function, body) == 200
    assert not world.all_in(MONITORING)
    assert "an event cannot be read and is dropped" in caplog.text


def test_while_the_store_is_down_the_event_is_refused_and_comes_again(world: World, function: FlaskClient) -> None:
    world.store.down = True
    assert tell(function, written(BROKEN, CONNECTED)) == 500
    world.store.down = False
    assert tell(function, written(BROKEN, CONNECTED)) == 200
    assert len(changes(world)) == 1
