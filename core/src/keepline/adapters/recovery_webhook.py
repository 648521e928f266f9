"""Restarting by a webhook: a signed POST to whatever can do it, as Keepline's other webhooks are (Standard Webhooks).

Answers: 2xx, it is done or taken on; 501, there is no such way; anything else, it failed. A repeated order has the same
`webhook-id`. A way that is called off is told of by `recovery.cancel`.
"""

from __future__ import annotations

import json
from typing import Any

from keepline.domain import webhook_signing
from keepline.domain.recovery import StepState
from keepline.domain.webhook_signing import Secret
from keepline.ports.clock import Clock
from keepline.ports.recovery import Order, Outcome
from keepline.ports.webhook_calls import Answer, WebhookCaller

_NOT_IMPLEMENTED = 501


class WebhookRestarter:
    """An order's settings have `url`. `secret` (`whsec_…`) is the installation's for all its recoveries."""

    # Whatever is behind it may do so; it cannot be known.
    replaces_before_ending = False

    def __init__(self, caller: WebhookCaller, secret: Secret, clock: Clock) -> None:
        self._caller = caller
        self._secret = secret
        self._clock = clock

    async def carry_out(self, order: Order) -> Outcome:
        answer = await self._post(order, f"recovery.{order.way}", order.key, {})
        if answer.status is None:
            return Outcome(StepState.FAILED, f"no answer: {answer.error}")
        said = f"answered {answer.status}"
        if answer.status == _NOT_IMPLEMENTED:
            return Outcome(StepState.NOT_OFFERED, said)
        return Outcome(StepState.DONE if 200 <= answer.status < 300 else StepState.FAILED, said)

    async def call_off(self, order: Order) -> bool:
        answer = await self._post(order, "recovery.cancel", f"{order.key}_cancel", {"way": order.way.value})
        return answer.status is not None and 200 <= answer.status < 300

    async def _post(self, order: Order, event_type: str, event_id: str, more: dict[str, Any]) -> Answer:
        now = self._clock.now()
        about = {
            "recovery": order.recovery,
            "target": order.target,
            "name": order.name,
            "kind": order.kind,
            "attempt": order.attempt,
            "reason": order.reason.value,
            **more,
        }
        timestamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = json.dumps({"type": event_type, "timestamp": timestamp, "data": about}).encode()
        signed = webhook_signing.headers([self._secret], event_id, now, body)
        headers = {"content-type": "application/json", "user-agent": "Keepline-Webhooks/1"}
        return await self._caller.post(str(order.settings.get("url", "")), headers | signed, body)
