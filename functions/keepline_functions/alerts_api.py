"""`/api/alerts`: what needs somebody, who is told of it, and from when on."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import ADMIN, OPERATOR, READ
from keepline.usecases.alerts import alert_not_found
from keepline_functions.alert_answers import (
    AlertJson,
    AlertSettingsJson,
    AlertsJson,
    ChannelJson,
    ChannelsJson,
    ChannelTestJson,
)
from keepline_functions.alert_schemas import ChangeAlertSettings, CreateChannel, ListAlerts, OwnerOfAlerts
from keepline_functions.alert_views import alert_json, channel_json, settings_json, test_json
from keepline_functions.auth import caller, needs
from keepline_functions.describing import Described, Tag
from keepline_functions.schemas import read_body, read_query
from keepline_functions.services import services
from keepline_functions.views import rfc3339

# A channel has 20 s to take a test; the API's own work comes on top.
TEST_TIMEOUT_S = 30.0

routes = Blueprint("alerts", __name__)

_OWNER_ERRORS = ("session_not_allowed",)


@routes.get("/api/alerts")
@needs(READ)
@Described(Tag.ALERTS, "list_alerts", "List alerts", query=ListAlerts, answers={200: AlertsJson}, errors=_OWNER_ERRORS)
def of_caller() -> ResponseReturnValue:
    """The newest first, in pages. Closed ones are kept for 90 days."""
    query = read_query(ListAlerts, request)
    tenant = _owner(query)
    listing = services().alerts.of_owner(tenant, query.state, query.before, query.limit)
    found, next_before = services().run(listing)
    page: AlertsJson = {
        "alerts": [alert_json(alert) for alert in found if _may_see(alert.condition.session_id)],
        "next_before": rfc3339(next_before) if next_before else None,
    }
    return jsonify(page)


@routes.post("/api/alerts/<alert_id>/acknowledge")
@needs(ADMIN)
@Described(
    Tag.ALERTS,
    "acknowledge_alert",
    "Look after an alert",
    query=OwnerOfAlerts,
    answers={200: AlertJson},
    errors=(*_OWNER_ERRORS, "alert_not_found", "busy"),
)
def acknowledge(alert_id: str) -> ResponseReturnValue:
    """Nobody is reminded of it any more. It closes by itself when the condition has ended."""
    tenant = _owner(read_query(OwnerOfAlerts, request))
    kept = services().run(services().alerts.look(tenant, alert_id))
    if not _may_see(kept.alert.condition.session_id):
        raise alert_not_found()
    acknowledging = services().alerts.acknowledge(tenant, alert_id, caller().tenant)
    return jsonify(alert_json(services().run(acknowledging)))


@routes.get("/api/alerts/settings")
@needs(READ)
@Described(
    Tag.ALERTS,
    "get_alert_settings",
    "Thresholds and quiet hours",
    query=OwnerOfAlerts,
    answers={200: AlertSettingsJson},
    errors=_OWNER_ERRORS,
)
def settings() -> ResponseReturnValue:
    """Each threshold with what it may be."""
    tenant = _owner(read_query(OwnerOfAlerts, request))
    return jsonify(settings_json(services().run(services().alerts.settings(tenant))))


@routes.patch("/api/alerts/settings")
@needs(ADMIN)
@Described(
    Tag.ALERTS,
    "change_alert_settings",
    "Change thresholds and quiet hours",
    query=OwnerOfAlerts,
    body=ChangeAlertSettings,
    examples={
        "quiet nights": {
            "thresholds": {"disconnects_per_hour": 20},
            "quiet_hours": {"begins": "22:00", "ends": "07:00", "time_zone": "Europe/Bucharest"},
        }
    },
    answers={200: AlertSettingsJson},
    errors=(*_OWNER_ERRORS, "bad_threshold", "bad_quiet_hours"),
)
def change_settings() -> ResponseReturnValue:
    """In quiet hours only what is critical is told; the rest is gathered and told after them."""
    tenant = _owner(read_query(OwnerOfAlerts, request))
    caller().require_all_sessions()
    body = read_body(ChangeAlertSettings, request)
    changing = services().alerts.change_settings(tenant, body.thresholds, body.quiet())
    return jsonify(settings_json(services().run(changing)))


@routes.post("/api/alerts/channels")
@needs(ADMIN)
@Described(
    Tag.ALERTS,
    "create_alert_channel",
    "Have somebody told of alerts",
    query=OwnerOfAlerts,
    body=CreateChannel,
    examples={"mail": {"name": "On call", "url": "mailtos://name:password@example.com?to=me@example.com"}},
    answers={201: ChannelJson},
    errors=(
        *_OWNER_ERRORS,
        *("bad_channel_url", "channel_url_not_allowed", "channel_limit", "webhook_not_found"),
        *("no_sealing_key", "key_unavailable"),
    ),
)
def create_channel() -> ResponseReturnValue:
    """By mail, chat or SMS through Apprise, or by a webhook. The address is sealed; no answer shows it again."""
    tenant = _owner(read_query(OwnerOfAlerts, request))
    caller().require_all_sessions()
    wanted = read_body(CreateChannel, request).wanted()
    made = services().run(services().alerts.add_channel(tenant, caller().tenant, wanted))
    return jsonify(channel_json(made)), 201


@routes.get("/api/alerts/channels")
@needs(ADMIN)
@Described(
    Tag.ALERTS,
    "list_alert_channels",
    "Who is told of alerts",
    query=OwnerOfAlerts,
    answers={200: ChannelsJson},
    errors=_OWNER_ERRORS,
)
def channels() -> ResponseReturnValue:
    """The oldest first, each with how it fares."""
    tenant = _owner(read_query(OwnerOfAlerts, request))
    caller().require_all_sessions()
    found = services().run(services().alerts.channels(tenant))
    shown: ChannelsJson = {"channels": [channel_json(channel) for channel in found]}
    return jsonify(shown)


@routes.delete("/api/alerts/channels/<channel_id>")
@needs(ADMIN)
@Described(
    Tag.ALERTS,
    "delete_alert_channel",
    "Tell a channel nothing more",
    query=OwnerOfAlerts,
    answers={204: None},
    errors=(*_OWNER_ERRORS, "channel_not_found"),
)
def delete_channel(channel_id: str) -> ResponseReturnValue:
    tenant = _owner(read_query(OwnerOfAlerts, request))
    caller().require_all_sessions()
    services().run(services().alerts.remove_channel(tenant, channel_id))
    return Response(status=204)


@routes.post("/api/alerts/channels/<channel_id>/test")
@needs(ADMIN)
@Described(
    Tag.ALERTS,
    "test_alert_channel",
    "Tell a channel something now",
    query=OwnerOfAlerts,
    answers={200: ChannelTestJson},
    errors=(*_OWNER_ERRORS, "channel_not_found"),
)
def test_channel(channel_id: str) -> ResponseReturnValue:
    """Whether it took it. Of a webhook only that it is there and switched on: it has a test of its own."""
    tenant = _owner(read_query(OwnerOfAlerts, request))
    caller().require_all_sessions()
    telling = services().run(services().alerts.test_channel(tenant, channel_id), TEST_TIMEOUT_S)
    return jsonify(test_json(telling))


def _owner(query: OwnerOfAlerts) -> str | None:
    """Whose alerts; None for the installation's. Raises Forbidden."""
    if not query.installation:
        return caller().tenant
    caller().require(OPERATOR)
    caller().require_all_sessions()
    return None


def _may_see(session_id: str | None) -> bool:
    return caller().sessions is None or caller().may_touch(session_id)
