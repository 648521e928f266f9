"""A release's calls of Cloud Run, by the real client, against its service on loopback; and what it reads of Firestore."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc
import pytest
from google.cloud import run_v2

from infra.canary.looking import look
from infra.canary.releasing import PoolTrouble
from infra.canary.worker_pools import WorkerPools
from keepline.domain.session import SessionState, SessionStatus
from keepline.records import accounts
from keepline.records.connectors import Beater, DeviceBeat
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from tests.google_apis.cloud_run import POOL, CloudRun

CONNECTOR = "connector-1"
REGIONS = {CONNECTOR: "europe-west1"}
NEW = "example.pkg.dev/p/keepline/connector@sha256:" + "b" * 64


@asynccontextmanager
async def pools_of(google: CloudRun) -> AsyncIterator[WorkerPools]:
    async with google.clients() as clients:
        yield WorkerPools(clients.worker_pools, "p", REGIONS)


async def test_a_release_changes_the_image_and_nothing_else_of_a_pool() -> None:
    google = CloudRun()
    template = google.resources[POOL].template
    template.containers[0].env = [run_v2.EnvVar(name="KEEPLINE_REGION", value="europe-west1")]
    template.service_account = "keepline-connector@p"
    template.revision = "r-00001"  # A name is used once: Cloud Run refuses it the second time.
    before = run_v2.WorkerPoolRevisionTemplate(template)
    old = template.containers[0].image
    async with pools_of(google) as pools:
        assert await pools.image(CONNECTOR) == old
        await pools.set_image(CONNECTOR, NEW)
        assert await pools.image(CONNECTOR) == NEW
    (update,) = google.updates()
    before.containers[0].image = NEW
    before.revision = ""
    assert (update.worker_pool.name, update.worker_pool.template) == (POOL, before)
    assert list(update.update_mask.paths) == ["template"]
    assert {call.location for call in google.calls} == {"europe-west1"}


async def test_a_release_never_overwrites_what_somebody_deployed_meanwhile() -> None:
    google = CloudRun()
    stale = run_v2.WorkerPool(google.resources[POOL])
    google.deploy(POOL, "somebody-elses", ready=True)
    async with pools_of(google) as pools:

        async def read_stale(_connector: str) -> run_v2.WorkerPool:
            return stale

        pools._pool = read_stale  # type: ignore[method-assign]
        with pytest.raises(PoolTrouble, match="Conflict"):
            await pools.set_image(CONNECTOR, NEW)
    assert google.resources[POOL].template.containers[0].image == "somebody-elses"


@pytest.mark.parametrize("status", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.ABORTED])
async def test_a_platform_that_refuses_is_told_of(status: grpc.StatusCode) -> None:
    google = CloudRun()
    async with pools_of(google) as pools:
        google.trouble = [status] * 2
        with pytest.raises(PoolTrouble, match="in the test"):
            await pools.set_image(CONNECTOR, NEW)
        with pytest.raises(PoolTrouble, match="in the test"):
            await pools.image(CONNECTOR)


async def test_a_revision_that_does_not_become_ready_is_trouble() -> None:
    google = CloudRun()
    google.broken = "Revision is not ready: image not found"
    async with pools_of(google) as pools:
        with pytest.raises(PoolTrouble, match="image not found"):
            await pools.set_image(CONNECTOR, NEW)


async def test_a_look_sees_beats_sessions_and_who_sends() -> None:
    store = MemoryDocuments(LoopClock())
    for number, state in enumerate((SessionState.CONNECTED, SessionState.OUTDATED)):
        status = SessionStatus(state, "connected" if state is SessionState.CONNECTED else "outdated")
        account = f"t_s{number}"
        await store.commit(
            accounts.new_account(account=account, tenant="t", session_id=f"s{number}", tag_key=b"k", status=status)
        )
    beater = Beater("connector-1", "r", "process", 15.0, 10, datetime(2026, 1, 1, tzinfo=UTC))
    devices = {"t_s0_a": DeviceBeat("answer", 900, 0, None), "t_s1_a": DeviceBeat("answer", 60_000, 0, None)}
    await store.commit([beater.write_beat(7, devices, stopping=False, version=None)])
    seen = await look(store)
    beat = seen.beats["connector-1"]
    assert (beat.process, beat.number, beat.over, beat.proven) == ("process", 7, False, 1)
    assert (seen.connected, seen.outdated, seen.there) == ({"t_s0"}, {"t_s1"}, {"t_s0", "t_s1"})
