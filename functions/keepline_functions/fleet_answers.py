"""What `GET /api/fleet` answers, for its description and for type checkers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from keepline_functions.answers import At, shape


@with_config(shape(queued=4, oldest_queued_s=1.2))
class FleetQueueJson(TypedDict):
    """What waits with all connectors together."""

    queued: int
    oldest_queued_s: float
    """How long the first of them has waited; 0 when nothing waits."""


@with_config(
    shape(
        id="connector-1",
        region="europe-west1",
        state="alive",
        heartbeat_age_s=0.4,
        draining=False,
        capacity=200,
        devices=3,
        poor_devices=0,
        held_devices=0,
        queued=4,
        oldest_queued_s=1.2,
    )
)
class FleetConnectorJson(TypedDict):
    """A connector as its newest heartbeat has it."""

    id: str
    region: str
    state: Literal["alive", "silent", "stopped"]
    """`silent`: its lease is over without its having said so."""
    heartbeat_age_s: float
    draining: bool
    capacity: int
    """How many devices it may hold."""
    devices: int
    poor_devices: int
    """How many of them have a poor connection."""
    held_devices: int
    """How many of them are held back by their pacing."""
    queued: int
    oldest_queued_s: float


@with_config(shape())
class FleetJson(TypedDict):
    """The installation at this moment, 2 s old at most."""

    at: At
    sessions: Annotated[dict[str, int], Field(examples=[{"connected": 3, "degraded": 0}])]
    """How many of everybody's sessions are in which state, as it was written last."""
    queue: FleetQueueJson
    connectors: list[FleetConnectorJson]
