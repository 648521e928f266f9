"""Dead letters: what failed, why, and sending it again."""

from __future__ import annotations

from typing import Any

import pytest

from keepline.domain.queue_cap import COUNT_GOOD_FOR_S_MAX, QUEUED_MAX
from keepline.domain.send_queue import ATTEMPTS_MAX
from keepline.domain.tag import TRIES_MAX, message_tag
from keepline.ports.documents import Update
from keepline.records import outbox

from .support import NOON, World, error_code


def failed(world: World, text: str = "hello", code: str = "wa_503", **fields: Any) -> str:
    message_id = str(world.send(text).get_json()["message_id"])
    world.settle(message_id, **({"state": "failed", "error_code": code, "attempts": 8} | fields))
    return message_id


def dead_letters(world: World, query: str = "") -> dict[str, Any]:
    answer = world.get(f"/api/dead-letters?session_id=shop{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def replay(world: World, message_id: str) -> Any:
    return world.post(f"/api/messages/{message_id}/replay")


def refused(answer: Any) -> str:
    assert answer.status_code == 409
    return error_code(answer)


def test_they_are_what_failed_newest_first_with_the_reason_and_the_next_step(shop: World) -> None:
    shop.add_session("other")
    for number in range(3):
        failed(shop, f"text {number}")
        shop.clock.advance(1)
    shop.send("waits")
    shop.settle(shop.send("too late").get_json()["message_id"], state="expired", error_code="expired")
    shop.settle(shop.send("taken back").get_json()["message_id"], state="cancelled")
    shop.settle(shop.send("of another", session="other").get_json()["message_id"], state="failed", error_code="no_lid")
    shop.hear("anna_shop", "WA1", NOON)
    found = dead_letters(shop)
    assert [letter["text"] for letter in found["dead_letters"]] == ["text 2", "text 1", "text 0"]
    assert found["next_before"] is None
    newest = found["dead_letters"][0]
    assert newest["error"] == {
        "code": "wa_503",
        "message": "WhatsApp was not available for this message, time and again.",
        "hint": "Send it again later.",
    }
    assert newest == shop.get(f"/api/messages/{newest['message_id']}").get_json()


def test_they_come_in_pages_that_lose_none(shop: World) -> None:
    ids = []
    for number in range(12):
        ids.append(failed(shop, f"text {number}"))
        if number % 3:  # Some share their millisecond.
            shop.clock.advance(1)
    for limit in (1, 2, 5, 100):
        seen: list[str] = []
        query = f"&limit={limit}"
        while True:
            found = dead_letters(shop, query)
            seen += [letter["message_id"] for letter in found["dead_letters"]]
            if found["next_before"] is None:
                break
            query = f"&limit={limit}&before={found['next_before']}"
        assert sorted(seen) == sorted(ids)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "missing_field"),
        ("session_id=shop&limit=0", 400, "bad_field"),
        ("session_id=shop&limit=101", 400, "bad_field"),
        ("session_id=shop&before=yesterday", 400, "bad_field"),
        ("session_id=shop&chat=14155550123", 400, "unknown_field"),
        ("session_id=nothing", 404, "session_not_found"),
        ("session_id=hers", 404, "session_not_found"),
    ],
)
def test_a_wrong_query_is_refused_by_name(shop: World, query: str, status: int, code: str) -> None:
    shop.add_session("hers", tenant="bert")
    answer = shop.get(f"/api/dead-letters?{query}")
    assert (answer.status_code, error_code(answer)) == (status, code)


def test_a_replayed_letter_waits_behind_the_others_for_as_many_tries_as_a_new_message(shop: World) -> None:
    message_id = failed(shop, expires_at=NOON)
    shop.clock.advance(60)
    waiting = shop.send("came later").get_json()["message_id"]
    answer = replay(shop, message_id)
    message = answer.get_json()
    assert (answer.status_code, message["state"], message["error"]) == (202, "queued", None)
    assert message["expires_at"] is None
    assert message["times"]["replayed"].startswith("2026-03-01T12:01:00")
    row = shop.fields(outbox.row_path(message_id))
    assert row["attempts_max"] == 8 + ATTEMPTS_MAX
    assert row["due_at"] > shop.fields(outbox.row_path(waiting))["due_at"]
    assert dead_letters(shop)["dead_letters"] == []
    queued = shop.run(shop.store.query(outbox.queued_rows("anna_shop", 10)))
    assert [one.id for one in queued] == [waiting, message_id]


