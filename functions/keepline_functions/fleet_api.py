"""`GET /api/fleet`: the whole installation, for operators; what `make status` and the console's overview show."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import OPERATOR
from keepline.usecases.fleet import ConnectorView, FleetView
from keepline_functions.auth import needs
from keepline_functions.describing import Described, Tag
from keepline_functions.fleet_answers import FleetConnectorJson, FleetJson
from keepline_functions.services import services
from keepline_functions.views import rfc3339

routes = Blueprint("fleet", __name__)

# Somebody looks at it live; a look costs a read for each connector and one for each state.
AGE_S_MAX = 2.0


@routes.get("/api/fleet")
@needs(OPERATOR)
@Described(Tag.OPERATING, "get_fleet", "See the whole installation", answers={200: FleetJson})
def fleet() -> ResponseReturnValue:
    """Everybody's sessions by state, what waits, and each connector."""
    return jsonify(_fleet_json(services().run(services().fleet.look(AGE_S_MAX))))


def _fleet_json(view: FleetView) -> FleetJson:
    return {
        "at": rfc3339(view.at),
        "sessions": {state.value: count for state, count in view.sessions.items()},
        "queue": {
            "queued": sum(one.queued for one in view.connectors),
            "oldest_queued_s": round(max((one.oldest_queued_s for one in view.connectors), default=0.0), 1),
        },
        "connectors": [_connector_json(one) for one in view.connectors],
    }


def _connector_json(one: ConnectorView) -> FleetConnectorJson:
    return {
        "id": one.id,
        "region": one.region,
        "state": "stopped" if one.stopped else "silent" if one.silent else "alive",
        "heartbeat_age_s": round(one.beat_age_s, 1),
        "draining": one.draining,
        "capacity": one.capacity,
        "devices": one.devices,
        "poor_devices": one.poor_devices,
        "held_devices": one.held_devices,
        "queued": one.queued,
        "oldest_queued_s": round(one.oldest_queued_s, 1),
    }
