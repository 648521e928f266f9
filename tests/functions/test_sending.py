"""Accepting messages: once per key, only where they can leave, and nothing written when they are refused."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from keepline.ports.documents import Document
from keepline.records import outbox
from keepline.records.outbox import Authority

from .support import CHAT, World, error_code


@pytest.fixture
def linked(world: World) -> World:
    account = world.add_session(state="connected", code="connected", phone="14155550100")
    world.beat(account)
    return world


def test_an_accepted_message_is_durable_and_shown_as_such(linked: World) -> None:
    answer = linked.send("Grüße 👋")
    assert answer.status_code == 202
    message = answer.get_json()
    message_id = message.pop("message_id")
    accepted_at = message["times"].pop("accepted")
    assert message == {
        "session_id": "shop",
        "chat": CHAT,
        "direction": "out",
        "from": None,
        "to": {"phone": "14155550123", "lid": None},
        "kind": "text",
        "text": "Grüße 👋",
        "edited_at": None,
        "revoked_at": None,
        "state": "queued",
        "wa_message_id": None,
        "times": {},
        "error": None,
        "send_at": None,
        "expires_at": None,
        "priority": "normal",
        "on_doubt": "resend",
        "attempts": 0,
        "repairs": 0,
    }
    assert accepted_at == "2026-03-01T12:00:00.000Z"
    row = linked.fields(outbox.row_path(message_id))
    assert (row["account"], row["tenant"], row["state"]) == ("anna_shop", "anna", "queued")
    assert (row["kind"], row["content"]) == ("text", {"text": "Grüße 👋"})
    assert linked.get(f"/api/messages/{message_id}").get_json() == answer.get_json()


@pytest.mark.parametrize(
    ("to", "chat"),
    [
        ("14155550123", CHAT),
        ("+1 (415) 555-0123", CHAT),
        ("14155550123@c.us", CHAT),
        ("14155550123@s.whatsapp.net", CHAT),
        ("123456789012345@lid", "123456789012345@lid"),
    ],
)
def test_a_recipient_can_be_written_in_many_ways(linked: World, to: str, chat: str) -> None:
    assert linked.send(to=to).get_json()["chat"] == chat


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("starting", "waiting_for_connector"),
        ("pairing", "waiting_for_scan"),
        ("connected", "connected"),
        ("degraded", "no_answer"),
        ("reconnecting", "unreachable"),
        ("stopped", "pairing_timed_out"),
        ("stopped", "replaced"),
    ],
)
def test_what_may_come_back_takes_messages(world: World, state: str, code: str) -> None:
    world.add_session(state=state, code=code)
    assert world.send().status_code == 202


@pytest.mark.parametrize("state", ["logged_out", "banned", "outdated", "failed"])
def test_a_dead_end_refuses_and_names_the_way_out(world: World, state: str) -> None:
    world.add_session(state=state, code=state)
    before = world.store.commits
    answer = world.send()
    assert (answer.status_code, error_code(answer)) == (409, "session_cannot_send")
    status = world.get("/api/sessions/shop/status").get_json()
    assert answer.get_json()["error"]["hint"] == status["reason"]["next_step"]
    assert world.store.commits == before


def test_the_longest_text_is_taken(linked: World) -> None:
    assert linked.send("ü" * 65_536).status_code == 202
    answer = linked.send("x" * 65_537)
    assert (answer.status_code, error_code(answer)) == (413, "text_too_long")


GOOD = {"session_id": "shop", "to": "+14155550123", "text": "hello"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (GOOD | {"to": "12"}, 400, "bad_number"),
        (GOOD | {"to": ""}, 400, "bad_number"),
        (GOOD | {"to": "004915112345678"}, 400, "bad_number"),
        (GOOD | {"to": "x" * 1_000}, 400, "bad_number"),
        (GOOD | {"to": "14155550123@evil.example"}, 400, "bad_number"),
        (GOOD | {"to": "everybody@g.us"}, 400, "bad_number"),
        (GOOD | {"to": "120363000000000000@newsletter"}, 400, "newsletter_not_supported"),
        (GOOD | {"to": "1234567890@broadcast"}, 400, "broadcast_not_supported"),
        (GOOD | {"kind": "carrier-pigeon"}, 400, "unsupported_kind"),
        (GOOD | {"kind": 7}, 400, "bad_field"),
        (GOOD | {"poll": {}}, 400, "unknown_field"),
        (GOOD | {"text": ""}, 400, "empty_text"),
        (GOOD | {"text": " \n\t "}, 400, "empty_text"),
        (GOOD | {"text": "a\0b"}, 400, "bad_text"),
        (GOOD | {"text": None}, 400, "bad_field"),
        (GOOD | {"text": 7}, 400, "bad_field"),
        (GOOD | {"text": ["hello"]}, 400, "bad_field"),
        (GOOD | {"session_id": "NO"}, 400, "bad_session_id"),
        (GOOD | {"session_id": "../anna_shop"}, 400, "bad_session_id"),
        (GOOD | {"session_id": "nothing"}, 404, "session_not_found"),
        (GOOD | {"session_id": "hers"}, 404, "session_not_found"),
        (GOOD | {"wait": True}, 400, "unknown_field"),
        ({"session_id": "shop", "phone": "+14155550123", "text": "x"}, 400, "unknown_field"),
        ({"session_id": "shop", "text": "x"}, 400, "missing_field"),
        ({}, 400, "missing_field"),
    ],
)
def test_a_wrong_request_is_refused_by_name_and_nothing_written(
    linked: World, body: dict[str, Any], status: int, code: str
) -> None:
    linked.add_session("hers", tenant="bert")
    before = linked.store.commits
    answer = linked.client.post("/api/messages/send", json=body, headers=linked.anna)
    assert (answer.status_code, error_code(answer)) == (status, code)
    assert "Retry-After" not in answer.headers  # It will be wrong again.
    assert linked.store.commits == before


def test_an_unknown_field_is_named_together_with_the_known_ones(linked: World) -> None:
    answer = linked.client.post("/api/messages/send", json=GOOD | {"txt": 1}, headers=linked.anna)
    assert answer.get_json()["error"] == {
        "code": "unknown_field",
        "message": "There is no field 'txt' here.",
        "hint": "The fields are: session_id, send_at, expires_at, priority, on_doubt, to, quote, kind, text, mentions, preview.",
    }


def key(value: str) -> dict[str, str]:
    return {"Idempotency-Key": value}


def test_a_repeat_with_its_key_gets_the_first_answer(linked: World) -> None:
    first = linked.send(**key("order-1"))
    again = linked.send(**key("order-1"))
    assert first.status_code == again.status_code == 202
    assert first.get_json() == again.get_json()
    assert "Idempotent-Replay" not in first.headers
    assert again.headers["Idempotent-Replay"] == "true"
    assert len(linked.all_in(outbox.OUTBOX)) == 1


def test_the_same_number_written_differently_is_the_same_message(linked: World) -> None:
    linked.send(to="+1 415 555 0123", **key("order-1"))
    assert linked.send(to="14155550123@c.us", **key("order-1")).headers["Idempotent-Replay"] == "true"


def test_a_repeat_tells_what_became_of_the_message(linked: World) -> None:
    message_id = linked.send(**key("order-1")).get_json()["message_id"]
    linked.settle(message_id, state="delivered", wa_message_id="3EB0")
    assert linked.send(**key("order-1")).get_json()["state"] == "delivered"


@pytest.mark.parametrize("change", [{"text": "something else"}, {"to": "+14155550124"}])
def test_a_key_belongs_to_one_message(linked: World, change: dict[str, str]) -> None:
    linked.send(**key("order-1"))
    before = linked.store.commits
    answer = linked.send(**change, **key("order-1"))
    assert (answer.status_code, error_code(answer)) == (409, "idempotency_mismatch")
    assert linked.store.commits == before


def test_a_repeat_is_answered_even_when_the_session_has_died(linked: World) -> None:
    linked.send(**key("order-1"))
    linked.set_state("anna_shop", "logged_out", "logged_out")
    assert linked.send(**key("order-1")).status_code == 202
    assert error_code(linked.send(**key("order-2"))) == "session_cannot_send"


def test_keys_of_different_sessions_and_tenants_do_not_meet(linked: World) -> None:
    linked.add_session("other")
    linked.add_session("shop", tenant="bert")
    ids = {
        linked.send(**key("k")).get_json()["message_id"],
        linked.send(session="other", **key("k")).get_json()["message_id"],
        linked.client.post("/api/messages/send", json=GOOD, headers=linked.bert | key("k")).get_json()["message_id"],
    }
    assert len(ids) == 3


@pytest.mark.parametrize("value", ["", "x" * 256, "a\tb"])
def test_a_bad_key_is_refused(linked: World, value: str) -> None:
    answer = linked.send(**key(value))
    assert (answer.status_code, error_code(answer)) == (400, "bad_idempotency_key")
    assert not linked.all_in(outbox.OUTBOX)


def test_of_many_requests_with_one_key_at_once_one_message_comes(linked: World) -> None:
    answers: list[Any] = []

    def send() -> None:
        client = linked.process.app.test_client()
        answers.append(client.post("/api/messages/send", json=GOOD, headers=linked.anna | key("order-1")))

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.get_json()["message_id"] for answer in answers}) == 1
    assert [("Idempotent-Replay" in answer.headers) for answer in answers].count(False) == 1
    assert len(linked.all_in(outbox.OUTBOX)) == 1


def test_what_a_message_has_to_be_checked_against_is_read_at_once(
    linked: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look takes its time on the way to the store; a message waits for one look and one commit."""
    assert linked.send("the first").status_code == 202  # key, limits and queue are known from now on
    asked: list[str] = []
    both = asyncio.Event()
    get = linked.store.get

    async def get_when_both_were_asked(path: str) -> Document | None:
        asked.append(path.partition("/")[0])
        if len(asked) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), timeout=5)
        return await get(path)

    monkeypatch.setattr(linked.store, "get", get_when_both_were_asked)
    assert linked.send("the second", **key("order-2")).status_code == 202
    assert sorted(asked) == ["accounts", "outbox"]


