"""A release's calls of Cloud Run, by the real client, against its service on loopback; and what it reads of Firestore."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.cloud import run_v2
from google.cloud.run_v2.services.worker_pools.transports import WorkerPoolsGrpcAsyncIOTransport
from google.longrunning import operations_pb2
from google.protobuf import any_pb2

from infra.canary.looking import look
from infra.canary.releasing import PoolTrouble
from infra.canary.worker_pools import WorkerPools
from keepline.domain.session import SessionState, SessionStatus
from keepline.records import accounts
from keepline.records.connectors import Beater, DeviceBeat
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments

NAME = "projects/p/locations/europe-west4/workerPools/keepline-connector-2"
REGIONS = {"connector-2": "europe-west4"}


class PoolServer:
    """One pool. `trouble` is the status that the next call ends with; `failure` what its next operation ends with."""

    def __init__(self) -> None:
        container = run_v2.Container(image="old", env=[run_v2.EnvVar(name="KEEPLINE_REGION", value="europe-west4")])
        template = run_v2.WorkerPoolRevisionTemplate(
            containers=[container], service_account="keepline-connector@p", revision="keepline-connector-2-00007"
        )
        self.pool = run_v2.WorkerPool(name=NAME, template=template, etag="e1")
        self.updates: list[run_v2.UpdateWorkerPoolRequest] = []
        self.trouble: grpc.StatusCode | None = None
        self.failure = ""

    async def get(self, request: Any, context: Any) -> Any:
        await self._check(context)
        if request.name != NAME:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Resource {request.name} was not found")
        return self.pool

    async def update(self, request: Any, context: Any) -> Any:
        await self._check(context)
        if request.worker_pool.etag != self.pool.etag:
            await context.abort(grpc.StatusCode.ABORTED, "Conflict")
        self.updates.append(request)
        done = operations_pb2.Operation(name="projects/p/locations/europe-west4/operations/o", done=True)
        if self.failure:
            done.error.code, done.error.message = 9, self.failure
        else:
            self.pool = request.worker_pool
            packed = any_pb2.Any()
            packed.Pack(run_v2.WorkerPool.pb(self.pool))
            done.response.CopyFrom(packed)
        return done

    async def _check(self, context: Any) -> None:
        if self.trouble is not None:
            await context.abort(self.trouble, "in the test")

    @asynccontextmanager
    async def pools(self) -> AsyncIterator[WorkerPools]:
        server = grpc.aio.server()

        def handler(method: Any, request: Any, serialize: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(
                method, request_deserializer=request.deserialize, response_serializer=serialize
            )

        methods = {
            "GetWorkerPool": handler(self.get, run_v2.GetWorkerPoolRequest, run_v2.WorkerPool.serialize),
            "UpdateWorkerPool": handler(
                self.update, run_v2.UpdateWorkerPoolRequest, operations_pb2.Operation.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.cloud.run.v2.WorkerPools", methods),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        client = run_v2.WorkerPoolsAsyncClient(transport=WorkerPoolsGrpcAsyncIOTransport(channel=channel))
        try:
            yield WorkerPools(client, "p", REGIONS)
        finally:
            await channel.close()
            await server.stop(None)


async def test_a_release_changes_the_image_and_nothing_else_of_a_pool() -> None:
    server = PoolServer()
    before = run_v2.WorkerPool(server.pool)
    async with server.pools() as pools:
        assert await pools.image("connector-2") == "old"
        await pools.set_image("connector-2", "new@sha256:1")
        assert await pools.image("connector-2") == "new@sha256:1"
    (update,) = server.updates
    before.template.containers[0].image = "new@sha256:1"
    before.template.revision = ""
    assert update.worker_pool == before


@pytest.mark.parametrize("status", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.ABORTED])
async def test_a_platform_that_refuses_is_told_of(status: grpc.StatusCode) -> None:
    server = PoolServer()
    async with server.pools() as pools:
        server.trouble = status
        with pytest.raises(PoolTrouble, match="in the test"):
            await pools.set_image("connector-2", "new")
        with pytest.raises(PoolTrouble, match="in the test"):
            await pools.image("connector-2")


async def test_a_revision_that_does_not_become_ready_is_trouble() -> None:
    server = PoolServer()
    server.failure = "Revision is not ready: image not found"
    async with server.pools() as pools:
        with pytest.raises(PoolTrouble, match="image not found"):
            await pools.set_image("connector-2", "new")


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
