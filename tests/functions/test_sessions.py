"""Creating, listing, looking at and deleting sessions."""

from __future__ import annotations

import re
import threading
from datetime import datetime, timedelta

import pytest

from keepline.ports.documents import Delete, Document, Query
from keepline.records import accounts, connectors, outbox
from keepline.usecases import sessions

from .support import World, error_code

SHAPE = {
    "session_id",
    "user_id",
    "phone",
    "lid",
    "state",
    "reason",
    "evidence",
    "devices",
    "standby",
    "on_doubt",
    "pacing",
    "presence",
    "proxy",
    "queue",
    "created_at",
}


def test_a_new_session_waits_for_a_connector(world: World) -> None:
    answer = world.client.post("/api/sessions/create", json={"session_id": "shop"}, headers=world.anna)
    assert answer.status_code == 201
    waiting = {
        "code": "waiting_for_connector",
        "sentence": "No connector has taken this session yet.",
        "next_step": "Nothing to do if a connector runs.",
    }
    assert answer.get_json() == {
        "session_id": "shop",
        "user_id": "anna",
        "phone": None,
        "lid": None,
        "state": "starting",
        "reason": waiting,
        "evidence": None,
        "devices": [
            {
                "slot": "a",
                "state": "starting",
                "reason": waiting,
                "connector": None,
                "region": None,
                "reconnect_attempts": 0,
                "breaker": "closed",
                "last_activity": None,
            }
        ],
        "standby": {
            "state": "none",
            "setting": "offer",
            "offered_at": None,
            "sentence": "The session works with one device and has no standby.",
            "next_step": "Nothing to do: one is offered when the first device has been connected for 30 s.",
        },
        "on_doubt": "resend",
        "pacing": "normal",
        "queue": {"queued": 0, "oldest_s": None, "held": None},
        "presence": "unavailable",
        "proxy": None,
        "created_at": "2026-03-01T12:00:00.000Z",
    }
    assert world.get("/api/sessions/shop/status").get_json() == answer.get_json()


@pytest.mark.parametrize("body", [{"data": b""}, {"json": {}}, {"json": {"session_id": None}}])
def test_without_an_id_one_is_made(world: World, body: dict[str, object]) -> None:
    answer = world.client.post("/api/sessions/create", headers=world.anna, **body)
    assert answer.status_code == 201
    assert re.fullmatch(r"s[a-z2-7]{11}", answer.get_json()["session_id"])


def test_times_are_rfc_3339_in_utc_with_milliseconds(world: World) -> None:
    created_at = world.client.post("/api/sessions/create", headers=world.anna).get_json()["created_at"]
    assert re.fullmatch(r"2026-03-01T12:00:00\.\d{3}Z", created_at)


def test_a_name_is_taken_once_per_tenant(world: World) -> None:
    for headers, status in ((world.anna, 201), (world.anna, 409), (world.bert, 201)):
        answer = world.client.post("/api/sessions/create", json={"session_id": "shop"}, headers=headers)
        assert answer.status_code == status
        if status == 409:
            assert error_code(answer) == "session_exists"


def test_a_creation_whose_answer_was_lost_is_not_mistaken_for_somebody_elses(world: World) -> None:
    world.store.conflicts_after_applying = 1
    answer = world.client.post("/api/sessions/create", json={"session_id": "shop"}, headers=world.anna)
    assert answer.status_code == 201
    assert len(world.all_in(accounts.ACCOUNTS)) == 1


@pytest.mark.parametrize("name", ["Shop", "a_b", "-a", "a-", "", "x" * 41, "a/b", "ä", "..", "a b"])
def test_a_bad_session_id_is_refused_and_nothing_written(world: World, name: str) -> None:
    before = world.store.commits
    answer = world.client.post("/api/sessions/create", json={"session_id": name}, headers=world.anna)
    assert (answer.status_code, error_code(answer)) == (400, "bad_session_id")
    assert world.store.commits == before


def test_the_list_has_ones_own_sessions_oldest_first(world: World) -> None:
    for name in ("zebra", "ant"):
        world.add_session(name)
        world.clock.advance(1)
    world.add_session("other", tenant="bert")
    listed = world.get("/api/sessions").get_json()
    assert list(listed) == ["sessions"]
    assert [session["session_id"] for session in listed["sessions"]] == ["zebra", "ant"]
    assert all(set(session) == SHAPE for session in listed["sessions"])


def test_a_list_of_none_is_empty(world: World) -> None:
    assert world.get("/api/sessions").get_json() == {"sessions": []}


