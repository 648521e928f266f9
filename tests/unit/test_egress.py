"""The egress proxy on loopback: what it carries, what it refuses, what it knows."""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import resource
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from keepline.domain.link_quality import PathSample
from keepline_connector.cell import egress as egress_module
from keepline_connector.cell import path
from keepline_connector.cell.egress import Egress
from tests.chaos.black_hole import let_everything_through, let_nothing_through
from tests.unit.egress_support import LIMIT_S, FarEnd, dial, open_exit


def nothing(kind: str, age_ms: int) -> None:
    """For tests that do not look at evidence."""


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    running = FarEnd()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def egress() -> Egress:
    return Egress()


def test_bytes_go_both_ways_through_the_upstream_proxy(egress: Egress, far_end: FarEnd) -> None:
    proxy = open_exit(egress, "carry", far_end.url, nothing)
    client, answer = dial(proxy)
    assert answer.startswith(b"HTTP/1.1 200")
    client.sendall(b"hello")
    assert client.recv(100) == b"hello"
    assert far_end.asked == ["CONNECT web.whatsapp.com:443 HTTP/1.1"]
    egress.close("carry")


def test_more_than_the_buffers_hold_arrives_whole(egress: Egress, far_end: FarEnd) -> None:
    client, _ = dial(open_exit(egress, "much", far_end.url, nothing))
    sent = bytes(range(256)) * 40_000
    got = bytearray()
    client.setblocking(False)
    rest = memoryview(sent)
    while len(got) < len(sent):
        with suppress(BlockingIOError):
            rest = rest[client.send(rest) :] if rest else rest
        with suppress(BlockingIOError):
            got += client.recv(1 << 16)
    assert got == sent
    egress.close("much")


@pytest.mark.parametrize("target", ["example.com:443", "evilwhatsapp.com:443", "web.whatsapp.com", "127.0.0.1:22"])
def test_only_whatsapp_can_be_reached(egress: Egress, far_end: FarEnd, target: str) -> None:
    proxy = open_exit(egress, target, far_end.url, nothing)
    client, answer = dial(proxy, target)
    assert answer.startswith(b"HTTP/1.1 403")
    assert client.recv(10) == b""
    assert far_end.asked == []
    egress.close(target)


def test_an_upstream_that_is_down_is_a_502(egress: Egress) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    proxy = open_exit(egress, "down", nobody, nothing)
    _, answer = dial(proxy)
    assert answer.startswith(b"HTTP/1.1 502")
    egress.close("down")


def test_closing_a_device_cuts_its_socket_at_once_and_no_other(egress: Egress, far_end: FarEnd) -> None:
    cut = dial(open_exit(egress, "cut", far_end.url, nothing))[0]
    kept = dial(open_exit(egress, "kept", far_end.url, nothing))[0]
    egress.close("cut")
    assert cut.recv(10) == b""
    kept.sendall(b"still here")
    assert kept.recv(100) == b"still here"
    egress.close("kept")


def test_a_connection_that_comes_while_its_exit_closes_does_not_hang(egress: Egress, far_end: FarEnd) -> None:
    port = int(open_exit(egress, "closing", far_end.url, nothing).rpartition(":")[2])
    busy = threading.Event()
    egress._loop.call_soon_threadsafe(busy.wait, LIMIT_S)
    client = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
    client.sendall(b"CONNECT web.whatsapp.com:443 HTTP/1.1\r\n\r\n")
    # Both at once: the loop accepts the connection and begins to close.
    closed = asyncio.run_coroutine_threadsafe(egress._close("closing"), egress._loop)
    busy.set()
    closed.result(LIMIT_S)
    with suppress(ConnectionResetError):
        assert client.recv(100)[:12] in (b"HTTP/1.1 503", b"")
    assert far_end.asked == []


def test_a_connection_waits_while_there_are_no_descriptors(
    egress: Egress, far_end: FarEnd, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(open_exit(egress, "poor", far_end.url, nothing).rpartition(":")[2])
    client = socket.socket()
    client.settimeout(LIMIT_S)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 50, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(client.fileno()))
        client.connect(("127.0.0.1", port))
        limit_s = time.monotonic() + LIMIT_S
        while "must wait" not in caplog.text:
            assert time.monotonic() < limit_s
            time.sleep(0.01)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    client.sendall(b"CONNECT web.whatsapp.com:443 HTTP/1.1\r\n\r\n")
    assert client.recv(100).startswith(b"HTTP/1.1 200")
    egress.close("poor")


def test_a_cut_is_a_reset_and_leaves_the_exit_open(egress: Egress, far_end: FarEnd) -> None:
    proxy = open_exit(egress, "again", far_end.url, nothing)
    client, _ = dial(proxy)
    egress.cut("again")
    assert far_end.wait_for_end() == "reset"
    assert client.recv(10) == b""
    assert dial(proxy)[1].startswith(b"HTTP/1.1 200")
    egress.close("again")


