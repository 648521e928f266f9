"""`/api/webhooks`: create, list, look, change, delete; a new secret, a test call, the log of deliveries, replay."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.domain.webhook_policy import DeliveryState
from keepline.records.api_keys import ADMIN
from keepline.usecases.webhooks import webhook_not_found
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.schemas import read_body, read_query
from keepline_functions.services import services
from keepline_functions.views import rfc3339
from keepline_functions.webhook_schemas import ChangeWebhook, CreateWebhook, ListDeliveries, ReplayDeliveries
from keepline_functions.webhook_views import delivery_json, test_json, webhook_json

# A receiver has 15 s to answer a test call; the API's own work comes on top.
TEST_TIMEOUT_S = 25.0

routes = Blueprint("webhooks", __name__)


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
def create() -> ResponseReturnValue:
    wanted = read_body(CreateWebhook, request).wanted()
    own_session(wanted.session_id)
    made = services().run(services().webhooks.create(caller().tenant, wanted))
    return jsonify(webhook_json(made.webhook) | {"secret": made.secret}), 201


@routes.get("/api/webhooks")
@needs(ADMIN)
def of_caller() -> ResponseReturnValue:
    found = services().run(services().webhooks.of_tenant(caller().tenant))
    return jsonify({"webhooks": [webhook_json(one) for one in found if caller().may_touch(one.session_id)]})


@routes.get("/api/webhooks/<webhook_id>")
@needs(ADMIN)
def look(webhook_id: str) -> ResponseReturnValue:
    return jsonify(webhook_json(services().run(services().webhooks.look(caller().tenant, webhook_id))))


@routes.patch("/api/webhooks/<webhook_id>")
@needs(ADMIN)
def change(webhook_id: str) -> ResponseReturnValue:
    changes = read_body(ChangeWebhook, request).changes()
    return jsonify(webhook_json(services().run(services().webhooks.change(caller().tenant, webhook_id, changes))))


@routes.delete("/api/webhooks/<webhook_id>")
@needs(ADMIN)
def delete(webhook_id: str) -> ResponseReturnValue:
    services().run(services().webhooks.delete(caller().tenant, webhook_id))
    return Response(status=204)


@routes.post("/api/webhooks/<webhook_id>/rotate-secret")
@needs(ADMIN)
def rotate_secret(webhook_id: str) -> ResponseReturnValue:
    made = services().run(services().webhooks.rotate_secret(caller().tenant, webhook_id))
    return jsonify(webhook_json(made.webhook) | {"secret": made.secret})


@routes.post("/api/webhooks/<webhook_id>/test")
@needs(ADMIN)
def test(webhook_id: str) -> ResponseReturnValue:
    testing = services().webhooks.test(caller().tenant, webhook_id)
    return jsonify(test_json(*services().run(testing, TEST_TIMEOUT_S)))


@routes.get("/api/webhooks/<webhook_id>/deliveries")
@needs(ADMIN)
def deliveries(webhook_id: str) -> ResponseReturnValue:
    query = read_query(ListDeliveries, request)
    state = DeliveryState(query.state) if query.state else None
    listing = services().webhooks.deliveries(caller().tenant, webhook_id, state, query.limit, query.before)
    shown, next_before = services().run(listing)
    return jsonify(
        {
            "deliveries": [delivery_json(delivery) for delivery in shown],
            "next_before": rfc3339(next_before) if next_before else None,
        }
    )


@routes.post("/api/webhooks/<webhook_id>/replay")
@needs(ADMIN)
def replay(webhook_id: str) -> ResponseReturnValue:
    events = read_body(ReplayDeliveries, request, may_be_empty=True).events
    replaying = services().webhooks.replay(caller().tenant, webhook_id, events)
    return jsonify({"replayed": services().run(replaying, TEST_TIMEOUT_S)}), 202