def test_a_held_doubt_is_a_dead_letter_too(shop: World) -> None:
    message_id = failed(shop, code="outcome_unknown", attempts=1, wa_message_id="3EB0", on_doubt="hold")
    [letter] = dead_letters(shop)["dead_letters"]
    assert "nobody knows" in letter["error"]["message"]
    assert replay(shop, message_id).status_code == 202


def test_a_replayed_letter_that_was_for_later_is_due_now(shop: World) -> None:
    message_id = str(shop.send(options={"send_at": "2026-03-01T13:00:00Z"}).get_json()["message_id"])
    shop.clock.advance(7200)
    shop.settle(message_id, state="failed", error_code="wa_503", attempts=8)
    assert replay(shop, message_id).get_json()["state"] == "queued"


@pytest.mark.parametrize("state", ["queued", "in_doubt", "sent", "delivered", "read", "played", "expired", "cancelled"])
def test_what_has_not_failed_is_not_replayed(shop: World, state: str) -> None:
    message_id = failed(shop, state=state)
    before = shop.store.commits
    assert refused(replay(shop, message_id)) == "not_a_dead_letter"
    assert shop.store.commits == before


def test_a_second_replay_at_once_is_refused_because_it_waits_already(shop: World) -> None:
    message_id = failed(shop)
    assert replay(shop, message_id).status_code == 202
    assert refused(replay(shop, message_id)) == "not_a_dead_letter"


def test_the_tries_of_all_replays_fit_into_the_tag(shop: World) -> None:
    last = TRIES_MAX - ATTEMPTS_MAX
    message_id = failed(shop, attempts=last)
    assert replay(shop, message_id).status_code == 202
    # Its last try has a number that a tag can hold.
    message_tag(b"k" * 32, message_id, shop.fields(outbox.row_path(message_id))["attempts_max"] - 1)
    answer = replay(shop, failed(shop, attempts=last + 1))
    assert refused(answer) == "replayed_too_often"
    assert "new message" in answer.get_json()["error"]["hint"]


@pytest.mark.parametrize("state", ["logged_out", "banned", "outdated", "failed"])
def test_a_dead_end_takes_no_replay_either(shop: World, state: str) -> None:
    message_id = failed(shop)
    shop.set_state("anna_shop", state, state)
    assert refused(replay(shop, message_id)) == "session_cannot_send"


def test_a_letter_of_a_deleted_session_has_nowhere_to_go(shop: World) -> None:
    message_id = failed(shop)
    shop.delete("/api/sessions/shop")
    answer = replay(shop, message_id)
    assert (answer.status_code, error_code(answer)) == (404, "session_not_found")


def test_a_replay_takes_a_place_in_the_queue(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(query: object) -> int:
        return QUEUED_MAX

    message_id = failed(shop)
    shop.clock.advance(COUNT_GOOD_FOR_S_MAX + 1)
    monkeypatch.setattr(shop.store, "count", full)
    answer = replay(shop, message_id)
    assert (answer.status_code, error_code(answer)) == (429, "queue_full")
    assert shop.fields(outbox.row_path(message_id))["state"] == "failed"


def test_a_replay_whose_answer_was_lost_has_succeeded(shop: World) -> None:
    message_id = failed(shop)
    shop.store.conflicts_after_applying = 1
    answer = replay(shop, message_id)
    assert (answer.status_code, answer.get_json()["state"]) == (202, "queued")


def test_a_receipt_that_comes_in_between_is_the_better_news(shop: World) -> None:
    message_id = failed(shop, code="outcome_unknown")

    async def receipt() -> object:
        return await shop.store.others_commit(
            Update(outbox.row_path(message_id), {"state": "delivered", "error_code": None})
        )

    shop.store.meanwhile = [receipt]
    answer = replay(shop, message_id)
    assert refused(answer) == "not_a_dead_letter"
    assert "delivered" in answer.get_json()["error"]["message"]


def test_a_replay_that_never_gets_through_says_so(shop: World) -> None:
    message_id = failed(shop)
    shop.store.conflicts = 1_000
    answer = replay(shop, message_id)
    assert (answer.status_code, error_code(answer)) == (503, "busy")
