"""Looking at one message, and reading chats backwards: in and out together, page by page, nothing twice and nothing lost."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from .support import CHAT, NOON, World, error_code

LATER = NOON + timedelta(minutes=1)


@pytest.fixture
def shop(world: World) -> World:
    account = world.add_session(state="connected", code="connected")
    world.beat(account)
    return world


def page(world: World, **query: object) -> dict[str, Any]:
    answer = world.get(f"/api/messages?{urlencode({'session_id': 'shop'} | query)}")
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def texts(found: dict[str, Any]) -> list[str]:
    return [message["text"] for message in found["messages"]]


def test_a_message_that_came_in_is_found_by_its_id(shop: World) -> None:
    message_id = shop.hear("anna_shop", "WA1", NOON)
    answer = shop.get(f"/api/messages/{message_id}").get_json()
    recorded = answer["times"].pop("recorded")
    assert recorded.startswith("2026-03-01T12:00:00.")
    assert answer == {
        "message_id": message_id,
        "session_id": "shop",
        "chat": CHAT,
        "direction": "in",
        "from": {"phone": "14155550123", "lid": None},
        "to": None,
        "kind": "text",
        "text": "text of WA1",
        "edited_at": None,
        "revoked_at": None,
        "state": "delivered",
        "wa_message_id": "WA1",
        "times": {"delivered": "2026-03-01T12:00:00.000Z"},
        "error": None,
    }


@pytest.mark.parametrize("name", ["m_" + "a" * 26, "i_" + "a" * 26, "nonsense", "m_", "M_" + "A" * 26, "m_" + "a" * 27])
def test_a_message_that_is_not_there_is_not_found(shop: World, name: str) -> None:
    answer = shop.get(f"/api/messages/{name}")
    assert (answer.status_code, error_code(answer)) == (404, "message_not_found")


def test_anothers_messages_are_not_found(shop: World) -> None:
    for message_id in (shop.send().get_json()["message_id"], shop.hear("anna_shop", "WA1", NOON)):
        assert shop.get(f"/api/messages/{message_id}").status_code == 200
        answer = shop.get(f"/api/messages/{message_id}", shop.bert)
        assert (answer.status_code, error_code(answer)) == (404, "message_not_found")


def test_in_and_out_stand_together_newest_first(shop: World) -> None:
    shop.hear("anna_shop", "WA1", NOON - timedelta(seconds=5))
    shop.send("out 1")
    shop.clock.advance(10)
    shop.hear("anna_shop", "WA2", NOON + timedelta(seconds=5))
    shop.send("out 2")
    shop.hear("anna_shop", "WA3", NOON, chat="14155550199@s.whatsapp.net")
    found = page(shop)
    assert texts(found) == ["out 2", "text of WA2", "out 1", "text of WA3", "text of WA1"]
    assert found["next_before"] is None


@pytest.mark.parametrize("chat", [CHAT, "+1 415 555 0123", "14155550123@c.us"])
def test_one_chat_alone(shop: World, chat: str) -> None:
    shop.hear("anna_shop", "WA1", NOON - timedelta(seconds=5))
    shop.hear("anna_shop", "WA2", NOON, chat="14155550199@s.whatsapp.net")
    shop.send("out 1")
    shop.send("elsewhere", to="+14155550199")
    assert texts(page(shop, chat=chat)) == ["out 1", "text of WA1"]


def test_other_sessions_and_tenants_do_not_show(shop: World) -> None:
    shop.add_session("other")
    shop.add_session("shop", tenant="bert")
    shop.hear("anna_other", "WA1", NOON)
    shop.hear("bert_shop", "WA2", NOON)
    shop.send("mine")
    assert texts(page(shop)) == ["mine"]


def test_paging_backwards_finds_everything_once_even_within_one_second(shop: World) -> None:
    """WhatsApp's times have whole seconds, so a burst of messages shares one: no page may end in the middle of it."""
    rng = random.Random(7)
    shop.set_limit("anna", "messages", burst=100)
    for number in range(60):
        shop.hear("anna_shop", f"WA{number}", NOON + timedelta(seconds=rng.randrange(8)))
    for number in range(40):
        shop.clock.at = NOON + timedelta(milliseconds=rng.randrange(8_000))
        shop.send(f"out {number}")
    everything = page(shop, limit=100)
    assert len(everything["messages"]) == 100
    assert everything["next_before"] is None
    for limit in (1, 2, 7, 13, 30, 99):
        seen: list[str] = []
        query: dict[str, object] = {"limit": limit}
        while True:
            found = page(shop, **query)
            seen += [message["message_id"] for message in found["messages"]]
            if found["next_before"] is None:
                break
            query["before"] = found["next_before"]
        assert seen == [message["message_id"] for message in everything["messages"]]


