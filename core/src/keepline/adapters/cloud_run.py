"""Restarting by Cloud Run, services and worker pools alike.

Cloud Run has no call that restarts an instance: what is deployed is a template, and a changed template makes a new revision,
whose instances take the place of the old ones. So:

- a restart is the present template once more, with another annotation;
- a redeployment is what last worked: containers and volumes of the latest revision that was ready, in a new one. Where the newest
  revision never got ready (a broken image, a wrong variable), that undoes it.

Each update has the etag of what was read as its condition, so that nobody's deployment is overwritten by an older one. The
order's key stands in the annotation, so that a repeated order finds its own traces. Cloud Run ends no update that it has begun.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.api_core import exceptions as google_errors
from google.api_core.retry_async import AsyncRetry, if_exception_type
from google.auth import exceptions as auth_errors
from google.cloud import run_v2

from keepline.domain.recovery import StepState, Way
from keepline.ports.recovery import Order, Outcome

ANNOTATION = "keepline.dev/{way}"
CALL_TIMEOUT_S = 10.0
# Two ways of one recovery meet at one resource, and a deployment may be between them.
CONFLICTS_MAX = 5
POLL_S = 2.0
# Longer than an attempt: whoever gave the order ends it before.
READY_LIMIT_S = 240.0
DETAIL_CHARACTERS_MAX = 200

_RESOURCE = re.compile(r"projects/[^/]+/locations/[^/]+/(services|workerPools)/[^/]+")
_RETRY = AsyncRetry(
    predicate=if_exception_type(google_errors.ServiceUnavailable), initial=0.2, maximum=2.0, timeout=CALL_TIMEOUT_S
)


def is_resource(name: str) -> bool:
    """Whether this names a service or a worker pool of Cloud Run."""
    return _RESOURCE.fullmatch(name) is not None


@dataclass(frozen=True)
class Clients:
    """Google's, of one channel or three. They belong to the loop in which they are made."""

    services: run_v2.ServicesAsyncClient
    worker_pools: run_v2.WorkerPoolsAsyncClient
    revisions: run_v2.RevisionsAsyncClient

    @classmethod
    def connect(cls) -> Clients:
        """With the process's own credentials."""
        return cls(run_v2.ServicesAsyncClient(), run_v2.WorkerPoolsAsyncClient(), run_v2.RevisionsAsyncClient())


class CloudRunRestarter:
    """An order's settings have `resource`: `projects/…/locations/…/services/…` or `…/workerPools/…`."""

    # Instances of a new revision start before those of the old one end.
    replaces_before_ending = True

    def __init__(self, connect: Callable[[], Clients] = Clients.connect) -> None:
        self._connect = connect
        self._clients: Clients | None = None

    async def carry_out(self, order: Order) -> Outcome:
        resource = str(order.settings.get("resource", ""))
        if not is_resource(resource):
            return Outcome(StepState.NOT_OFFERED, "its settings name no resource of Cloud Run")
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                return await self._update(resource, order)
        except TimeoutError:
            return Outcome(StepState.FAILED, f"not ready within {READY_LIMIT_S:.0f} s")
        except google_errors.GoogleAPICallError as error:
            return Outcome(StepState.FAILED, _detail(type(error).__name__, error.message))
        except (google_errors.RetryError, auth_errors.GoogleAuthError) as error:
            return Outcome(StepState.FAILED, _detail(type(error).__name__, str(error)))

    async def call_off(self, order: Order) -> bool:
        resource = str(order.settings.get("resource", ""))
        if not is_resource(resource):
            return True
        try:
            found = await self._get(resource)
        except (google_errors.GoogleAPIError, auth_errors.GoogleAuthError):
            return False
        return not _asked_for(found, order)

    async def _update(self, resource: str, order: Order) -> Outcome:
        for _ in range(CONFLICTS_MAX):
            found = await self._get(resource)
            if _asked_for(found, order):
                return await self._ready(resource)  # Asked for before, by a driver that was lost.
            try:
                if order.way is Way.REDEPLOY:
                    await self._take_what_worked(resource, found)
                operation = await self._send(found, order)
            except (google_errors.Aborted, google_errors.AlreadyExists):
                continue
            while not await operation.done():  # noqa: ASYNC110 - Cloud Run is asked; it tells nobody
                await asyncio.sleep(POLL_S)
            failure = await operation.exception()
            if failure is not None:
                raise failure
            return Outcome(
                StepState.DONE, f"revision {_short((await operation.result()).latest_ready_revision)} is ready"
            )
        return Outcome(StepState.FAILED, f"somebody else changed it {CONFLICTS_MAX} times meanwhile")

    async def _take_what_worked(self, resource: str, found: Any) -> None:
        """Put what the latest ready revision runs into the template; where none was ever ready it stays."""
        name = found.latest_ready_revision
        if not name:
            return
        full = name if "/" in name else f"{resource}/revisions/{name}"
        request = run_v2.GetRevisionRequest(name=full)
        revision = await self._used().revisions.get_revision(request, retry=_RETRY, timeout=CALL_TIMEOUT_S)
        found.template.containers = revision.containers
        found.template.volumes = revision.volumes

    async def _send(self, found: Any, order: Order) -> Any:
        found.template.annotations[_annotation(order.way)] = order.key
        found.template.revision = ""  # Else it would ask for a name that is taken.
        mask = {"paths": ["template"]}
        if isinstance(found, run_v2.Service):
            service = run_v2.Service(name=found.name, etag=found.etag, template=found.template)
            update = run_v2.UpdateServiceRequest(service=service, update_mask=mask)
            return await self._used().services.update_service(update, retry=_RETRY, timeout=CALL_TIMEOUT_S)
        pool = run_v2.WorkerPool(name=found.name, etag=found.etag, template=found.template)
        change = run_v2.UpdateWorkerPoolRequest(worker_pool=pool, update_mask=mask)
        return await self._used().worker_pools.update_worker_pool(change, retry=_RETRY, timeout=CALL_TIMEOUT_S)

    async def _ready(self, resource: str) -> Outcome:
        while True:
            found = await self._get(resource)
            if not found.reconciling:
                break
            await asyncio.sleep(POLL_S)
        condition = found.terminal_condition
        if condition.state != run_v2.Condition.State.CONDITION_SUCCEEDED:
            return Outcome(StepState.FAILED, _detail("not ready", condition.message))
        return Outcome(StepState.DONE, f"revision {_short(found.latest_ready_revision)} is ready")

    async def _get(self, resource: str) -> Any:
        if "/workerPools/" in resource:
            pool = run_v2.GetWorkerPoolRequest(name=resource)
            return await self._used().worker_pools.get_worker_pool(pool, retry=_RETRY, timeout=CALL_TIMEOUT_S)
        service = run_v2.GetServiceRequest(name=resource)
        return await self._used().services.get_service(service, retry=_RETRY, timeout=CALL_TIMEOUT_S)

    def _used(self) -> Clients:
        if self._clients is None:
            self._clients = self._connect()
        return self._clients


def _asked_for(found: Any, order: Order) -> bool:
    key: str | None = found.template.annotations.get(_annotation(order.way))
    return key == order.key


def _annotation(way: Way) -> str:
    return ANNOTATION.format(way=way.value)


def _short(revision: str) -> str:
    return revision.rpartition("/")[2]


def _detail(kind: str, message: str) -> str:
    return f"{kind}: {message}"[:DETAIL_CHARACTERS_MAX]
