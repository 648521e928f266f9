"""A session's queue has a cap: held to the message near it, and cheap to hold far from it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from keepline.domain import queue_cap
from keepline.domain.content.bodies import text_content
from keepline.domain.queue_cap import COUNT_GOOD_FOR_S, NEAR_THE_CAP, QUEUED_MAX, Counted
from keepline.domain.rate_limits import Limit
from keepline.domain.send_options import SendOptions
from keepline.ports.documents import Query, StoreUnavailable
from keepline.records import outbox
from keepline.usecases import queue_room
from keepline.usecases.limiting import MESSAGES

from .support import FaultyDocuments, World, error_code

# Far from the cap such a user's count is good for five seconds and no longer.
WHOLE_QUEUE_AT_ONCE = Limit("messages", 60_000, 60.0, QUEUED_MAX)


@pytest.fixture
def small(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A cap of ten messages."""
    for module in (queue_cap, queue_room):
        monkeypatch.setattr(module, "QUEUED_MAX", 10)
    monkeypatch.setattr(queue_cap, "NEAR_THE_CAP", 5)
    world.add_session(state="connected", code="connected", phone="14155550100")
    return world


def fill(world: World, number: int) -> list[str]:
    return [world.send(f"text {n}").get_json()["message_id"] for n in range(number)]


def is_full(answer: Any) -> bool:
    if answer.status_code == 202:
        return False
    assert (answer.status_code, error_code(answer)) == (429, "queue_full")
    assert int(answer.headers["Retry-After"]) >= 1
    return True


def test_the_cap_is_what_the_page_says() -> None:
    assert (QUEUED_MAX, NEAR_THE_CAP, COUNT_GOOD_FOR_S) == (10_000, 5_000, 5.0)


@pytest.mark.parametrize(
    ("queued", "age_s", "good", "room"),
    [
        (0, 0.0, True, True),
        (4_999, 5.0, True, True),
        (4_999, 5.1, False, True),
        (5_000, 0.0, False, True),
        (9_999, 0.0, False, True),
        (10_000, 0.0, False, False),
        (10_003, 0.0, False, False),
    ],
)
def test_when_a_count_is_good_and_when_there_is_room(queued: int, age_s: float, good: bool, room: bool) -> None:
    counted = Counted(queued, at_s=100.0)
    assert counted.is_good(100.0 + age_s, WHOLE_QUEUE_AT_ONCE) is good
    assert counted.has_room() is room


@pytest.mark.parametrize(
    ("limit", "queued", "age_s", "good"),
    [
        (MESSAGES, 0, 600.0, True),
        (MESSAGES, 0, 600.1, False),  # whatever a person changes by hand is noticed at last
        (MESSAGES, 4_999, 600.0, True),
        (MESSAGES, 5_000, 0.0, False),
        (Limit("messages", 1_200, 60.0, 200), 0, 489.0, True),  # 200 at once and 20 a second: 9,980
        (Limit("messages", 1_200, 60.0, 200), 0, 490.0, False),
        (Limit("messages", 1_200, 60.0, 200), 4_000, 289.0, True),
        (Limit("messages", 1_200, 60.0, 200), 4_000, 290.0, False),
    ],
)
def test_a_count_is_good_while_the_users_limit_lets_nobody_fill_the_queue(
    limit: Limit, queued: int, age_s: float, good: bool
) -> None:
    assert Counted(queued, at_s=100.0).is_good(100.0 + age_s, limit) is good


@pytest.mark.parametrize("limit", [MESSAGES, Limit("messages", 1_200, 60.0, 200), Limit("messages", 60_000, 60.0, 500)])
@pytest.mark.parametrize("queued", [0, 1_000, NEAR_THE_CAP - 1])
def test_whatever_others_queue_meanwhile_a_good_count_is_below_the_cap(limit: Limit, queued: int) -> None:
    """Others use all of the limit from the moment of the count."""
    for age_s in range(int(COUNT_GOOD_FOR_S) + 1, 700):
        if Counted(queued, at_s=0.0).is_good(age_s, limit):
            assert queued + limit.burst + age_s / limit.interval_s < QUEUED_MAX


