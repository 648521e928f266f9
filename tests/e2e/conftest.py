"""One whole Keepline for all tests of this ring: real emulators, functions host, connectors and neonize, and the simulator."""

from __future__ import annotations

import itertools
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest

from keepline_local.stack import NOBODY_RECOVERS, ROOMY, Stack

from .keepline import Api, Http, Phones, Session, eventually

_sessions = itertools.count(1)
CONNECTORS = ("connector-1", "connector-2")
METRICS_TOKEN = secrets.token_hex(32)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test that stops the run of all of them comes last, wherever it stands."""
    items.sort(key=lambda item: item.name == "test_everything_stops_and_leaves_no_process")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with Stack(
        "demo", ports="free", env=ROOMY | NOBODY_RECOVERS | {"KEEPLINE_METRICS_TOKEN": METRICS_TOKEN}
    ) as running:
        yield running


@pytest.fixture(scope="session")
def api(stack: Stack) -> Api:
    return Api(stack.run.api, stack.run.api_key)


@pytest.fixture(scope="session")
def operator(stack: Stack) -> Http:
    return Http(stack.run.api, {"Authorization": f"Bearer {METRICS_TOKEN}"})


@pytest.fixture(scope="session")
def phones(stack: Stack) -> Phones:
    assert stack.run.simulator is not None
    return Phones(stack.run.simulator)


@pytest.fixture
def session(api: Api) -> Session:
    """A new session of the test's own, linked by the demo's phone."""
    name = f"session-{next(_sessions)}"
    api.create(name)
    # The number is known a moment after the connection stands.
    api.wait_for_state(name, "connected")
    return Session(name, eventually(lambda: api.status(name)["phone"], f"{name} has a number"))


@pytest.fixture
def frozen(stack: Stack) -> Callable[..., AbstractContextManager[None]]:
    """Stops parts of the run in their tracks, as a machine does that hangs; they go on afterwards, if they are still there."""

    @contextmanager
    def freeze(*parts: str) -> Iterator[None]:
        pids = [stack.run.pids[part] for part in parts]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for part, pid in zip(parts, pids, strict=True):
                # A killed part has another process by now, and its old number may be anybody's.
                if stack.run.pids[part] == pid:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)

    return freeze
