"""Cloud Run v2 on loopback, as its reference describes it: revisions made by changed templates, etags, long-running operations.

It records every request as Google's own message, with the routing header that came with it. `trouble` is the status that the
next calls end with; `slow_operations` how many times an operation is asked before it has ended; `broken` what a new revision
fails with.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import grpc
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcAsyncIOTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport
from google.cloud.run_v2.services.worker_pools.transports import WorkerPoolsGrpcAsyncIOTransport
from google.longrunning import operations_pb2
from google.protobuf import any_pb2
from google.rpc import status_pb2

from keepline.adapters.cloud_run import Clients

POOL = "projects/p/locations/europe-west1/workerPools/keepline-connector-1"
SERVICE = "projects/p/locations/europe-west1/services/shop"
_READY = run_v2.Condition.State.CONDITION_SUCCEEDED


@dataclass(frozen=True)
class Recorded:
    """One call: its full method, its message, and the location that it was routed by."""

    method: str
    request: Any
    location: str | None


class CloudRun:
    """One worker pool and one service, each with a revision that is ready."""

    def __init__(self) -> None:
        self.calls: list[Recorded] = []
        self.trouble: list[grpc.StatusCode] = []
        self.slow_operations = 0
        self.broken: str | None = None
        self.lost_answers = 0
        self.revisions: dict[str, run_v2.Revision] = {}
        self.resources: dict[str, Any] = {}
        self._operations: dict[str, tuple[int, operations_pb2.Operation]] = {}
        for name, kind in ((POOL, run_v2.WorkerPool), (SERVICE, run_v2.Service)):
            container = run_v2.Container(image="example.pkg.dev/p/keepline/connector@sha256:" + "a" * 64)
            found: Any = kind(name=name, etag='"1"', generation=1, template={"containers": [container]})
            self.resources[name] = found
            self._make_revision(found)

    def updates(self) -> list[Any]:
        """The requests that changed something, in their order."""
        return [call.request for call in self.calls if "/Update" in call.method]

    def deploy(self, name: str, image: str, *, ready: bool) -> None:
        """Somebody deploys another image."""
        found = self.resources[name]
        found.template.containers[0].image = image
        self._make_revision(found, ready=ready)

    def _make_revision(self, found: Any, *, ready: bool = True) -> None:
        number = 1 + sum(one.startswith(f"{found.name}/") for one in self.revisions)
        name = f"{found.name}/revisions/r-{number:05}"
        template = found.template
        self.revisions[name] = run_v2.Revision(name=name, containers=template.containers, volumes=template.volumes)
        found.generation, found.etag = number, f'"{number}"'
        found.latest_created_revision = name
        if ready:
            found.latest_ready_revision = name
        found.reconciling = False
        found.terminal_condition = run_v2.Condition(
            type_="Ready",
            state=_READY if ready else run_v2.Condition.State.CONDITION_FAILED,
            message="" if ready else self.broken or "the container failed to start",
        )

    async def _get(self, request: Any, context: Any) -> Any:
        return await self._known(self.resources, request.name, context)

    async def _get_revision(self, request: Any, context: Any) -> Any:
        return await self._known(self.revisions, request.name, context)

    async def _known(self, among: dict[str, Any], name: str, context: Any) -> Any:
        if name not in among:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Resource '{name}' was not found")
        return among[name]

    async def _update(self, request: Any, context: Any) -> Any:
        wanted = request.worker_pool if isinstance(request, run_v2.UpdateWorkerPoolRequest) else request.service
        found = await self._known(self.resources, wanted.name, context)
        if wanted.etag and wanted.etag != found.etag:
            await context.abort(grpc.StatusCode.ABORTED, f"Conflict for resource '{wanted.name}'")
        if list(request.update_mask.paths) != ["template"]:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "only the template is expected to change")
        if wanted.template.revision in {name.rpartition("/")[2] for name in self.revisions}:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "Revision named so already exists")
        if wanted.template != found.template:
            found.template = wanted.template
            self._make_revision(found, ready=self.broken is None)
        name = f"{found.name.partition('/services')[0].partition('/workerPools')[0]}/operations/{len(self.calls)}"
        operation = operations_pb2.Operation(name=name)
        packed = any_pb2.Any()
        packed.Pack(type(found).pb(found))
        ended = operations_pb2.Operation(name=name, done=True)
        if self.broken is not None:
            ended.error.CopyFrom(
                status_pb2.Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message=self.broken)
            )
        else:
            ended.response.CopyFrom(packed)
        self._operations[name] = (self.slow_operations, ended)
        if self.lost_answers:
            self.lost_answers -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
        return operation if self.slow_operations else ended

    async def _get_operation(self, request: Any, context: Any) -> Any:
        left, ended = await self._known(self._operations, request.name, context)
        self._operations[request.name] = (left - 1, ended)
        return ended if left <= 1 else operations_pb2.Operation(name=request.name)

    def _handler(self, method: str, answer: Any, request: Any, response: Any) -> Any:
        async def handle(message: Any, context: Any) -> Any:
            routing = dict(context.invocation_metadata()).get("x-goog-request-params", "")
            self.calls.append(Recorded(method, message, dict(parse_qsl(str(routing))).get("location")))
            if self.trouble:
                await context.abort(self.trouble.pop(0), "in the test")
            return await answer(message, context)

        read = request.deserialize if hasattr(request, "deserialize") else request.FromString
        write = response.serialize if hasattr(response, "serialize") else response.SerializeToString
        return grpc.unary_unary_rpc_method_handler(handle, request_deserializer=read, response_serializer=write)

    def _services(self) -> dict[str, dict[str, tuple[Any, Any, Any]]]:
        operation = operations_pb2.Operation
        return {
            "google.cloud.run.v2.WorkerPools": {
                "GetWorkerPool": (self._get, run_v2.GetWorkerPoolRequest, run_v2.WorkerPool),
                "UpdateWorkerPool": (self._update, run_v2.UpdateWorkerPoolRequest, operation),
            },
            "google.cloud.run.v2.Services": {
                "GetService": (self._get, run_v2.GetServiceRequest, run_v2.Service),
                "UpdateService": (self._update, run_v2.UpdateServiceRequest, operation),
            },
            "google.cloud.run.v2.Revisions": {
                "GetRevision": (self._get_revision, run_v2.GetRevisionRequest, run_v2.Revision),
            },
            "google.longrunning.Operations": {
                "GetOperation": (self._get_operation, operations_pb2.GetOperationRequest, operation),
            },
        }

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[Clients]:
        """Serve on a free port, and give the real clients, connected."""
        server = grpc.aio.server()
        for service, methods in self._services().items():
            handlers = {
                name: self._handler(f"/{service}/{name}", answer, request, response)
                for name, (answer, request, response) in methods.items()
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        try:
            yield Clients(
                run_v2.ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=channel)),
                run_v2.WorkerPoolsAsyncClient(transport=WorkerPoolsGrpcAsyncIOTransport(channel=channel)),
                run_v2.RevisionsAsyncClient(transport=RevisionsGrpcAsyncIOTransport(channel=channel)),
            )
        finally:
            await asyncio.shield(channel.close())
            await server.stop(None)
