"""The send queue with a pace: what may be claimed when, and what is said of what waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keepline.domain.content.bodies import text_content
from keepline.domain.link_events import SendOutcome
from keepline.domain.pacing import DAY_S, NORMAL, OFF, TIME_LOCK_REST_S, Pacing, PacingProfile
from keepline.domain.send_queue import Outgoing, SendQueue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
YEAR_S = 365 * DAY_S


def rows(*chats: str) -> list[Outgoing]:
    times = [NOW + timedelta(milliseconds=n) for n in range(len(chats))]
    return [
        Outgoing(f"m{n}", chat, text_content("x"), at, at, at)
        for n, (chat, at) in enumerate(zip(chats, times, strict=True))
    ]


def queue_of(profile: PacingProfile, *chats: str) -> SendQueue:
    queue = SendQueue(10, "a", Pacing(profile, 0.0, age_s=YEAR_S))
    queue.offer(rows(*chats))
    return queue


def step(queue: SendQueue, now_s: float, outcome: SendOutcome | None = None) -> list[str]:
    """Claim what may go, hand it over with this outcome (sent, if none is given) and settle it. Returns the chats."""
    now = NOW + timedelta(seconds=now_s)
    plan = queue.plan(now, now_s, may_send=True)
    queue.claiming(plan, now_s, 0.5)
    queue.committed(plan, 1, [now] * len(plan.write))
    for row in plan.claim:
        queue.outcome(row, outcome or SendOutcome("sent", wa_message_id=f"W{row.message_id}"), now, now_s)
    settled = queue.plan(now, now_s, may_send=False)
    queue.committed(settled, 1, [now] * len(settled.write))
    queue.plan(now, now_s, may_send=True)  # what follows is looked at, and left
    return [row.chat for row in plan.claim]


def times_of(queue: SendQueue, count: int) -> list[float]:
    """When so many messages leave, if the queue is asked exactly when it says that something changes."""
    now_s, times = 0.0, []
    while len(times) < count:
        claimed = step(queue, now_s)
        times += [now_s] * len(claimed)
        if not claimed:
            next_s = queue.next_change_s(NOW + timedelta(seconds=now_s), now_s)
            assert next_s is not None, "nothing would ever wake it"
            now_s += next_s
    return times


def test_with_a_pace_messages_leave_one_by_one_with_pauses() -> None:
    queue = queue_of(NORMAL, "anna", "ben", "carl")
    for chat in ("anna", "ben", "carl"):
        queue.met(chat)
    first, second, third = times_of(queue, 3)
    assert first == 0
    assert 0.4 <= second <= 3.4
    assert 0.4 <= third - second <= 3.4


def test_without_a_pace_they_leave_together() -> None:
    assert times_of(queue_of(OFF, "anna", "ben", "carl"), 3) == [0, 0, 0]


def test_a_chat_that_is_not_known_waits_until_it_was_looked_up() -> None:
    queue = queue_of(NORMAL, "anna", "ben")
    assert queue.strangers_to_look_up(NOW, 0.0, 10) == ["anna", "ben"]
    assert step(queue, 0.0) == []
    queue.met("ben")
    assert queue.strangers_to_look_up(NOW, 0.0, 10) == ["anna"]
    assert step(queue, 0.0) == ["ben"]


def test_nobody_is_looked_up_where_it_does_not_matter() -> None:
    assert queue_of(OFF, "anna").strangers_to_look_up(NOW, 0.0, 10) == []


def test_first_contacts_wait_for_their_share_and_others_pass_them() -> None:
    queue = queue_of(NORMAL, "s1", "s2", "s3", "friend")
    for chat in ("s1", "s2", "s3"):
        queue.met(chat, stranger=True)
    queue.met("friend")
    assert [step(queue, at) for at in (0.0, 5.0, 10.0, 15.0)] == [["s1"], ["s2"], ["friend"], []]
    held = queue.held(15.0)
    assert held is not None
    assert (held.because, held.seconds) == ("first_contacts", pytest.approx(45.0))
    assert step(queue, 60.1) == ["s3"]
    assert queue.held(60.1) is None


def test_who_writes_to_us_is_no_stranger_any_more() -> None:
    queue = queue_of(NORMAL, "s1", "s2", "s3")
    for chat in ("s1", "s2", "s3"):
        queue.met(chat, stranger=True)
    assert [step(queue, at) for at in (0.0, 5.0, 10.0)] == [["s1"], ["s2"], []]
    queue.met("s3")
    assert step(queue, 10.0) == ["s3"]


@pytest.mark.parametrize("profile", [NORMAL, OFF], ids=lambda profile: profile.name)
def test_a_time_lock_fails_the_message_that_met_it_and_holds_back_other_strangers(profile: PacingProfile) -> None:
    queue = queue_of(profile, "s1", "friend")
    queue.met("s1", stranger=True)
    queue.met("friend")
    refused = SendOutcome("refused", error_code="wa_463")
    assert step(queue, 0.0, refused)[0] == "s1"
    queue.offer([*rows("s1", "friend")[1:], *rows("-", "-", "s2")[2:]])
    queue.met("s2", stranger=True)
    for at_s in (5.0, 10.0):
        assert step(queue, at_s) in (["friend"], [])
    held = queue.held(10.0)
    assert held is not None
    assert held.because == "time_lock"
    assert step(queue, TIME_LOCK_REST_S + 1) == ["s2"]


def test_a_rate_limit_lets_the_whole_account_rest() -> None:
    queue = queue_of(OFF, "anna", "ben")
    step(queue, 0.0, SendOutcome("refused", error_code="wa_429"))
    assert step(queue, 10.0) == []
    held = queue.held(10.0)
    assert held is not None
    assert held.because == "rate_limit"
    assert len(step(queue, 31.0)) == 2


def test_nothing_is_said_to_be_held_while_the_device_is_away() -> None:
    queue = queue_of(NORMAL, "anna")
    queue.met("anna")
    step(queue, 0.0)
    queue.offer(rows("anna", "anna"))
    step(queue, 0.1)
    assert queue.held(0.1) is not None
    queue.plan(NOW, 0.2, may_send=False)
    assert queue.held(0.2) is None


def test_a_group_is_no_first_contact_and_needs_no_look_up() -> None:
    queue = queue_of(NORMAL, "120363000000000000@g.us", "anna")
    assert queue.strangers_to_look_up(NOW, 0.0, 10) == ["anna"]
    assert step(queue, 0.0) == ["120363000000000000@g.us"]
