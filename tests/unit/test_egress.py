"""The egress proxy on loopback: what it carries, what it refuses, what it knows."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator

import pytest

from keepline_connector.cell.egress import Egress

LIMIT_S = 10.0


class Upstream:
    """An HTTP CONNECT proxy that is also the far end: it echoes."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.asked: list[str] = []
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self.asked.append(connection.recv(4096).split(b"\r\n")[0].decode())
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while data := connection.recv(4096):
                connection.sendall(data)
        except OSError:
            return


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.listener.close()


@pytest.fixture(scope="module")
def egress() -> Egress:
    return Egress()


def dial(proxy: str, target: str = "web.whatsapp.com:443") -> tuple[socket.socket, bytes]:
    host, _, port = proxy.removeprefix("http://").partition(":")
    client = socket.create_connection((host, int(port)), timeout=LIMIT_S)
    client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    return client, client.recv(4096)


def test_bytes_go_both_ways_through_the_upstream_proxy(egress: Egress, upstream: Upstream) -> None:
    proxy = egress.open("carry", upstream.url, lambda kind, age_ms: None)
    client, answer = dial(proxy)
    assert answer.startswith(b"HTTP/1.1 200")
    client.sendall(b"hello")
    assert client.recv(100) == b"hello"
    assert upstream.asked == ["CONNECT web.whatsapp.com:443 HTTP/1.1"]
    egress.close("carry")


@pytest.mark.parametrize("target", ["example.com:443", "evilwhatsapp.com:443", "web.whatsapp.com", "127.0.0.1:22"])
def test_only_whatsapp_can_be_reached(egress: Egress, upstream: Upstream, target: str) -> None:
    proxy = egress.open(target, upstream.url, lambda kind, age_ms: None)
    client, answer = dial(proxy, target)
    assert answer.startswith(b"HTTP/1.1 403")
    assert client.recv(10) == b""
    assert upstream.asked == []
    egress.close(target)


def test_an_upstream_that_is_down_is_a_502(egress: Egress) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    proxy = egress.open("down", nobody, lambda kind, age_ms: None)
    _, answer = dial(proxy)
    assert answer.startswith(b"HTTP/1.1 502")
    egress.close("down")


def test_closing_a_device_cuts_its_socket_at_once_and_no_other(egress: Egress, upstream: Upstream) -> None:
    cut = dial(egress.open("cut", upstream.url, lambda kind, age_ms: None))[0]
    kept = dial(egress.open("kept", upstream.url, lambda kind, age_ms: None))[0]
    egress.close("cut")
    assert cut.recv(10) == b""
    kept.sendall(b"still here")
    assert kept.recv(100) == b"still here"
    egress.close("kept")


def test_cutting_a_tunnel_is_no_error_in_the_log(
    egress: Egress, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = egress.open("quiet", upstream.url, lambda kind, age_ms: None)
    for _ in range(2):
        client, _ = dial(proxy)
        egress.cut("quiet")
        assert client.recv(10) == b""
    dial(proxy)
    egress.close("quiet")
    # The cut of another device comes after all that this one has left to the loop.
    egress.open("next", upstream.url, lambda kind, age_ms: None)
    egress.close("next")
    assert caplog.records == []


def test_a_standing_tunnel_reports_fresh_evidence(egress: Egress, upstream: Upstream) -> None:
    reports: queue.Queue[tuple[str, int]] = queue.Queue()
    proxy = egress.open("evidence", upstream.url, lambda kind, age_ms: reports.put((kind, age_ms)))
    client, _ = dial(proxy)
    client.sendall(b"x")
    client.recv(1)
    kind, age_ms = reports.get(timeout=LIMIT_S)
    assert kind in ("tcp", "frame")
    assert 0 <= age_ms < 5_000
    egress.close("evidence")
