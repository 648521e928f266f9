"""`/api/webhooks`: create, list, look, change, delete; a new secret, a test call, the log of deliveries, replay."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.domain.webhook_policy import DeliveryState
from keepline.records.api_keys import ADMIN
from keepline.usecases.webhooks import webhook_not_found
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.describing import Described, Tag
from keepline_functions.schemas import read_body, read_query
from keepline_functions.services import services
from keepline_functions.views import rfc3339
from keepline_functions.webhook_answers import (
    DeliveriesJson,
    MadeWebhookJson,
    ReplayedJson,
    WebhookJson,
    WebhooksJson,
    WebhookTestJson,
)
from keepline_functions.webhook_schemas import ChangeWebhook, CreateWebhook, ListDeliveries, ReplayDeliveries
from keepline_functions.webhook_views import delivery_json, made_webhook_json, test_json, webhook_json

# A receiver has 15 s to answer a test call; the API's own work comes on top.
TEST_TIMEOUT_S = 25.0

routes = Blueprint("webhooks", __name__)

_ERRORS = ("webhook_not_found",)
_SETTING_ERRORS = ("bad_webhook_url", "webhook_url_not_allowed", "bad_event", "bad_header")
_SEALING_ERRORS = ("no_sealing_key", "key_unavailable", "busy")


@routes.before_request
def _check_own() -> None:
    """Whichever route names a webhook: a key for some sessions finds those of its sessions only. Raises NotFound."""
    webhook_id = (request.view_args or {}).get("webhook_id")
    if webhook_id is None or caller().sessions is None:
        return
    found = services().run(services().webhooks.look(caller().tenant, webhook_id))
    if not caller().may_touch(found.session_id):
        raise webhook_not_found()


@routes.post("/api/webhooks")
@needs(ADMIN)
@Described(
    Tag.WEBHOOKS,
    "create_webhook",
    "Create a webhook",
    body=CreateWebhook,
    examples={"messages": {"url": "https://example.com/keepline", "events": ["message", "message.ack"]}},
    answers={201: MadeWebhookJson},
    errors=(
        *("session_not_allowed", "session_not_found", "bad_session_id", "bad_user_id", "webhook_limit"),
        *_SETTING_ERRORS,
        *_SEALING_ERRORS,
    ),
)
def create() -> ResponseReturnValue:
    """It is told of what happens from now on. This answer has its `secret`, and no later one shows it again."""
    wanted = read_body(CreateWebhook, request).wanted()
    own_session(wanted.session_id)
    made = services().run(services().webhooks.create(caller().tenant, wanted))
    return jsonify(made_webhook_json(made)), 201


@routes.get("/api/webhooks")
@needs(ADMIN)
@Described(Tag.WEBHOOKS, "list_webhooks", "List your webhooks", answers={200: WebhooksJson})
def of_caller() -> ResponseReturnValue:
    found = services().run(services().webhooks.of_tenant(caller().tenant))
    shown: WebhooksJson = {
        "webhooks": [webhook_json(webhook) for webhook in found if caller().may_touch(webhook.session_id)]
    }
    return jsonify(shown)


@routes.get("/api/webhooks/<webhook_id>")
@needs(ADMIN)
@Described(Tag.WEBHOOKS, "get_webhook", "Look at a webhook", answers={200: WebhookJson}, errors=_ERRORS)
def look(webhook_id: str) -> ResponseReturnValue:
    """Its settings, and how its endpoint fares."""
    return jsonify(webhook_json(services().run(services().webhooks.look(caller().tenant, webhook_id))))


@routes.patch("/api/webhooks/<webhook_id>")
@needs(ADMIN)
@Described(
    Tag.WEBHOOKS,
    "change_webhook",
    "Change a webhook",
    body=ChangeWebhook,
    examples={"switch it off": {"enabled": False}},
    answers={200: WebhookJson},
    errors=(*_ERRORS, *_SETTING_ERRORS, *_SEALING_ERRORS, "secrets_unreadable"),
)
def change(webhook_id: str) -> ResponseReturnValue:
    """What is not there stays. What happens while it is switched off is not told later."""
    changes = read_body(ChangeWebhook, request).changes()
    return jsonify(webhook_json(services().run(services().webhooks.change(caller().tenant, webhook_id, changes))))


@routes.delete("/api/webhooks/<webhook_id>")
@needs(ADMIN)
@Described(Tag.WEBHOOKS, "delete_webhook", "Delete a webhook", answers={204: None}, errors=(*_ERRORS, "busy"))
def delete(webhook_id: str) -> ResponseReturnValue:
    """What waits for it is not delivered any more."""
    services().run(services().webhooks.delete(caller().tenant, webhook_id))
    return Response(status=204)


@routes.post("/api/webhooks/<webhook_id>/rotate-secret")
@needs(ADMIN)
@Described(
    Tag.WEBHOOKS,
    "rotate_webhook_secret",
    "Replace a webhook's secret",
    answers={200: MadeWebhookJson},
    errors=(*_ERRORS, *_SEALING_ERRORS, "secrets_unreadable"),
)
def rotate_secret(webhook_id: str) -> ResponseReturnValue:
    """For a day calls are signed by the one before it as well."""
    made = services().run(services().webhooks.rotate_secret(caller().tenant, webhook_id))
    return jsonify(made_webhook_json(made))


@routes.post("/api/webhooks/<webhook_id>/test")
@needs(ADMIN)
@Described(
    Tag.WEBHOOKS,
    "test_webhook",
    "Call a webhook's endpoint now",
    answers={200: WebhookTestJson},
    errors=(*_ERRORS, *_SEALING_ERRORS, "secrets_unreadable"),
)
def test(webhook_id: str) -> ResponseReturnValue:
    """Once, with an event of the type `test`. What it answered is here; it can take 15 s."""
    testing = services().webhooks.test(caller().tenant, webhook_id)
    return jsonify(test_json(*services().run(testing, TEST_TIMEOUT_S)))


@routes.get("/api/webhooks/<webhook_id>/deliveries")
@needs(ADMIN)
@Described(
    Tag.WEBHOOKS,
    "list_deliveries",
    "Read a webhook's log",
    query=ListDeliveries,
    answers={200: DeliveriesJson},
    errors=_ERRORS,
)
def deliveries(webhook_id: str) -> ResponseReturnValue:
    """The newest first, in pages. What was delivered or given up is kept for 14 days."""
    query = read_query(ListDeliveries, request)
    state = DeliveryState(query.state) if query.state else None
    listing = services().webhooks.deliveries(caller().tenant, webhook_id, state, query.limit, query.before)
    shown, next_before = services().run(listing)
    page: DeliveriesJson = {
        "deliveries": [delivery_json(delivery) for delivery in shown],
        "next_before": rfc3339(next_before) if next_before else None,
    }
    return jsonify(page)


@routes.post("/api/webhooks/<webhook_id>/replay")
@needs(ADMIN)
@Described(
    Tag.WEBHOOKS,
    "replay_deliveries",
    "Deliver dead letters after all",
    body=ReplayDeliveries,
    body_may_be_empty=True,
    examples={"all": {}},
    answers={202: ReplayedJson},
    errors=(*_ERRORS, "delivery_not_found", "not_dead", "busy"),
)
def replay(webhook_id: str) -> ResponseReturnValue:
    """With the ids that they had, behind what their chats have waiting; up to 200 of them without a body."""
    events = read_body(ReplayDeliveries, request, may_be_empty=True).events
    replaying = services().webhooks.replay(caller().tenant, webhook_id, events)
    shown: ReplayedJson = {"replayed": services().run(replaying, TEST_TIMEOUT_S)}
    return jsonify(shown), 202
