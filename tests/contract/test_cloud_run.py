"""What recovery asks of Cloud Run, recorded with Google's messages: new revisions of what is deployed, or last worked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.cloud import run_v2

from keepline.adapters import cloud_run
from keepline.adapters.cloud_run import CloudRunRestarter
from keepline.domain.recovery import Reason, StepState, Way
from keepline.ports.recovery import Order
from tests.google_apis.cloud_run import POOL, SERVICE, CloudRun

BROKEN_IMAGE = "example.pkg.dev/p/keepline/connector@sha256:" + "b" * 64


class World:
    def __init__(self, google: CloudRun, restarter: CloudRunRestarter) -> None:
        self.google = google
        self.restarter = restarter


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(cloud_run, "POLL_S", 0.01)
    google = CloudRun()
    async with google.clients() as clients:
        yield World(google, CloudRunRestarter(lambda: clients))


def order(way: Way, resource: str = POOL, key: str = "r1") -> Order:
    return Order(f"{key}_{way}", key, "connector_c1", "c1", "connector", way, 1, Reason.DOWN, {"resource": resource})


@pytest.mark.parametrize(("resource", "kind"), [(POOL, "WorkerPool"), (SERVICE, "Service")])
async def test_a_restart_is_a_new_revision_of_what_is_deployed(world: World, resource: str, kind: str) -> None:
    before = world.google.resources[resource].template.containers[0].image
    outcome = await world.restarter.carry_out(order(Way.RESTART, resource))
    assert (outcome.state, outcome.detail) == (StepState.DONE, "revision r-00002 is ready")
    asked = [call.method.rpartition("/")[2] for call in world.google.calls]
    assert asked == [f"Get{kind}", f"Update{kind}"]
    # Cloud Run is one name for all regions: without the location in its header a request finds no way.
    assert {call.location for call in world.google.calls} == {"europe-west1"}
    [update] = world.google.updates()
    changed = update.worker_pool if kind == "WorkerPool" else update.service
    assert list(update.update_mask.paths) == ["template"]
    assert (changed.name, changed.etag) == (resource, '"1"')
    assert changed.template.containers[0].image == before
    assert changed.template.annotations == {"keepline.dev/restart": "r1_restart"}


async def test_a_redeployment_is_a_new_revision_of_what_last_worked(world: World) -> None:
    worked = world.google.resources[POOL].template.containers[0].image
    world.google.deploy(POOL, BROKEN_IMAGE, ready=False)
    outcome = await world.restarter.carry_out(order(Way.REDEPLOY))
    assert outcome.state is StepState.DONE
    assert world.google.resources[POOL].template.containers[0].image == worked
    assert [call.request for call in world.google.calls if "GetRevision" in call.method] == [
        run_v2.GetRevisionRequest(name=f"{POOL}/revisions/r-00001")
    ]


async def test_restart_and_redeploy_side_by_side_meet_at_one_resource(world: World) -> None:
    outcomes = await asyncio.gather(*(world.restarter.carry_out(order(way)) for way in (Way.RESTART, Way.REDEPLOY)))
    assert {outcome.state for outcome in outcomes} == {StepState.DONE}
    assert set(world.google.resources[POOL].template.annotations) == {"keepline.dev/restart", "keepline.dev/redeploy"}


async def test_an_update_never_overwrites_a_deployment_made_meanwhile(world: World) -> None:
    found = world.google.resources[POOL]
    stale = run_v2.WorkerPool(name=POOL, etag=found.etag, template=found.template)
    world.google.deploy(POOL, BROKEN_IMAGE, ready=True)

    async def read_stale(_resource: str) -> run_v2.WorkerPool:
        world.restarter._get = current  # type: ignore[method-assign]
        return stale

    current = world.restarter._get
    world.restarter._get = read_stale  # type: ignore[method-assign]
    assert (await world.restarter.carry_out(order(Way.RESTART))).state is StepState.DONE
    assert len(world.google.updates()) == 2  # The first was refused by its etag.
    assert found.template.containers[0].image == BROKEN_IMAGE


async def test_a_repeated_order_makes_no_second_revision(world: World) -> None:
    for _ in range(2):
        assert (await world.restarter.carry_out(order(Way.RESTART))).state is StepState.DONE
    assert len(world.google.updates()) == 1


async def test_a_lost_answer_makes_no_second_revision(world: World) -> None:
    world.google.lost_answers = 1
    assert (await world.restarter.carry_out(order(Way.RESTART))).state is StepState.DONE
    assert len(world.google.revisions) == 3  # the pool's two, and the service's


async def test_a_slow_operation_is_waited_for(world: World) -> None:
    world.google.slow_operations = 5
    assert (await world.restarter.carry_out(order(Way.RESTART))).state is StepState.DONE
    assert sum("GetOperation" in call.method for call in world.google.calls) == 5


async def test_a_revision_that_does_not_get_ready_is_a_failure_with_its_reason(world: World) -> None:
    world.google.broken = "Revision 'r-00002' is not ready: the container failed to start"
    outcome = await world.restarter.carry_out(order(Way.RESTART))
    assert outcome.state is StepState.FAILED
    assert "the container failed to start" in outcome.detail


async def test_a_short_absence_of_cloud_run_is_passed_over(world: World) -> None:
    world.google.trouble = [grpc.StatusCode.UNAVAILABLE] * 3
    assert (await world.restarter.carry_out(order(Way.RESTART))).state is StepState.DONE


@pytest.mark.parametrize(
    ("trouble", "named"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "PermissionDenied"),
        (grpc.StatusCode.INTERNAL, "InternalServerError"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "ResourceExhausted"),
    ],
)
async def test_a_refusal_is_a_failure_with_its_name(world: World, trouble: grpc.StatusCode, named: str) -> None:
    world.google.trouble = [trouble]
    outcome = await world.restarter.carry_out(order(Way.RESTART))
    assert outcome.state is StepState.FAILED
    assert outcome.detail.startswith(named)


async def test_what_is_not_there_is_a_failure(world: World) -> None:
    outcome = await world.restarter.carry_out(order(Way.RESTART, POOL + "x"))
    assert (outcome.state, outcome.detail[:8]) == (StepState.FAILED, "NotFound")


async def test_a_target_without_a_resource_is_not_offered(world: World) -> None:
    assert (await world.restarter.carry_out(order(Way.RESTART, "elsewhere"))).state is StepState.NOT_OFFERED


async def test_what_cloud_run_has_begun_cannot_be_called_off(world: World) -> None:
    assert await world.restarter.call_off(order(Way.REDEPLOY))
    await world.restarter.carry_out(order(Way.REDEPLOY))
    assert not await world.restarter.call_off(order(Way.REDEPLOY))