def test_while_a_change_is_on_its_way_the_connection_that_stands_is_the_only_one_for_chats(
    egress: Egress, far_end: FarEnd
) -> None:
    proxy = open_exit(egress, "kept to", far_end.url, nothing)
    client, _ = dial(proxy)
    with egress.keep_to_this_connection("kept to"):
        client.sendall(b"the change")
        assert client.recv(100) == b"the change"
        assert dial(proxy)[1].startswith(b"HTTP/1.1 503")
        # Files go elsewhere, and change nothing twice.
        assert dial(proxy, "mmg.whatsapp.net:443")[1].startswith(b"HTTP/1.1 200")
    assert dial(proxy)[1].startswith(b"HTTP/1.1 200")
    with egress.keep_to_this_connection("kept to"):
        # A new life of the client is another matter: it knows nothing of the change.
        egress.unbar("kept to")
        assert dial(proxy)[1].startswith(b"HTTP/1.1 200")
    egress.close("kept to")


@pytest.mark.parametrize("has_read", [True, False], ids=["a clean end", "a reset, as something is left unread"])
def test_the_last_words_before_the_library_hangs_up_still_leave(
    egress: Egress, far_end: FarEnd, has_read: bool
) -> None:
    client, _ = dial(open_exit(egress, "last", far_end.url, nothing))
    client.sendall(b"good bye")
    assert client.recv(100, 0 if has_read else socket.MSG_PEEK) == b"good bye"
    client.close()
    assert far_end.wait_for_end() == "closed"
    assert far_end.got == b"good bye"
    egress.close("last")


def full_up(client: socket.socket) -> int:
    """Say more than is read at the other end. Returns how much of it has left the library's own buffer."""
    client.settimeout(0.3)
    said = 0
    with suppress(TimeoutError):
        while True:
            said += client.send(bytes(1 << 16))
    (unsent,) = struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))
    return said - int(unsent)


@pytest.mark.parametrize("unread", [b"", b"something"], ids=["a clean end", "a reset, as something is left unread"])
def test_nothing_of_much_that_waits_is_lost_when_the_library_hangs_up(egress: Egress, unread: bytes) -> None:
    far_end = FarEnd(read=False)
    client, _ = dial(open_exit(egress, "crowd", far_end.url, nothing))
    far = far_end.connections[0]
    far.sendall(unread)
    if unread:
        assert client.recv(100, socket.MSG_PEEK) == unread
    said = full_up(client)
    client.close()
    far.settimeout(LIMIT_S)
    got = 0
    while part := far.recv(1 << 16):
        got += len(part)
    assert got >= said > 0
    egress.close("crowd")
    far_end.stop()


def test_what_waits_when_the_library_has_hung_up_does_not_leave_after_a_cut(egress: Egress) -> None:
    far_end = FarEnd(read=False)
    client, _ = dial(open_exit(egress, "late", far_end.url, nothing))
    far = far_end.connections[0]
    client.sendall(b"last words")
    full_up(client)
    client.close()
    egress.cut("late")
    far.settimeout(LIMIT_S)
    with pytest.raises(ConnectionResetError):
        while far.recv(1 << 16):
            pass
    egress.close("late")
    far_end.stop()