def test_a_copy_of_what_the_outbox_sent_is_shown_once(shop: World) -> None:
    """Another linked device hears what this one sent."""
    message_id = shop.send("out 1").get_json()["message_id"]
    shop.settle(message_id, state="sent", wa_message_id="WA9")
    shop.hear("anna_shop", "WA9", LATER, from_me=True)
    shop.hear("anna_shop", "WA8", LATER, from_me=True)  # Written on the phone itself.
    found = page(shop)
    assert texts(found) == ["text of WA8", "out 1"]
    assert found["messages"][0]["direction"] == "out"
    # Also where the copy and the original are on different pages.
    assert texts(page(shop, before="2026-03-01T12:02:00Z", limit=2)) == ["text of WA8"]


def test_before_takes_any_offset_and_leaves_out_its_own_instant(shop: World) -> None:
    shop.hear("anna_shop", "WA1", NOON)
    shop.hear("anna_shop", "WA2", LATER)
    assert texts(page(shop, before="2026-03-01T12:01:00Z")) == ["text of WA1"]
    assert texts(page(shop, before="2026-03-01T13:01:00.001+01:00")) == ["text of WA2", "text of WA1"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "missing_field"),
        ("session_id=shop&limit=0", 400, "bad_field"),
        ("session_id=shop&limit=101", 400, "bad_field"),
        ("session_id=shop&limit=many", 400, "bad_field"),
        ("session_id=shop&before=yesterday", 400, "bad_field"),
        ("session_id=shop&before=1700000000", 400, "bad_field"),
        ("session_id=shop&before=2026-03-01T12:00:00", 400, "bad_field"),
        ("session_id=shop&before=2026-02-30T12:00:00Z", 400, "bad_field"),
        ("session_id=shop&chat=nobody", 400, "bad_number"),
        ("session_id=shop&page=2", 400, "unknown_field"),
        ("session_id=shop&session_id=other", 400, "bad_field"),
        ("session_id=nothing", 404, "session_not_found"),
    ],
)
def test_a_wrong_query_is_refused_by_name(shop: World, query: str, status: int, code: str) -> None:
    answer = shop.get(f"/api/messages?{query}")
    assert (answer.status_code, error_code(answer)) == (status, code)


def test_times_of_every_step_are_shown(shop: World) -> None:
    message_id = shop.send().get_json()["message_id"]
    shop.settle(message_id, state="read", **{"times.sent": LATER, "times.delivered": LATER, "times.read": LATER})
    assert list(shop.get(f"/api/messages/{message_id}").get_json()["times"]) == [
        "accepted",
        "sent",
        "delivered",
        "read",
    ]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("failed", "wa_463"),
        ("failed", "wa_479"),
        ("failed", "wa_999"),
        ("failed", "no_lid"),
        ("failed", "not_on_whatsapp"),
        ("failed", "bad_recipient"),
        ("failed", "refused"),
        ("failed", "send_failed"),
        ("failed", "not_handed_over"),
        ("queued", "not_connected"),
        ("cancelled", "session_deleted"),
        ("in_doubt", "outcome_unknown"),
        ("failed", "something_new"),
    ],
)
def test_every_error_has_a_sentence_and_a_next_step(shop: World, state: str, code: str) -> None:
    message_id = shop.send().get_json()["message_id"]
    shop.settle(message_id, state=state, error_code=code)
    message = shop.get(f"/api/messages/{message_id}").get_json()
    assert message["state"] == state
    assert message["error"]["code"] == code
    assert message["error"]["message"].endswith(".")
    assert message["error"]["hint"].endswith(".")


def test_times_in_other_zones_are_shown_in_utc(shop: World) -> None:
    message_id = shop.hear("anna_shop", "WA1", datetime.fromisoformat("2026-03-01T14:00:00.987654+02:00"))
    times = shop.get(f"/api/messages/{message_id}").get_json()["times"]
    assert times["delivered"] == "2026-03-01T12:00:00.987Z"
    assert datetime.fromisoformat(times["delivered"]).tzinfo == UTC
