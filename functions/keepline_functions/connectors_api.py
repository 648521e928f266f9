"""`/api/connectors`: for the operator, which connectors there are, where devices live, and taking one out of use."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from keepline.records.api_keys import OPERATOR
from keepline.usecases.connector_list import ConnectorDetails
from keepline_functions.answers import ConnectorDetailsJson, ConnectorsJson
from keepline_functions.auth import needs
from keepline_functions.describing import Described, Tag
from keepline_functions.services import services
from keepline_functions.views import connector_json

routes = Blueprint("connectors", __name__)


@routes.get("/api/connectors")
@needs(OPERATOR)
@Described(Tag.OPERATING, "list_connectors", "List the installation's connectors", answers={200: ConnectorsJson})
def of_installation() -> ResponseReturnValue:
    """Each with the devices that it holds, as its newest heartbeat has them."""
    found = services().run(services().connector_list.look())
    shown: ConnectorsJson = {"connectors": [_details_json(one) for one in found]}
    return jsonify(shown)


@routes.post("/api/connectors/<connector>/drain")
@needs(OPERATOR)
@Described(
    Tag.OPERATING,
    "drain_connector",
    "Take a connector out of use",
    answers={200: ConnectorDetailsJson},
    errors=("connector_not_found",),
)
def drain(connector: str) -> ResponseReturnValue:
    """It takes no more devices and gives those that it has to others, one after another. It goes on running."""
    return _drained(connector, wanted=True)


@routes.post("/api/connectors/<connector>/undrain")
@needs(OPERATOR)
@Described(
    Tag.OPERATING,
    "undrain_connector",
    "Take a connector back into use",
    answers={200: ConnectorDetailsJson},
    errors=("connector_not_found",),
)
def undrain(connector: str) -> ResponseReturnValue:
    """It takes devices again."""
    return _drained(connector, wanted=False)


def _drained(connector: str, *, wanted: bool) -> ResponseReturnValue:
    return jsonify(_details_json(services().run(services().connector_list.drain(connector, wanted=wanted))))


def _details_json(one: ConnectorDetails) -> ConnectorDetailsJson:
    return {
        **connector_json(one.view),
        "capacity": one.view.capacity,
        "queued": one.view.queued,
        "devices": [
            {
                "user_id": device.tenant,
                "session_id": device.session_id,
                "slot": device.slot,
                "queued": device.queued,
                "quality": device.quality,
            }
            for device in one.devices
        ],
    }
