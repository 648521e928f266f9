"""The document store, twice: the shipped fake and Google's emulator. Every contract test runs on both."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

from keepline.adapters.firestore import FirestoreDocuments
from keepline.adapters.system_clock import SystemClock
from keepline.ports.documents import DocumentStore
from keepline.testing.documents import MemoryDocuments
from keepline_local.emulators import firestore_emulator


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    with firestore_emulator() as host:
        yield host


@pytest.fixture(params=["memory", "firestore"])
async def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DocumentStore]:
    """A store that nobody else uses: for the emulator, a project of its own."""
    if request.param == "memory":
        yield MemoryDocuments(SystemClock())
        return
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", request.getfixturevalue("emulator"))
    firestore = FirestoreDocuments(f"contract-{uuid.uuid4().hex[:12]}")
    yield firestore
    await firestore.close()


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
