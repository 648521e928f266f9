"""The document store on Firestore: the asyncio client for reads and commits, the threaded one for watches (only it listens)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from google.api_core import exceptions as google_errors
from google.api_core.retry_async import AsyncRetry, if_exception_type
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter

from keepline.adapters.firestore_watch import FirestoreWatch
from keepline.ports.documents import (
    COMMIT_WRITES_MAX,
    Create,
    Delete,
    Document,
    Merge,
    Put,
    Query,
    Sentinel,
    StoreConflict,
    StoreUnavailable,
    Update,
    Version,
    Watch,
    Write,
)

_ATTEMPT_TIMEOUT_S = 5.0
_CALL_TIMEOUT_S = 10.0

_SENTINELS = {Sentinel.SERVER_TIME: firestore.SERVER_TIMESTAMP, Sentinel.DELETE: firestore.DELETE_FIELD}

_CONFLICTS = (google_errors.AlreadyExists, google_errors.FailedPrecondition, google_errors.NotFound)
_TRANSIENT = (
    google_errors.Aborted,
    google_errors.Cancelled,
    google_errors.DeadlineExceeded,
    google_errors.InternalServerError,
    google_errors.ResourceExhausted,
    google_errors.RetryError,
    google_errors.ServiceUnavailable,
    google_errors.Unknown,
)

# Only what gRPC says never reached the server, or the server could not take: the callers decide about everything else.
# A commit that was applied and repeated all the same fails its preconditions, and the caller looks. Aborted is said when others
# held the same documents for too long: nothing was applied, and a commit of ours decides by its preconditions alone.
_RETRY = AsyncRetry(
    predicate=if_exception_type(google_errors.ServiceUnavailable, google_errors.Aborted),
    initial=0.05,
    maximum=1.0,
    timeout=_CALL_TIMEOUT_S,
)


class FirestoreDocuments:
    """One pair of clients for a whole process. Create it inside the event loop it will be used in.

    `commits` and `documents` count what was written since, for people who ask what a message costs.
    """

    def __init__(self, project: str) -> None:
        self.commits = 0
        self.documents = 0
        self._client = firestore.AsyncClient(project=project)
        self._listening_client = firestore.Client(project=project)

    async def get(self, path: str) -> Document | None:
        with _named_errors():
            snapshot = await self._client.document(path).get(retry=_RETRY, timeout=_ATTEMPT_TIMEOUT_S)
        return to_document(snapshot) if snapshot.exists else None

    async def query(self, query: Query) -> list[Document]:
        with _named_errors():
            snapshots = await _query(self._client, query).get(retry=_RETRY, timeout=_ATTEMPT_TIMEOUT_S)
        return [to_document(snapshot) for snapshot in snapshots]

    async def count(self, query: Query) -> int:
        with _named_errors():
            counted = await _query(self._client, query).count().get(retry=_RETRY, timeout=_ATTEMPT_TIMEOUT_S)
        return int(counted[0][0].value)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        if len(writes) > COMMIT_WRITES_MAX:
            raise ValueError(f"a commit of {len(writes)} writes is above the limit of {COMMIT_WRITES_MAX}")
        batch = self._client.batch()
        for write in writes:
            self._add(batch, write)
        with _named_errors():
            results = await batch.commit(retry=_RETRY, timeout=_ATTEMPT_TIMEOUT_S)
        self.commits += 1
        self.documents += len(writes)
        return [_version(result.update_time or batch.commit_time) for result in results]

    @asynccontextmanager
    async def watch(self, query: Query) -> AsyncIterator[Watch]:
        watch = FirestoreWatch(query, _query(self._listening_client, query), lambda: self.query(query))
        async with watch.running():
            yield watch

    async def close(self) -> None:
        """Let go of the connections."""
        # AsyncClient.close() of 2.34.1 calls the asynchronous close of its transport without awaiting it.
        await self._client._firestore_api.transport.close()
        close_listening: Any = self._listening_client.close
        close_listening()

    def _add(self, batch: Any, write: Write) -> None:
        reference = self._client.document(write.path)
        match write:
            case Create():
                batch.create(reference, _outgoing(write.fields))
            case Put():
                batch.set(reference, _outgoing(write.fields))
            case Merge():
                batch.set(reference, _without_empty_maps(_outgoing(write.fields)), merge=True)
            case Update():
                batch.update(reference, _outgoing(write.fields), option=self._option(write.version))
            case Delete():
                batch.delete(reference, option=self._option(write.version))

    def _option(self, version: Version | None) -> Any:
        return None if version is None else self._client.write_option(last_update_time=version)


def to_document(snapshot: Any) -> Document:
    """A Firestore snapshot as the port's document."""
    # Not to_dict(): it copies once more what the snapshot has copied, an eighth of a busy API's CPU. Nobody changes either.
    return Document(snapshot.reference.path, snapshot._data, snapshot.update_time, snapshot.create_time)


def _version(update_time: Any) -> Version:
    """Nanoseconds and all, as snapshots have it: the client's messages and its snapshots spell times the same way."""
    version: Version = update_time
    return version


def _query(client: Any, query: Query) -> Any:
    found: Any = client.collection_group(query.collection) if query.group else client.collection(query.collection)
    for where in query.where:
        found = found.where(filter=FieldFilter(where.field, where.op, where.value))
    if query.order_by is not None:
        direction = firestore.Query.DESCENDING if query.descending else firestore.Query.ASCENDING
        found = found.order_by(query.order_by, direction=direction)
    return found.limit(query.limit)


def _outgoing(fields: Mapping[str, Any]) -> dict[str, Any]:
    outgoing: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Sentinel):
            outgoing[name] = _SENTINELS[value]
        elif isinstance(value, Mapping):
            outgoing[name] = _outgoing(value)
        else:
            outgoing[name] = value
    return outgoing


def _without_empty_maps(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The client takes an empty map for a value, which would replace what is in the document's."""
    kept = {name: _without_empty_maps(value) if isinstance(value, Mapping) else value for name, value in fields.items()}
    return {name: value for name, value in kept.items() if value != {}}


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except _CONFLICTS as error:
        raise StoreConflict(str(error)) from error
    except _TRANSIENT as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