def test_cutting_a_tunnel_is_no_error_in_the_log(
    egress: Egress, far_end: FarEnd, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = open_exit(egress, "quiet", far_end.url, nothing)
    for _ in range(2):
        client, _ = dial(proxy)
        egress.cut("quiet")
        assert client.recv(10) == b""
    dial(proxy)
    egress.close("quiet")
    # The cut of another device comes after all that this one has left to the loop.
    open_exit(egress, "next", far_end.url, nothing)
    egress.close("next")
    assert caplog.records == []


def test_a_standing_tunnel_reports_fresh_evidence(egress: Egress, far_end: FarEnd) -> None:
    reports: queue.Queue[tuple[str, int]] = queue.Queue()
    proxy = open_exit(egress, "evidence", far_end.url, lambda kind, age_ms: reports.put((kind, age_ms)))
    client, _ = dial(proxy)
    client.sendall(b"x")
    client.recv(1)
    kind, age_ms = reports.get(timeout=LIMIT_S)
    assert kind in ("tcp", "frame")
    assert 0 <= age_ms < 5_000
    egress.close("evidence")


def test_a_media_connection_is_no_evidence_for_the_chat_connection(egress: Egress, far_end: FarEnd) -> None:
    of_media: queue.Queue[str] = queue.Queue()
    of_chat: queue.Queue[str] = queue.Queue()
    media, _ = dial(
        open_exit(egress, "media", far_end.url, lambda kind, age_ms: of_media.put(kind)), "mmg.whatsapp.net:443"
    )
    media.sendall(b"picture")
    assert media.recv(100) == b"picture"
    chat, _ = dial(open_exit(egress, "chat", far_end.url, lambda kind, age_ms: of_chat.put(kind)))
    assert of_chat.get(timeout=LIMIT_S)
    assert of_chat.get(timeout=LIMIT_S)
    assert of_media.empty()
    chat.close()
    egress.close("media")
    egress.close("chat")


def sampled(egress: Egress, device: str, far_end: FarEnd) -> tuple[socket.socket, queue.Queue[PathSample]]:
    samples: queue.Queue[PathSample] = queue.Queue()
    client, _ = dial(open_exit(egress, device, far_end.url, nothing, samples.put))
    return client, samples


def later(samples: queue.Queue[PathSample]) -> Iterator[PathSample]:
    """The next few samples, about a second apart."""
    return (samples.get(timeout=LIMIT_S) for _ in range(5))


def test_the_kernel_tells_the_round_trip_what_is_unacknowledged_and_what_it_has_sent_again(
    egress: Egress, far_end: FarEnd
) -> None:
    client, samples = sampled(egress, "kernel", far_end)
    client.sendall(b"x")
    client.recv(1)
    sample = samples.get(timeout=LIMIT_S)
    if "TCP_INFO" in path.missing_options():
        pytest.skip("this kernel tells nothing of its sockets")
    assert sample.round_trip_ms is not None
    assert 0 < sample.round_trip_ms < 1_000
    assert (sample.sent, sample.retransmitted, sample.unacked_ms) == (2, 0, 0)  # the CONNECT, and x
    let_nothing_through(far_end.connections[0])
    client.sendall(b"y")
    assert any(sample.retransmitted for sample in later(samples))
    let_everything_through(far_end.connections[0])
    client.settimeout(LIMIT_S)
    assert client.recv(1) == b"y"
    sample = next(sample for sample in later(samples) if not sample.unacked_ms)
    assert sample.retransmitted is not None
    assert sample.sent == 3 + sample.retransmitted
    egress.close("kernel")


def test_a_frame_that_nothing_comes_back_after_is_told_of_as_silence_until_something_does(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress_module, "SILENCE_LIMIT_MS", 300)
    far_end = FarEnd(mute=True)
    client, samples = sampled(egress, "silent", far_end)
    assert samples.get(timeout=LIMIT_S).silent_ms == 0
    client.sendall(b"anybody there?")
    silent = next(sample for sample in later(samples) if sample.silent_ms)
    assert 300 < silent.silent_ms < 900  # told at once, not with the next report
    assert silent.frame_age_ms >= silent.silent_ms
    far_end.connections[0].sendall(b"yes")
    assert client.recv(10) == b"yes"
    assert any(sample.silent_ms == 0 for sample in later(samples))
    egress.close("silent")
    far_end.stop()


def test_a_lost_probe_does_not_end_an_idle_connection(egress: Egress, far_end: FarEnd) -> None:
    client, _ = dial(open_exit(egress, "lossy", far_end.url, nothing))
    far = far_end.connections[0]
    let_nothing_through(far)
    begun_s = time.monotonic()
    client.settimeout(1.2)
    with pytest.raises(TimeoutError):
        client.recv(1)  # It stands. Meanwhile the kernel has asked, and nobody has heard it.
    let_everything_through(far)
    client.settimeout(2.0)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(LIMIT_S)
    client.sendall(b"still here")
    assert client.recv(100) == b"still here"
    assert time.monotonic() - begun_s > 3
    egress.close("lossy")


def test_an_idle_path_that_is_gone_is_found_in_two_seconds_and_a_bit(egress: Egress, far_end: FarEnd) -> None:
    client, _ = dial(open_exit(egress, "gone", far_end.url, nothing))
    let_nothing_through(far_end.connections[0])
    begun_s = time.monotonic()
    assert client.recv(1) == b""
    assert time.monotonic() - begun_s < 3
    egress.close("gone")


def test_the_egress_says_what_it_has_carried_cut_and_not_reached(far_end: FarEnd) -> None:
    egress = Egress()
    proxy = open_exit(egress, "told", far_end.url, nothing)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    dial(open_exit(egress, "down", nobody, nothing))
    client, _ = dial(proxy)
    client.sendall(b"hello")
    assert client.recv(100) == b"hello"
    told = egress.status()
    assert (told.connections, told.cut, told.sent_bytes, told.heard_bytes) == (1, 0, 5, 5)
    assert told.failed_dials == {"proxy_unreachable": 1}
    egress.cut("told")
    told = egress.status()
    assert (told.connections, told.cut, told.sent_bytes, told.heard_bytes) == (0, 1, 5, 5)
    assert far_end.wait_for_end() == "reset"
    client, _ = dial(proxy)
    client.close()
    assert far_end.wait_for_end(2) == "closed"
    egress.close("told")
    assert egress.status().cut == 1, "the library hung up by itself"


def test_a_kernel_without_an_option_is_named_once_and_the_rest_works(
    far_end: FarEnd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(path, "_missing", set())
    monkeypatch.setattr(path, "_OPTIONS", {"TCP_NO_SUCH_OPTION": 1, "TCP_KEEPIDLE": 1})
    monkeypatch.delattr(socket, "TCP_INFO")
    egress = Egress()
    for _ in range(2):
        client, samples = sampled(egress, "old", far_end)
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        sample = samples.get(timeout=LIMIT_S)
        assert (sample.round_trip_ms, sample.unacked_ms) == (None, None)
        egress.close("old")
    assert egress.status().missing == ("TCP_INFO", "TCP_NO_SUCH_OPTION")
    named = [record.getMessage() for record in caplog.records if "are found later" in record.message]
    assert len(named) == 2
