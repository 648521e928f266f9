"""Fixtures: a simulator per test module, and neonize clients that are always ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simulator.testing import NeonizeClient, RunningSimulator


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes of real time; runs with `-m slow` only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that wait for real minutes run when they are asked for."""
    if "slow" in config.getoption("-m"):
        return
    skip = pytest.mark.skip(reason="takes minutes; pytest -m slow runs it")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


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