@pytest.mark.parametrize("headers", [{}, key("order-1")])
def test_an_acceptance_whose_answer_was_lost_is_one_acceptance(linked: World, headers: dict[str, str]) -> None:
    linked.store.conflicts_after_applying = 1
    answer = linked.send(**headers)
    assert answer.status_code == 202
    assert len(linked.all_in(outbox.OUTBOX)) == 1
    assert ("Idempotent-Replay" in answer.headers) == bool(headers)


def test_a_store_that_does_not_answer_is_said_and_may_be_tried_again(linked: World) -> None:
    linked.send()  # The key is known now.
    linked.store.down = True
    answer = linked.send(**key("order-1"))
    assert (answer.status_code, error_code(answer)) == (503, "store_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert "bad day" not in answer.text
    linked.store.down = False
    assert linked.send(**key("order-1")).status_code == 202


def test_a_claimed_message_is_shown_as_sending(linked: World) -> None:
    claimed = linked.send("one").get_json()["message_id"]
    waiting = linked.send("two").get_json()["message_id"]
    linked.commit(Authority("anna_shop", 1, "c1", "a").after([claimed], []).write())
    assert linked.get(f"/api/messages/{claimed}").get_json()["state"] == "sending"
    assert linked.get(f"/api/messages/{waiting}").get_json()["state"] == "queued"
    listed = linked.get("/api/messages?session_id=shop").get_json()["messages"]
    assert {message["message_id"]: message["state"] for message in listed} == {claimed: "sending", waiting: "queued"}
    linked.settle(claimed, state="sent")  # The claim still names it; what is settled is settled.
    assert linked.get(f"/api/messages/{claimed}").get_json()["state"] == "sent"
