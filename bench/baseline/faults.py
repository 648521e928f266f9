"""The faults of tests/chaos/catalogue.py, done to the baseline: what Keepline's connector and cell are is its one container."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.baseline.container import Container
from simulator.client import SimulatorClient
from tests.chaos.black_hole import swallow
from tests.chaos.catalogue import REGION_AWAY_S, STOPPED_S

# A fault in WhatsApp's end stands longer than anybody waits here; it is taken back by whoever set it.
STANDS_S = 3600.0


@dataclass(frozen=True)
class Target:
    """Where a fault strikes. `device` is the number's linked device at present."""

    container: Container
    device: int
    whatsapp: SimulatorClient
    simulator_pid: int


Mend = Callable[[], None]


def nothing_to_mend() -> None:
    """It has passed by itself, or the gateway has."""


def reset(target: Target) -> Mend:
    target.whatsapp.drop_connections(target.container.phone, target.device)
    return nothing_to_mend


def black_hole(target: Target) -> Mend:
    """Mended as a person would who notices: the container is killed and comes back."""
    pid = target.container.pid
    assert pid is not None
    swallow([pid], target.simulator_pid)

    def restart() -> None:
        if target.container.pid == pid:
            target.container.signal(signal.SIGKILL)

    return restart


def half_open(target: Target) -> Mend:
    return _silent(target, "half_open", {"for_s": STANDS_S, "count": 1})


def stop_answering(target: Target) -> Mend:
    return _silent(target, "stop_answering", {"for_s": STANDS_S})


def _silent(target: Target, kind: str, when: dict[str, float]) -> Mend:
    fault = target.whatsapp.add_fault(kind, {"number": target.container.phone, "device": target.device}, when)

    def clear() -> None:
        target.whatsapp.clear_faults(fault)

    return clear


def kill(target: Target) -> Mend:
    target.container.signal(signal.SIGKILL)
    return nothing_to_mend


def stop(target: Target) -> Mend:
    target.container.signal(signal.SIGSTOP)
    going_on = threading.Timer(STOPPED_S, target.container.signal, (signal.SIGCONT,))
    going_on.daemon = True
    going_on.start()
    return nothing_to_mend


def region_lost(target: Target) -> Mend:
    """Its disk comes back with the machine."""
    pid = target.container.pid
    assert pid is not None
    swallow([pid], target.simulator_pid)
    target.container.lose(REGION_AWAY_S)
    return nothing_to_mend


def deploy(target: Target) -> Mend:
    """With a new QR code. Whoever scans it removes the device that is gone: a number has four at most."""
    links = target.container.links
    target.container.deploy()
    deadline = time.monotonic() + STANDS_S
    while target.container.links == links and time.monotonic() < deadline:
        time.sleep(0.01)
    target.whatsapp.unlink(target.container.phone, target.device)
    return nothing_to_mend


STRIKES: dict[str, Callable[[Target], Mend]] = {
    "reset": reset,
    "black_hole": black_hole,
    "half_open": half_open,
    "stop_answering": stop_answering,
    "cell_kill": kill,  # its one process is both
    "connector_kill": kill,
    "connector_stop": stop,
    "region_lost": region_lost,
    "deploy": deploy,
}
# Nothing ends, nothing answers: the library needs minutes.
SILENT = frozenset({"black_hole", "half_open", "stop_answering"})