def test_the_list_shows_what_the_status_shows(world: World) -> None:
    account = world.add_session(state="connected", code="connected", phone="14155550100")
    world.beat(account)
    world.send()
    [listed] = world.get("/api/sessions").get_json()["sessions"]
    assert listed == world.get("/api/sessions/shop/status").get_json()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/sessions/shop/status"),
        ("DELETE", "/api/sessions/shop"),
        ("GET", "/api/qr/me/shop"),
        ("GET", "/api/qr/anna/shop"),
        ("GET", "/api/qr/bert/shop"),
        ("GET", "/api/messages?session_id=shop"),
        ("GET", "/api/sessions/nothing/status"),
        ("GET", "/api/sessions/No_Name!/status"),
        ("GET", "/api/sessions/anna_shop/status"),
    ],
)
def test_anothers_session_is_as_absent_as_one_that_never_was(world: World, method: str, path: str) -> None:
    account = world.add_session("shop", tenant="anna", state="pairing", code="waiting_for_scan")
    world.offer_qr(account, "secret-qr")
    before = world.store.commits
    answer = world.client.open(path, method=method, headers=world.bert)
    assert (answer.status_code, error_code(answer)) == (404, "session_not_found")
    assert b"secret-qr" not in answer.data
    assert world.store.commits == before


def test_a_deleted_session_is_gone_at_once_and_its_connector_is_told(world: World) -> None:
    account = world.add_session()
    answer = world.client.delete("/api/sessions/shop", headers=world.anna)
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers
    assert world.fields(accounts.account_path(account))["wanted"] is False
    assert world.fields(accounts.device_path(account, "a"))["wanted"] is False

    for path in ("/api/sessions/shop/status", "/api/qr/me/shop", "/api/messages?session_id=shop"):
        assert error_code(world.get(path)) == "session_not_found"
    assert error_code(world.send()) == "session_not_found"
    assert error_code(world.client.delete("/api/sessions/shop", headers=world.anna)) == "session_not_found"
    assert world.get("/api/sessions").get_json() == {"sessions": []}


def test_a_session_that_is_being_deleted_cannot_be_created_until_it_is_cleared(world: World) -> None:
    account = world.add_session()
    world.client.delete("/api/sessions/shop", headers=world.anna)
    again = world.client.post("/api/sessions/create", json={"session_id": "shop"}, headers=world.anna)
    assert (again.status_code, error_code(again)) == (409, "session_being_deleted")

    document = world.document(accounts.account_path(account))
    assert document is not None
    world.commit(*accounts.remove_account(account, document.version))
    again = world.client.post("/api/sessions/create", json={"session_id": "shop"}, headers=world.anna)
    assert again.status_code == 201


def test_a_state_written_in_between_does_not_stop_a_deletion(world: World) -> None:
    world.add_session()
    world.store.conflicts = 3
    assert world.client.delete("/api/sessions/shop", headers=world.anna).status_code == 204


def test_a_deletion_whose_answer_was_lost_has_succeeded(world: World) -> None:
    world.add_session()
    world.store.conflicts_after_applying = 1
    assert world.client.delete("/api/sessions/shop", headers=world.anna).status_code == 204


def test_a_deletion_that_never_gets_through_says_so(world: World) -> None:
    world.add_session()
    world.store.conflicts = 1_000
    answer = world.client.delete("/api/sessions/shop", headers=world.anna)
    assert (answer.status_code, error_code(answer)) == (503, "busy")
    assert answer.headers["Retry-After"] == "1"


def test_of_many_who_create_one_name_at_once_one_succeeds(world: World) -> None:
    statuses: list[int] = []

    def create() -> None:
        client = world.process.app.test_client()
        answer = client.post("/api/sessions/create", json={"session_id": "shop"}, headers=world.anna)
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [409] * 7


def test_what_pacing_holds_back_is_said_with_its_reason_and_its_end(world: World) -> None:
    account = world.add_session(state="connected", code="connected")
    world.beat(account, held=("first_contacts", 30.0))
    held = world.get("/api/sessions/shop/status").get_json()["queue"]["held"]
    assert held["code"] == "first_contacts"
    assert "never written" in held["sentence"]
    assert datetime.fromisoformat(held["until"]) == world.clock.now() + timedelta(seconds=30)
    world.clock.advance(31)
    assert world.get("/api/sessions/shop/status").get_json()["queue"]["held"] is None


