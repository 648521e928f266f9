"""The baseline gateway on the simulator: it works, and what it is said to lose it does lose."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.baseline.container import Container
from bench.baseline.observing import Inbox, StatusWatch
from simulator.client import SimulatorClient, wait_for
from simulator.testing import RunningSimulator
from tests.chaos.load import Book, Program

PHONE, FRIEND = "14155560000", "14155570000"
LIMIT_S = 60.0


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[Container, SimulatorClient, Inbox, StatusWatch]]:
    with RunningSimulator() as running:
        for number in (PHONE, FRIEND):
            running.client.add_phone(number)
        # What a simulator in a process of its own leaves for its clients.
        (tmp_path / "simulator.json").write_text(json.dumps(running.about))
        (tmp_path / "noise_root.hex").write_text(running.about["noise_root"])
        (tmp_path / "ca.pem").write_bytes(Path(running.about["ca"]).read_bytes())
        inbox = Inbox(1)
        container = Container(PHONE, tmp_path, running.client.control, tmp_path, inbox.url(0))
        container.start()
        watch = StatusWatch(container)
        try:
            wait_for(lambda: watch.is_connected, LIMIT_S, "the gateway to be connected")
            yield container, running.client, inbox, watch
        finally:
            watch.stop()
            container.stop()
            inbox.stop()


def texts(whatsapp: SimulatorClient) -> list[str]:
    return [message["text"] for message in whatsapp.inbox(FRIEND)]


def test_it_sends_hears_and_comes_back_on_its_disk_after_a_kill_without_what_it_had_accepted(
    gateway: tuple[Container, SimulatorClient, Inbox, StatusWatch],
) -> None:
    container, whatsapp, inbox, watch = gateway
    program = Program(container.api, "", Book())
    program.send(PHONE, FRIEND, "first", key="1")
    wait_for(lambda: "first" in texts(whatsapp), LIMIT_S, "the first message")
    heard = whatsapp.send(FRIEND, PHONE, "hello")
    wait_for(lambda: heard in inbox.heard[0], LIMIT_S, "what came in")

    fault = whatsapp.add_fault("stop_answering", {"number": PHONE})
    assert program.send(PHONE, FRIEND, "lost", key="2") is not None
    killed_at = time.time()
    container.signal(signal.SIGKILL)
    whatsapp.clear_faults(fault)
    wait_for(lambda: watch.noticed_at(killed_at) is not None and watch.is_connected, LIMIT_S, "the gateway to be back")
    program.send(PHONE, FRIEND, "second", key="3")
    wait_for(lambda: "second" in texts(whatsapp), LIMIT_S, "the second message")
    assert texts(whatsapp) == ["first", "second"]
    assert container.links == 1


def test_a_deploy_is_a_new_qr_code(gateway: tuple[Container, SimulatorClient, Inbox, StatusWatch]) -> None:
    container, whatsapp, _, _ = gateway
    container.deploy()
    wait_for(lambda: container.links == 2, LIMIT_S, "the second code to be scanned")
    assert len(whatsapp.devices(PHONE)) == 2
