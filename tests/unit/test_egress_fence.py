"""The fence: once the lease has run out nothing leaves, whatever sleeps, stands or wakes."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keepline.adapters.system_clock import SystemClock
from keepline_connector.cell.egress import Egress
from keepline_connector.cell.fence import Fence
from keepline_connector.cell.last_resort import LastResort
from keepline_connector.cell.path import missing_options
from tests.unit.egress_support import LIMIT_S, FarEnd, dial, open_exit

CLOCK = SystemClock()


class Hands:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    running = FarEnd()
    yield running
    running.stop()


def nothing(kind: str, age_ms: int) -> None:
    """These tests do not look at evidence."""


def until(condition: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit_s, "it did not come about"
        time.sleep(0.005)


def test_a_fence_lets_through_until_its_deadline() -> None:
    clock = Hands()
    fence = Fence(deadline_s=103.0, now_s=clock)
    assert fence.lets_through(fence.life)
    clock.now_s = 103.0
    assert not fence.lets_through(fence.life)


def test_an_early_deadline_takes_nothing_from_a_later_one() -> None:
    fence = Fence(deadline_s=103.0, now_s=Hands())
    fence.renew(102.0)
    assert fence.left_s() == 3.0
    fence.renew(104.0)
    assert fence.left_s() == 4.0


def test_what_was_open_before_a_gap_does_not_speak_after_it() -> None:
    clock = Hands()
    fence = Fence(deadline_s=103.0, now_s=clock)
    before = fence.life
    fence.renew(104.0)
    assert fence.lets_through(before)
    clock.now_s = 105.0
    fence.renew(108.0)
    assert not fence.lets_through(before)
    assert fence.lets_through(fence.life)


def test_a_closed_fence_is_opened_by_a_renewal_only() -> None:
    fence = Fence(-math.inf, now_s=Hands())
    assert not fence.lets_through(fence.life)
    fence.renew(101.0)
    assert fence.lets_through(fence.life)


def test_a_chunk_after_the_deadline_does_not_leave_and_the_socket_is_reset(far_end: FarEnd) -> None:
    clock = Hands()
    egress = Egress(Fence(math.inf, now_s=clock))
    client, _ = dial(open_exit(egress, "device", far_end.url, nothing))
    client.sendall(b"before")
    assert client.recv(10) == b"before"
    clock.now_s = math.inf
    client.sendall(b"after")
    assert client.recv(10) == b""
    assert far_end.wait_for_end() == "reset"
    assert far_end.got == b"before"


def test_an_idle_socket_is_reset_when_the_lease_runs_out(far_end: FarEnd) -> None:
    egress = Egress(Fence(CLOCK.monotonic_s() + 0.3))
    client, answer = dial(open_exit(egress, "device", far_end.url, nothing))
    assert answer.startswith(b"HTTP/1.1 200")
    assert client.recv(10) == b""
    late_s = CLOCK.monotonic_s() - egress._fence.deadline_s
    assert far_end.wait_for_end() == "reset"
    assert 0 <= late_s < 0.1
    assert egress.status().cut == 1


def test_while_the_lease_is_renewed_the_socket_stands(far_end: FarEnd) -> None:
    egress = Egress(Fence(CLOCK.monotonic_s() + 0.3))
    client, _ = dial(open_exit(egress, "device", far_end.url, nothing))
    start_s = CLOCK.monotonic_s()
    while CLOCK.monotonic_s() < start_s + 0.6:
        egress.renew(CLOCK.monotonic_s() + 0.3)
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert far_end.ended == []
    egress.close("device")


def test_without_a_lease_there_is_no_connection_and_with_a_new_one_there_is(far_end: FarEnd) -> None:
    egress = Egress(Fence(CLOCK.monotonic_s()))
    proxy = open_exit(egress, "device", far_end.url, nothing)
    assert dial(proxy)[1].startswith(b"HTTP/1.1 503")
    assert far_end.asked == []
    egress.renew(CLOCK.monotonic_s() + LIMIT_S)
    client, answer = dial(proxy)
    assert answer.startswith(b"HTTP/1.1 200")
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    egress.close("device")


def test_a_connection_of_before_a_gap_is_cut_although_the_lease_is_back(far_end: FarEnd) -> None:
    clock = Hands()
    fence = Fence(200.0, now_s=clock)
    egress = Egress(fence)
    client, _ = dial(open_exit(egress, "device", far_end.url, nothing))
    # The whole gap lies between two looks of the egress.
    clock.now_s = 201.0
    fence.renew(300.0)
    client.sendall(b"after")
    assert client.recv(10) == b""
    assert far_end.wait_for_end() == "reset"
    assert far_end.got == b""


def test_the_rest_of_a_chunk_that_did_not_fit_does_not_leave_later() -> None:
    """WhatsApp's side does not read, so our buffers fill up; when it reads on, the lease is over."""
    far_end = FarEnd(read=False)
    clock = Hands()
    egress = Egress(Fence(math.inf, now_s=clock))
    client, _ = dial(open_exit(egress, "device", far_end.url, nothing))
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        while True:
            client.sendall(bytes(1 << 16))
    clock.now_s = math.inf
    far = far_end.connections[0]
    far.settimeout(LIMIT_S)
    with pytest.raises(ConnectionResetError):
        while far.recv(1 << 16):
            pass
    far_end.stop()


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    script = Path(__file__).parent / "fenced_egress.py"
    running = subprocess.Popen([sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    try:
        yield running, running.stdout.readline().strip()
    finally:
        running.kill()
        running.wait(LIMIT_S)
        running.stdout.close()


def stop_with_something_to_say(running: subprocess.Popen[str], client: socket.socket) -> None:
    """Stop the process; what the library says then waits in front of it."""
    running.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WNOWAIT)
    client.sendall(b"said while it slept")


def test_a_process_that_wakes_after_its_lease_says_nothing(far_end: FarEnd) -> None:
    lease_s = 0.7
    with process(far_end.url, str(lease_s)) as (running, proxy):
        started_s = CLOCK.monotonic_s()
        client, _ = dial(proxy)
        client.sendall(b"before")
        assert client.recv(10) == b"before"
        stop_with_something_to_say(running, client)
        until(lambda: CLOCK.monotonic_s() > started_s + lease_s)
        running.send_signal(signal.SIGCONT)
        assert far_end.wait_for_end() == "reset"
        assert client.recv(10) == b""
        assert far_end.got == b"before"
        assert running.poll() is None


def test_a_process_that_sleeps_over_its_lease_is_ended_by_the_kernel_and_its_sockets_with_it(far_end: FarEnd) -> None:
    LastResort()  # not armed: it only finds out
    if "timer_create" in missing_options():
        pytest.skip("this system has no such timers")
    with process(far_end.url, "0.7", "last_resort") as (running, proxy):
        started_s = CLOCK.monotonic_s()
        client, _ = dial(proxy)
        stop_with_something_to_say(running, client)
        assert running.wait(LIMIT_S) == -signal.SIGKILL
        assert CLOCK.monotonic_s() - started_s < 1.5
        assert far_end.wait_for_end() == "reset"
        assert far_end.got == b""


def test_a_process_that_cuts_its_sockets_by_itself_is_left_alone(far_end: FarEnd) -> None:
    with process(far_end.url, "0.5", "last_resort") as (running, proxy):
        started_s = CLOCK.monotonic_s()
        client, _ = dial(proxy)
        assert client.recv(10) == b""
        assert far_end.wait_for_end() == "reset"
        until(lambda: CLOCK.monotonic_s() > started_s + 1.0)
        assert dial(proxy)[1].startswith(b"HTTP/1.1 503")
        assert running.poll() is None
