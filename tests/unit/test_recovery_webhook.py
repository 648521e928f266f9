"""Restarting by a webhook: the order is signed, has the same name when it is repeated, and the answer says what became of it."""

from __future__ import annotations

import json

import pytest

from keepline.adapters.recovery_webhook import WebhookRestarter
from keepline.domain import webhook_signing
from keepline.domain.recovery import Reason, StepState, Way
from keepline.domain.webhook_signing import Secret
from keepline.ports.recovery import Order
from keepline.ports.webhook_calls import Answer
from keepline.testing.clock import LoopClock
from keepline.testing.webhook_calls import MemoryReceiver

SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
ORDER = Order(
    *("r1_1_restart", "r1", "connector_c1", "c1", "connector", Way.RESTART, 1, Reason.DOWN),
    {"provider": "webhook", "url": "https://ops.example/restart"},
)


async def test_the_order_is_signed_and_says_what_is_to_be_restarted() -> None:
    receiver, clock = MemoryReceiver(), LoopClock()
    assert (await WebhookRestarter(receiver, SECRET, clock).carry_out(ORDER)).state is StepState.DONE
    [call] = receiver.calls
    assert call.url == "https://ops.example/restart"
    assert call.headers["webhook-id"] == "r1_1_restart"
    stamp = clock.now().fromtimestamp(int(call.headers["webhook-timestamp"]), tz=clock.now().tzinfo)
    signed = webhook_signing.headers([SECRET], "r1_1_restart", stamp, call.body)
    assert call.headers["webhook-signature"] == signed["webhook-signature"]
    said = json.loads(call.body)
    assert said["type"] == "recovery.restart"
    assert said["data"] == {
        "recovery": "r1",
        "target": "connector_c1",
        "name": "c1",
        "kind": "connector",
        "attempt": 1,
        "reason": "down",
    }


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, StepState.DONE), (202, StepState.DONE), (501, StepState.NOT_OFFERED), (500, StepState.FAILED)],
)
async def test_the_answer_says_what_became_of_it(status: int, state: StepState) -> None:
    receiver = MemoryReceiver()
    receiver.will_answer(status)
    outcome = await WebhookRestarter(receiver, SECRET, LoopClock()).carry_out(ORDER)
    assert (outcome.state, outcome.detail) == (state, f"answered {status}")


async def test_no_answer_is_a_failure_with_its_cause() -> None:
    receiver = MemoryReceiver()
    receiver.answers = [Answer(None, "timeout", 15_000)]
    outcome = await WebhookRestarter(receiver, SECRET, LoopClock()).carry_out(ORDER)
    assert (outcome.state, outcome.detail) == (StepState.FAILED, "no answer: timeout")


async def test_calling_off_names_the_way_and_is_an_event_of_its_own() -> None:
    receiver = MemoryReceiver()
    receiver.will_answer(200, 501)
    restarter = WebhookRestarter(receiver, SECRET, LoopClock())
    assert await restarter.call_off(ORDER)
    assert not await restarter.call_off(ORDER)
    said = json.loads(receiver.calls[0].body)
    assert (said["type"], said["data"]["way"]) == ("recovery.cancel", "restart")
    assert receiver.calls[0].headers["webhook-id"] == "r1_1_restart_cancel"
