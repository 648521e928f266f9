"""Fixtures: a simulator per test module, and neonize clients that are always ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simulator.testing import NeonizeClient, RunningSimulator


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSimulator]:
    with RunningSimulator() as service:
        yield service


@pytest.fixture
def neonize(running: RunningSimulator, tmp_path: Path) -> Iterator[Callable[..., NeonizeClient]]:
    """Starts neonize clients; `neonize("a")` uses the store file a.db, so the same name comes back as the same device."""
    clients: list[NeonizeClient] = []

    def start(name: str, keepalive: tuple[float, ...] | None = None) -> NeonizeClient:
        client = NeonizeClient(running.about, tmp_path / f"{name}.db", keepalive)
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.close()
