"""whatsmeow's compiled-in times are changed in the memory of one process, and put back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import ctypes, json, os, sys
import neonize.client
from simulator import trust

def keepalive():
    return [value / 1e9 for value in trust._KEEPALIVE.unpack(ctypes.string_at(trust._found["keepalive"], 32))]

def timeouts():
    places = trust._request_timeouts
    return [int.from_bytes(ctypes.string_at(at, 8), "little") / 1e9 for at in places]

found = {}
trust.set_keepalive(0.5, 1, 1.5, 4)
found["short"] = keepalive()
trust.set_keepalive(response_deadline=2)
found["one changed"] = keepalive()
trust.set_keepalive()
found["put back"] = keepalive()
trust.set_request_timeout(2)
found["requests"] = timeouts()
trust.set_request_timeout()
found["requests put back"] = timeouts()
for name, action in {
    "interval": lambda: trust.set_keepalive(1, 2, 2, 3),
    "timeout": lambda: trust.set_request_timeout(0),
    "root": lambda: trust.trust_this_simulator("00"),
}.items():
    try:
        action()
    except trust.TrustError as problem:
        found[name] = str(problem)
print(json.dumps(found), flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What a process with neonize in it found; this one never loads it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_keepalive_times_are_changed_and_put_back(found: dict[str, Any]) -> None:
    assert found["short"] == [0.5, 1.0, 1.5, 4.0]
    assert found["one changed"] == [2.0, 20.0, 30.0, 180.0]
    assert found["put back"] == [10.0, 20.0, 30.0, 180.0]


def test_the_request_timeout_is_changed_everywhere_and_put_back(found: dict[str, Any]) -> None:
    assert found["requests"] == [2.0] * 3 and found["requests put back"] == [75.0] * 3


@pytest.mark.parametrize("name", ["interval", "timeout", "root"])
def test_times_and_keys_that_cannot_be_are_refused(found: dict[str, Any], name: str) -> None:
    assert found[name].endswith(".")