def test_beyond_the_cap_nothing_is_accepted_until_something_has_left(small: World) -> None:
    ids = fill(small, 10)
    before = small.store.commits
    assert is_full(small.send("one too many"))
    assert small.store.commits == before
    small.settle(ids[0], state="sent")
    assert not is_full(small.send("there is room"))
    assert is_full(small.send("and none"))


def test_messages_for_later_take_room_as_well(small: World) -> None:
    for _ in range(10):
        small.send(options={"send_at": "2026-03-01T13:00:00Z"})
    assert is_full(small.send("now"))


def test_a_repeat_is_answered_when_the_queue_is_full(small: World) -> None:
    first = small.send(**{"Idempotency-Key": "order-1"}).get_json()
    fill(small, 9)
    assert is_full(small.send("new"))
    assert small.send(**{"Idempotency-Key": "order-1"}).get_json() == first


def test_every_session_has_a_queue_of_its_own(small: World) -> None:
    small.add_session("other")
    fill(small, 10)
    assert not is_full(small.send(session="other"))


def test_far_from_the_cap_one_count_serves_five_seconds(small: World) -> None:
    fill(small, 4)
    assert small.store.counts == 1
    small.clock.advance(5)
    fill(small, 1)
    assert small.store.counts == 1
    small.clock.advance(0.1)
    fill(small, 1)
    assert small.store.counts == 2


def test_under_the_usual_limit_one_count_serves_ten_minutes(world: World) -> None:
    world.add_session(state="connected", code="connected", phone="14155550100")
    fill(world, 1)
    world.clock.advance(600)
    fill(world, 1)
    assert world.store.counts == 1
    world.clock.advance(0.1)
    fill(world, 1)
    assert world.store.counts == 2


def test_near_the_cap_every_message_is_counted_for(small: World) -> None:
    fill(small, 5)
    assert small.store.counts == 1  # It counts on by itself, so it notices when it comes near.
    fill(small, 4)
    assert small.store.counts == 5


def test_a_burst_from_empty_to_full_within_five_seconds_is_stopped_at_the_cap(small: World) -> None:
    answers = [small.send(f"text {n}") for n in range(15)]
    assert [is_full(answer) for answer in answers] == [False] * 10 + [True] * 5


def test_many_at_once_do_not_pass_the_cap_together(small: World) -> None:
    fill(small, 8)
    answers: list[Any] = []

    def send(number: int) -> None:
        body = {"session_id": "shop", "to": "+14155550123", "text": f"at once {number}"}
        client = small.process.app.test_client()
        answers.append(client.post("/api/messages/send", json=body, headers=small.anna))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [is_full(answer) for answer in answers].count(False) == 2
    assert len(small.all_in(outbox.OUTBOX)) == 10


def test_of_two_who_counted_at_the_same_moment_one_gets_the_last_place(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one's count is older than the first one's commit."""
    fill(small, 9)
    store, count = small.store, small.store.count
    others: list[Any] = []

    async def slow_count(query: Query) -> int:
        counted = await count(query)
        if not others:
            others.append(None)
            others[0] = await small.process.services.messages.send(
                "anna", "shop", "+14155550123", text_content("the other"), None, SendOptions()
            )
        return counted

    monkeypatch.setattr(store, "count", slow_count)
    assert is_full(small.send("counted before the other was accepted"))
    assert others[0].message.text == "the other"
    assert len(small.all_in(outbox.OUTBOX)) == 10


def test_a_refused_commit_gives_its_place_back(small: World) -> None:
    fill(small, 9)
    small.store.conflicts = 1
    assert small.send("unlucky").status_code == 503
    assert not is_full(small.send("lucky"))


def test_when_the_queue_cannot_be_counted_nothing_is_accepted(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(self: FaultyDocuments, query: Query) -> int:
        raise StoreUnavailable("no count today")

    monkeypatch.setattr(FaultyDocuments, "count", down)
    answer = small.send()
    assert (answer.status_code, error_code(answer)) == (503, "store_unavailable")
    assert small.all_in(outbox.OUTBOX) == []


def test_only_so_many_queues_are_remembered(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_room, "REMEMBERED_ACCOUNTS_MAX", 1)
    small.add_session("other")
    for session in ("shop", "other", "shop"):
        small.send(session=session)
    assert small.store.counts == 3
