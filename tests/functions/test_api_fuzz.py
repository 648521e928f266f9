"""No request, whether it fits the description or not, has a server error or an answer that is not described.

A few thousand requests, the same in each run of the suite; `make fuzz-api` makes many more, other ones each time.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from keepline_functions import openapi

from .described import blank_app
from .fuzzing import CHECKS, Target, narrowed
from .seeded import OF_FILES, Seeded
from .support import METRICS_TOKEN, World

DOCUMENT = openapi.document(blank_app())
TARGET = Target()
THOROUGH = settings.get_current_profile_name() == "fuzz"
SCHEMA = narrowed(DOCUMENT, TARGET, thorough=THOROUGH).exclude(operation_id=list(OF_FILES))
IN_THE_SUITE = settings(max_examples=40, derandomize=True, database=None)


@pytest.fixture
def seeded(request: Any, world: World, monkeypatch: pytest.MonkeyPatch) -> Seeded:
    """One world for all requests of an operation."""
    method, path = request.node.operation_label.split(" ")
    TARGET.seeded = Seeded(world, monkeypatch, DOCUMENT["paths"][path][method.lower()]["operationId"])
    return TARGET.seeded


@SCHEMA.parametrize()
@settings(
    settings.get_profile("fuzz") if THOROUGH else IN_THE_SUITE,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_described_and_none_is_a_server_error(case: schemathesis.Case, seeded: Seeded) -> None:
    operator = case.operation.path == "/metrics"
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"} if operator else seeded.world.anna
    case.call_and_validate(headers=headers, checks=CHECKS)
