"""Webhooks' pure parts: signatures, pauses, giving up, the breaker, and which changes are which events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keepline.domain.message import MessageState
from keepline.domain.webhook_events import MessageFacts, of_message
from keepline.domain.webhook_policy import (
    FAILURES_BEFORE_REST,
    GIVEN_UP_AFTER_S,
    Breaker,
    Verdict,
    is_given_up,
    judge,
    pause_s,
)
from keepline.domain.webhook_signing import Secret, headers, new_secret, rotated

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# The vector that Standard Webhooks' reference libraries test themselves by.
VECTOR = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
VECTOR_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_AT = datetime.fromtimestamp(1614265330, UTC)
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_standard_webhooks_vector() -> None:
    assert headers([VECTOR], VECTOR_ID, VECTOR_AT, VECTOR_BODY) == {
        "webhook-id": VECTOR_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": VECTOR_SIGNATURE,
    }


def test_while_a_secret_is_replaced_both_sign_and_then_only_the_new_one() -> None:
    secrets = rotated([VECTOR], new_secret(b"\x01" * 32), VECTOR_AT)
    both = headers(secrets, VECTOR_ID, VECTOR_AT, VECTOR_BODY)["webhook-signature"].split(" ")
    assert len(both) == 2
    assert both[1] == VECTOR_SIGNATURE
    later = headers(secrets, VECTOR_ID, VECTOR_AT + timedelta(days=1), VECTOR_BODY)
    assert len(later["webhook-signature"].split(" ")) == 1
    # Replaced twice in a day, the oldest has ended: a secret that leaked must go.
    again = rotated(secrets, new_secret(b"\x02" * 32), VECTOR_AT)
    assert VECTOR.text not in [secret.text for secret in again]
    assert "whsec" not in repr(again)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (301, Verdict.FAILED),
        (307, Verdict.FAILED),
        (400, Verdict.FAILED),
        (410, Verdict.GONE),
        (500, Verdict.FAILED),
        (None, Verdict.FAILED),
    ],
)
def test_only_2xx_is_a_delivery(status: int | None, verdict: Verdict) -> None:
    assert judge(status) is verdict


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_tries_go_on_for_at_least_24_hours(jitter: float) -> None:
    waited_s, tries = 0.0, 1
    while not is_given_up(NOON, NOON, NOON + timedelta(seconds=waited_s)):
        waited_s += pause_s(tries, jitter)
        tries += 1
    assert waited_s >= 24 * 3600
    assert waited_s <= GIVEN_UP_AFTER_S + pause_s(99, 1.0)
    assert 10 <= tries <= 20
    assert pause_s(1, jitter) <= 6


def test_what_was_queued_while_its_endpoint_failed_has_its_own_whole_time() -> None:
    failing_since = NOON - timedelta(days=3)
    assert not is_given_up(NOON, failing_since, NOON + timedelta(hours=25))
    assert is_given_up(NOON, failing_since, NOON + timedelta(hours=26))
    # Time in which nothing was tried is not held against an event.
    assert not is_given_up(NOON - timedelta(days=9), NOON, NOON + timedelta(hours=25))
    assert not is_given_up(NOON - timedelta(days=9), None, NOON)


def test_a_retry_after_is_heard_up_to_an_hour() -> None:
    assert pause_s(1, 0.0, 120) == 120
    assert pause_s(1, 0.0, 10**6) == 3600
    assert pause_s(8, 0.0, 5) == 14_400


def test_after_many_failures_in_a_row_an_endpoint_rests_and_is_probed_by_one() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_BEFORE_REST - 1):
        breaker = breaker.failed(NOON, 0.0)
    assert not breaker.is_open
    breaker = breaker.failed(NOON, 0.0)
    assert breaker.is_open
    assert breaker.is_resting(NOON + timedelta(seconds=29))
    at = NOON + timedelta(seconds=30)
    assert not breaker.is_resting(at)
    assert breaker.probing(at).is_resting(at + timedelta(seconds=29))
    for _ in range(50):
        breaker = breaker.failed(at, 1.0)
    assert breaker.opened_at == NOON
    assert breaker.rests_until == at + timedelta(seconds=720)


def facts(**more: object) -> MessageFacts:
    base = MessageFacts("i_a", False, "in", "text", NOON, MessageState.DELIVERED, {}, {}, None)
    return replace(base, **more)  # type: ignore[arg-type]


def names(of: MessageFacts) -> list[str]:
    return [one.type.value + (f" {one.state.value}" if one.state else "") for one in of_message(of)]


def test_what_is_told_of_a_message_that_was_heard() -> None:
    assert names(facts()) == ["message", "message.any"]
    assert names(facts(direction="out")) == ["message.any"]
    assert names(facts(kind="reaction")) == ["message.reaction"]
    assert names(facts(kind="unreadable")) == []
    assert names(facts(edits={"b": NOON, "a": NOON}, revoked_at=NOON)) == [
        *("message", "message.any", "message.edited", "message.edited", "message.revoked"),
    ]


def test_what_is_told_of_a_message_of_the_api() -> None:
    later = NOON + timedelta(seconds=1)
    # A receipt's time is a phone's whole second, before that of our own acknowledgement.
    times = {"accepted": NOON, "sent": later, "delivered": NOON, "read": later}
    sent = facts(from_api=True, direction="out", times=times, state=MessageState.READ)
    assert names(sent) == ["message.any", "message.ack sent", "message.ack delivered", "message.ack read"]
    assert names(replace(sent, times={"accepted": NOON}, state=MessageState.QUEUED)) == []
    assert names(replace(sent, kind="reaction"))[0] == "message.reaction"
    # An edit is told of the message that it changes.
    assert names(replace(sent, kind="edit"))[0] == "message.ack sent"
    failed = replace(sent, times={"accepted": NOON, "failed": NOON}, state=MessageState.FAILED)
    assert names(failed) == ["message.ack failed"]
    arrived = replace(sent, times={"failed": NOON, "delivered": later}, state=MessageState.DELIVERED)
    assert names(arrived) == ["message.ack failed", "message.any", "message.ack delivered"]


def test_the_same_change_has_the_same_id_and_another_one_another() -> None:
    told = of_message(facts(edits={"a": NOON, "b": NOON}, revoked_at=NOON))
    again = of_message(facts(edits={"a": NOON, "b": NOON}, revoked_at=NOON))
    assert [one.event_id for one in told] == [one.event_id for one in again]
    assert len({one.event_id for one in told}) == len(told)
    # A dead letter that was replayed and failed again is told again.
    once = facts(from_api=True, times={"failed": NOON}, state=MessageState.FAILED)
    twice = replace(once, times={"failed": NOON + timedelta(hours=1)})
    assert of_message(once)[0].event_id != of_message(twice)[0].event_id
