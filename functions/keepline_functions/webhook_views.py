"""Webhooks and their deliveries as JSON. Secrets and the values of headers are not shown."""

from __future__ import annotations

from keepline.domain.webhook_policy import FAILURES_BEFORE_REST
from keepline.ports.webhook_calls import Answer
from keepline.records.webhooks import Delivery, Webhook
from keepline.usecases.webhooks import Secretive
from keepline_functions.answers import ReasonJson
from keepline_functions.views import rfc3339
from keepline_functions.webhook_answers import DeliveryJson, MadeWebhookJson, WebhookJson, WebhookTestJson

# Why Keepline has switched a webhook off, and what its owner can do.
_DISABLED: dict[str, ReasonJson] = {
    "gone": {
        "code": "gone",
        "sentence": "The receiver answered 410: it wants no more events.",
        "next_step": "Check the address; then switch the webhook on with PATCH and enabled true.",
    }
}


def webhook_json(webhook: Webhook) -> WebhookJson:
    """A webhook."""
    breaker = webhook.breaker
    return {
        "webhook_id": webhook.id,
        "session_id": webhook.session_id,
        "url": webhook.url,
        "events": sorted(webhook.events),
        "headers": list(webhook.headers),
        "enabled": webhook.enabled,
        "disabled": _DISABLED.get(webhook.disabled_because) if webhook.disabled_because else None,
        "endpoint": {
            "state": "resting" if breaker.is_open else "failing" if breaker.failures else "good",
            "failures": breaker.failures,
            "failures_before_rest": FAILURES_BEFORE_REST,
            "rests_until": rfc3339(breaker.rests_until) if breaker.rests_until else None,
        },
        "created_at": rfc3339(webhook.created_at),
    }


def made_webhook_json(made: Secretive) -> MadeWebhookJson:
    """A webhook with its new secret."""
    return {**webhook_json(made.webhook), "secret": made.secret}


def delivery_json(delivery: Delivery) -> DeliveryJson:
    """A delivery with its last tries."""
    return {
        "event_id": delivery.event_id,
        "type": delivery.type,
        "session_id": delivery.session_id,
        "chat": delivery.chat,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "queued_at": rfc3339(delivery.queued_at),
        "settled_at": rfc3339(delivery.settled_at) if delivery.settled_at else None,
        "tries": [
            {
                "at": rfc3339(one["at"]),
                "status": one["status"],
                "error": one["error"],
                "duration_ms": one["duration_ms"],
            }
            for one in delivery.tries
        ],
    }


def test_json(delivered: bool, answer: Answer) -> WebhookTestJson:
    """What became of a test call."""
    return {
        "delivered": delivered,
        "status": answer.status,
        "error": answer.error,
        "duration_ms": answer.duration_ms,
    }
