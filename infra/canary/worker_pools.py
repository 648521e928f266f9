"""Cloud Run's worker pools: one is one connector, because a connector keeps its name.

A release changes the image of the pool's one container and nothing else (Terraform has the rest, and leaves the image alone). The
pool is written back with the etag that it was read with, so that two who change it at once cannot undo each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.api_core.exceptions import GoogleAPIError
from google.cloud.run_v2 import UpdateWorkerPoolRequest, WorkerPool, WorkerPoolsAsyncClient
from google.protobuf.field_mask_pb2 import FieldMask

from infra.canary.releasing import PoolTrouble

# A new revision: its instance is started, and the old one told to stop.
UPDATE_LIMIT_S = 600.0


class WorkerPools:
    """`regions` has the region of each connector's pool, `keepline-{connector}`."""

    def __init__(self, client: WorkerPoolsAsyncClient, project: str, regions: Mapping[str, str]) -> None:
        self._client = client
        self._project = project
        self._regions = regions

    async def image(self, connector: str) -> str:
        try:
            pool = await self._pool(connector)
        except GoogleAPIError as error:
            raise PoolTrouble(f"the pool cannot be read: {error}") from error
        return str(pool.template.containers[0].image)

    async def set_image(self, connector: str, image: str) -> None:
        try:
            pool = await self._pool(connector)
            pool.template.containers[0].image = image
            pool.template.revision = ""  # a name is used once; the platform makes one
            update = UpdateWorkerPoolRequest(worker_pool=pool, update_mask=FieldMask(paths=["template"]))
            operation = await self._client.update_worker_pool(request=update)
            await operation.result(timeout=UPDATE_LIMIT_S)  # type: ignore[no-untyped-call]
        except (GoogleAPIError, TimeoutError) as error:
            raise PoolTrouble(f"the new revision was not taken on: {error}") from error

    async def _pool(self, connector: str) -> WorkerPool:
        path = f"projects/{self._project}/locations/{self._regions[connector]}/workerPools/keepline-{connector}"
        return await self._client.get_worker_pool(name=path)
