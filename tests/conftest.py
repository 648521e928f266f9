"""For every ring: no socket beyond loopback, whatever a test or a library tries; and laws are not timed."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any

import pytest
from hypothesis import settings

# gRPC opens its sockets in C, out of reach of the guard below; with these it has nowhere else to go.
os.environ.setdefault("FIRESTORE_EMULATOR_HOST", "127.0.0.1:9")
os.environ.setdefault("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")

# Hypothesis would fail an example that takes 200 ms. On a busy machine any may; how long it takes is not what a law says.
settings.register_profile("keepline", deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=2_000)  # for make fuzz-api
settings.load_profile("keepline")

_real_connect = socket.socket.connect


class SocketBeyondLoopback(AssertionError):
    """A test tried to reach another machine."""


def _guarded_connect(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
        raise SocketBeyondLoopback(f"a test tried to connect to {address[0]}")
    _real_connect(self, address)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", _guarded_connect)
    yield
    patch.undo()
