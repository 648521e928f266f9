"""`GET /metrics`: for Prometheus, with the operator's token."""

from __future__ import annotations

import contextlib

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST

from keepline.domain.errors import Unavailable
from keepline.ports.documents import StoreUnavailable
from keepline_functions.auth import METRICS, needs
from keepline_functions.describing import Described, Tag
from keepline_functions.services import services

routes = Blueprint("metrics", __name__)

_STORE_TIMEOUT_S = 5.0


@routes.get("/metrics")
@needs(METRICS)
@Described(Tag.OPERATING, "get_metrics", "Figures for Prometheus", answers={200: {"text/plain": str}})
def metrics() -> ResponseReturnValue:
    """For the operator, with the installation's metrics token. Where none is set there is no such page."""
    fleet = None
    # A store that does not answer is itself something to tell.
    with contextlib.suppress(StoreUnavailable, Unavailable):
        fleet = services().run(services().fleet.look(), _STORE_TIMEOUT_S)
    return Response(services().metrics.text(fleet), content_type=CONTENT_TYPE_LATEST)