@pytest.mark.parametrize("because", ["spacing", "chat", "first_contacts", "time_lock", "rate_limit", "banned"])
def test_every_reason_to_hold_back_has_its_words(world: World, because: str) -> None:
    account = world.add_session(state="connected", code="connected")
    world.beat(account, held=(because, 30.0))
    assert world.get("/api/sessions/shop/status").get_json()["queue"]["held"]["code"] == because


@pytest.mark.parametrize(
    ("body", "shown"), [({}, "normal"), ({"pacing": "careful"}, "careful"), ({"pacing": "off"}, "off")]
)
def test_a_session_is_paced_as_its_owner_chooses(world: World, body: dict[str, str], shown: str) -> None:
    create = "/api/sessions/create"
    assert world.client.post(create, json=body, headers=world.anna).get_json()["pacing"] == shown
    assert error_code(world.client.post(create, json={"pacing": "fast"}, headers=world.anna)) == "bad_field"


def test_the_queue_is_counted_and_its_oldest_dated(world: World) -> None:
    account = world.add_session(state="reconnecting", code="socket_closed")
    world.beat(account)
    world.send("one")
    world.clock.advance(4.5)
    world.send("two")
    last = world.send("three").get_json()["message_id"]
    world.settle(last, state="sent")
    queue = world.get("/api/sessions/shop/status").get_json()["queue"]
    assert queue["queued"] == 2
    assert queue["oldest_s"] == pytest.approx(4.5, abs=0.01)


def test_a_deep_queue_is_counted_without_reading_its_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "QUEUED_MAX", 7)
    world.add_session(state="connected", code="connected")
    for number in range(9):
        world.send(f"text {number}")
    read: list[int] = []
    query = world.store.query

    async def counting(asked: Query) -> list[Document]:
        found = await query(asked)
        read.append(len(found) if asked.collection == outbox.OUTBOX else 0)
        return found

    monkeypatch.setattr(world.store, "query", counting)
    assert world.get("/api/sessions/shop/status").get_json()["queue"]["queued"] == 7  # As far as the cap goes.
    assert sum(read) == 1


def test_messages_for_later_wait_in_the_queue_and_have_not_waited_yet(world: World) -> None:
    world.add_session(state="connected", code="connected")
    world.send(options={"send_at": "2026-03-01T13:00:00Z"})
    assert world.get("/api/sessions/shop/status").get_json()["queue"] == {"queued": 1, "oldest_s": None, "held": None}
    world.send("now")
    world.clock.advance(3)
    queue = world.get("/api/sessions/shop/status").get_json()["queue"]
    assert (queue["queued"], queue["oldest_s"]) == (2, pytest.approx(3, abs=0.01))
    world.clock.advance(3600)
    world.settle(world.send("late").get_json()["message_id"], state="sent")
    assert world.get("/api/sessions/shop/status").get_json()["queue"]["oldest_s"] > 3600


def test_a_clock_of_the_store_ahead_of_ours_makes_no_negative_wait(world: World) -> None:
    world.add_session(state="connected", code="connected")
    world.send()
    world.clock.advance(-3)
    assert world.get("/api/sessions/shop/status").get_json()["queue"] == {"queued": 1, "oldest_s": 0, "held": None}


@pytest.mark.parametrize(
    ("body", "shown"), [({"on_doubt": "hold"}, "hold"), ({"on_doubt": "resend"}, "resend"), ({}, "resend")]
)
def test_a_session_has_a_choice_for_messages_in_doubt(world: World, body: dict[str, str], shown: str) -> None:
    created = world.client.post("/api/sessions/create", json={"session_id": "shop"} | body, headers=world.anna)
    assert created.get_json()["on_doubt"] == shown
    assert world.get("/api/sessions/shop/status").get_json()["on_doubt"] == shown
    assert world.send().get_json()["on_doubt"] == shown
    assert world.send(options={"on_doubt": "hold"}).get_json()["on_doubt"] == "hold"


def test_a_choice_that_is_none_is_refused(world: World) -> None:
    answer = world.client.post("/api/sessions/create", json={"on_doubt": "drop"}, headers=world.anna)
    assert (answer.status_code, error_code(answer)) == (400, "bad_field")
    assert world.all_in(accounts.ACCOUNTS) == []


def test_a_connector_that_has_no_document_any_more_is_silent(world: World) -> None:
    account = world.add_session(state="connected", code="connected")
    world.beat(account)
    world.commit(Delete(connectors.connector_path("c1")))
    assert world.get("/api/sessions/shop/status").get_json()["reason"]["code"] == "connector_silent"
