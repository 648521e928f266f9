"""When a message goes, until when it is worth sending, before what, and what happens to it in doubt."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from keepline.records import outbox

from .support import NOON, World, error_code

LATER = "2026-03-01T13:00:00.000Z"


@pytest.fixture
def linked(world: World) -> World:
    world.add_session(state="connected", code="connected", phone="14155550100")
    return world


def accepted(world: World, options: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = world.send(options=options, **headers)
    assert answer.status_code == 202, answer.text
    return dict(answer.get_json())


def row_of(world: World, message: dict[str, Any]) -> dict[str, Any]:
    return world.fields(outbox.row_path(message["message_id"]))


def test_everything_that_was_asked_for_is_in_the_row_and_in_the_answer(linked: World) -> None:
    asked = {
        "send_at": "2026-03-01T14:00:00+01:00",
        "expires_at": "2026-03-02T00:00:00.5Z",
        "priority": "high",
        "on_doubt": "hold",
    }
    message = accepted(linked, asked)
    assert {name: message[name] for name in asked} == {
        "send_at": LATER,
        "expires_at": "2026-03-02T00:00:00.500Z",
        "priority": "high",
        "on_doubt": "hold",
    }
    row = row_of(linked, message)
    assert row["due_at"] == row["send_at"] == NOON + timedelta(hours=1)
    assert (row["priority"], row["on_doubt"]) == (1, "hold")
    assert linked.get(f"/api/messages/{message['message_id']}").get_json() == message


@pytest.mark.parametrize(("word", "number"), [("high", 1), ("normal", 0), ("low", -1), (None, 0)])
def test_priorities(linked: World, word: str | None, number: int) -> None:
    message = accepted(linked, {"priority": word})
    assert message["priority"] == (word or "normal")
    assert row_of(linked, message)["priority"] == number


def test_a_message_for_later_is_scheduled_until_its_time_has_come(linked: World) -> None:
    message = accepted(linked, {"send_at": LATER})
    assert message["state"] == "scheduled"
    assert row_of(linked, message)["state"] == "queued"  # What the connector watches.

    def state() -> Any:
        return linked.get(f"/api/messages/{message['message_id']}").get_json()["state"]

    linked.clock.advance(3599)
    assert state() == "scheduled"
    listed = linked.get("/api/messages?session_id=shop").get_json()["messages"]
    assert [one["state"] for one in listed] == ["scheduled"]
    linked.clock.advance(1)
    assert state() == "queued"
    linked.claim("anna_shop", message["message_id"])
    assert state() == "sending"


def test_a_time_to_send_in_the_past_is_now(linked: World) -> None:
    message = accepted(linked, {"send_at": "2026-03-01T11:59:59Z"})
    assert (message["state"], message["send_at"]) == ("queued", None)
    row = row_of(linked, message)
    assert row["due_at"] == row["accepted_at"]


def test_a_clock_behind_the_stores_does_not_make_a_message_look_scheduled(linked: World) -> None:
    message = accepted(linked, {})
    linked.clock.advance(-2)
    assert linked.get(f"/api/messages/{message['message_id']}").get_json()["state"] == "queued"


GOOD_TIMES: list[dict[str, str]] = [
    {"send_at": "2026-05-30T12:00:00Z"},  # 90 days, to the second
    {"expires_at": "2026-03-01T12:00:00.001Z"},
    {"expires_at": "9999-12-31T23:59:59Z"},
    {"send_at": LATER, "expires_at": "2026-03-01T13:00:00.001Z"},
    {"send_at": "2026-03-01T11:00:00Z", "expires_at": "2026-03-01T12:00:01Z"},
]


@pytest.mark.parametrize("options", GOOD_TIMES)
def test_times_at_the_edge_are_taken(linked: World, options: dict[str, str]) -> None:
    accepted(linked, options)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"send_at": "2026-05-30T12:00:01Z"}, "bad_send_at"),
        ({"send_at": "9999-12-31T23:59:59Z"}, "bad_send_at"),
        ({"expires_at": "2026-03-01T12:00:00Z"}, "bad_expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "bad_expires_at"),
        ({"send_at": LATER, "expires_at": LATER}, "bad_expires_at"),
        ({"send_at": LATER, "expires_at": "2026-03-01T12:30:00Z"}, "bad_expires_at"),
        # A time to send in the past does not make one to expire in the past any better.
        ({"send_at": "2026-03-01T10:00:00Z", "expires_at": "2026-03-01T11:00:00Z"}, "bad_expires_at"),
        ({"send_at": "tomorrow"}, "bad_field"),
        ({"send_at": "2026-03-01T13:00:00"}, "bad_field"),
        ({"send_at": "2026-02-30T13:00:00Z"}, "bad_field"),
        ({"send_at": "0001-01-01T00:00:00+14:00"}, "bad_field"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "bad_field"),
        ({"send_at": 1_772_370_000}, "bad_field"),
        ({"expires_at": 1_772_370_000.5}, "bad_field"),
        ({"expires_at": ["2026-03-01T13:00:00Z"]}, "bad_field"),
        ({"priority": "urgent"}, "bad_field"),
        ({"priority": 1}, "bad_field"),
        ({"priority": "High"}, "bad_field"),
        ({"on_doubt": "drop"}, "bad_field"),
        ({"on_doubt": True}, "bad_field"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_written(linked: World, options: dict[str, Any], code: str) -> None:
    before = linked.store.commits
    answer = linked.send(options=options)
    assert (answer.status_code, error_code(answer)) == (400, code)
    assert linked.store.commits == before


KEY = {"Idempotency-Key": "order-1"}
ASKED = {"send_at": LATER, "expires_at": "2026-03-02T00:00:00Z", "priority": "high", "on_doubt": "hold"}


def test_the_same_wishes_written_in_another_way_are_the_same_message(linked: World) -> None:
    first = accepted(linked, ASKED, **KEY)
    again = linked.send(options=ASKED | {"send_at": "2026-03-01T08:00:00-05:00"}, **KEY)
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.get_json() == first


def test_what_is_not_said_and_what_is_said_to_be_as_usual_are_the_same(linked: World) -> None:
    accepted(linked, {}, **KEY)
    usual = {"send_at": None, "expires_at": None, "priority": "normal", "on_doubt": None}
    assert linked.send(options=usual, **KEY).headers["Idempotent-Replay"] == "true"


@pytest.mark.parametrize(
    "change",
    [
        {"send_at": "2026-03-01T13:00:01Z"},
        {"send_at": None},
        {"expires_at": "2026-03-03T00:00:00Z"},
        {"expires_at": None},
        {"priority": "low"},
        {"on_doubt": "resend"},
        {"on_doubt": None},
    ],
)
def test_a_key_belongs_to_one_set_of_wishes(linked: World, change: dict[str, Any]) -> None:
    accepted(linked, ASKED, **KEY)
    answer = linked.send(options=ASKED | change, **KEY)
    assert (answer.status_code, error_code(answer)) == (409, "idempotency_mismatch")


def test_a_repeat_is_answered_also_when_its_times_have_passed(linked: World) -> None:
    message_id = accepted(linked, ASKED, **KEY)["message_id"]
    linked.clock.advance(timedelta(days=30).total_seconds())
    again = linked.send(options=ASKED, **KEY)
    assert (again.status_code, again.get_json()["message_id"]) == (202, message_id)
    assert again.get_json()["state"] == "queued"
    fresh = linked.send(options=ASKED)
    assert (fresh.status_code, error_code(fresh)) == (400, "bad_expires_at")


def test_a_repeat_of_a_message_on_its_way_says_so(linked: World) -> None:
    message_id = accepted(linked, {}, **KEY)["message_id"]
    linked.claim("anna_shop", message_id)
    assert accepted(linked, {}, **KEY)["state"] == "sending"


def test_tries_and_repairs_are_shown(linked: World) -> None:
    message_id = accepted(linked, {})["message_id"]
    linked.settle(message_id, attempts=3, repairs=1)
    message = linked.get(f"/api/messages/{message_id}").get_json()
    assert (message["attempts"], message["repairs"]) == (3, 1)


def test_what_whatsapp_brought_has_no_wishes(linked: World) -> None:
    message_id = linked.hear("anna_shop", "WA1", NOON)
    assert not set(linked.get(f"/api/messages/{message_id}").get_json()) & {
        "send_at", "expires_at", "priority", "on_doubt", "attempts", "repairs",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ("expired", "expired", "time ran out"),
        ("in_doubt", "outcome_unknown", "being found out"),
        ("failed", "outcome_unknown", "nobody knows"),
    ],
)
def test_an_unknown_outcome_is_told_by_what_still_happens_to_it(
    linked: World, state: str, code: str, words: str
) -> None:
    message_id = accepted(linked, {})["message_id"]
    linked.settle(message_id, state=state, error_code=code)
    error = linked.get(f"/api/messages/{message_id}").get_json()["error"]
    assert error["code"] == code
    assert words in error["message"]
    assert error["hint"]


def test_times_are_kept_to_the_microsecond(linked: World) -> None:
    message = accepted(linked, {"send_at": "2026-03-01T13:00:00.123456789Z"})
    assert row_of(linked, message)["send_at"] == datetime.fromisoformat("2026-03-01T13:00:00.123456+00:00")
    assert message["send_at"] == "2026-03-01T13:00:00.123Z"
