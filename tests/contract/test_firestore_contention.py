"""Firestore refuses a commit when others held its documents for too long. Nothing was applied then, so it is said again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from google.cloud.firestore_v1.types import CommitResponse, WriteResult

from keepline.adapters.firestore import FirestoreDocuments
from keepline.ports.documents import Create, StoreUnavailable

COMMIT = "Commit"
WRITE = Create("things/one", {"number": 1})


class Contended:
    """A Firestore that answers so many commits with these codes, in turn, before it takes one."""

    def __init__(self) -> None:
        self.refusals: list[grpc.StatusCode] = []
        self.commits = 0

    async def commit(self, _: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.commits += 1
        if self.refusals:
            await context.abort(self.refusals.pop(0), "Transaction lock timeout.")
        return bytes(CommitResponse.serialize(CommitResponse(write_results=[WriteResult()])))


@pytest.fixture
async def contended(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Contended]:
    server, service = grpc.aio.server(), Contended()
    handlers = {COMMIT: grpc.unary_unary_rpc_method_handler(service.commit)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("google.firestore.v1.Firestore", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{port}")
    yield service
    await server.stop(None)


@pytest.fixture
async def store(contended: Contended) -> AsyncIterator[FirestoreDocuments]:
    documents = FirestoreDocuments("contended")
    yield documents
    await documents.close()


async def test_a_commit_that_others_were_in_the_way_of_is_repeated(
    contended: Contended, store: FirestoreDocuments
) -> None:
    contended.refusals = [grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED]
    assert len(await store.commit([WRITE])) == 1
    assert contended.commits == 4


async def test_a_commit_that_may_have_been_applied_is_not(contended: Contended, store: FirestoreDocuments) -> None:
    contended.refusals = [grpc.StatusCode.DEADLINE_EXCEEDED]
    with pytest.raises(StoreUnavailable):
        await store.commit([WRITE])
    assert contended.commits == 1
