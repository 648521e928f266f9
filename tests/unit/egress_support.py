"""The far ends of the egress tests: proxies that are WhatsApp as well, and the library's side of a CONNECT."""

from __future__ import annotations

import base64
import socket
import struct
import threading
from typing import Any

from keepline_connector.cell.egress import Egress, Report

LIMIT_S = 10.0
TARGET = "web.whatsapp.com:443"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class FarEnd:
    """A proxy that answers for WhatsApp: it echoes, unless it is `mute` or does not `read`. `got` is all that arrived."""

    def __init__(self, *, read: bool = True, mute: bool = False) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.asked: list[str] = []
        self.connections: list[socket.socket] = []
        self.got = bytearray()
        self.ended: list[str] = []
        self._read = read
        self._mute = mute
        self.changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def stop(self) -> None:
        self.listener.close()
        for connection in self.connections:
            connection.close()

    def wait_for_end(self, number: int = 1) -> str:
        """How the `number`-th connection to end did so: `reset` or `closed`."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.ended) >= number, LIMIT_S)
            return self.ended[number - 1]

    def welcome(self, connection: socket.socket) -> bool:
        """Take the request in and answer it; False: refused."""
        head = read_head(connection)
        self.asked.append(head.split(b"\r\n")[0].decode())
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        return True

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        end = "closed"
        try:
            if self.welcome(connection) and self._read:
                self.talk(connection)
            elif self._read:
                connection.close()
        except ConnectionResetError:
            end = "reset"
        except OSError:
            return
        if self._read:
            with self.changed:
                self.ended.append(end)
                self.changed.notify_all()

    def talk(self, connection: socket.socket) -> None:
        while data := connection.recv(4096):
            self.got += data
            if not self._mute:
                connection.sendall(data)


class HttpProxy(FarEnd):
    """Wants `name` and `password`, and answers in drips: a head may come in any number of packets."""

    def __init__(self, name: str, password: str) -> None:
        self._wanted = base64.b64encode(f"{name}:{password}".encode()).decode()
        super().__init__()

    def welcome(self, connection: socket.socket) -> bool:
        head = read_head(connection).decode()
        self.asked.append(head.split("\r\n")[0])
        if f"Proxy-Authorization: Basic {self._wanted}\r\n" not in head:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return False
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in (b"HTTP/1.1 2", b"00 OK\r\nVia: some", b"body\r\n\r", b"\n"):
            connection.sendall(part)
        return True


class SocksProxy(FarEnd):
    """SOCKS5 with or without a login; `reply` other than 0 refuses."""

    def __init__(self, login: tuple[str, str] | None = None, reply: int = 0, bound: bytes = b"\x01\0\0\0\0") -> None:
        self._login = login
        self._reply = reply
        self._bound = bound
        super().__init__()

    def welcome(self, connection: socket.socket) -> bool:
        version, count = connection.recv(2)
        methods = connection.recv(count)
        assert version == 5
        if self._login is None:
            connection.sendall(b"\x05\x00")
        elif 2 not in methods:
            connection.sendall(b"\x05\xff")
            return False
        else:
            connection.sendall(b"\x05\x02")
            connection.recv(1)
            name = connection.recv(connection.recv(1)[0]).decode()
            password = connection.recv(connection.recv(1)[0]).decode()
            accepted = (name, password) == self._login
            connection.sendall(b"\x01\x00" if accepted else b"\x01\x01")
            if not accepted:
                return False
        head = connection.recv(4)
        assert head == b"\x05\x01\x00\x03", "the name is resolved by the proxy"
        host = connection.recv(connection.recv(1)[0]).decode()
        self.asked.append(f"{host}:{int.from_bytes(connection.recv(2), 'big')}")
        connection.sendall(b"\x05" + bytes([self._reply]) + b"\x00" + self._bound + b"\x00\x00")
        return self._reply == 0


def open_exit(
    egress: Egress, device: str, upstream: str, report: Report, *others: Any, public_only: bool = False
) -> str:
    """An exit of a device that leads through `upstream`."""
    proxy = egress.open(device, report, *others)
    egress.route(device, upstream, public_only=public_only)
    return proxy


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = connection.recv(1)
        if not part:
            raise ConnectionResetError
        head += part
    return head


def dial(proxy: str, target: str = TARGET) -> tuple[socket.socket, bytes]:
    """What the library does: CONNECT through the exit. Returns the socket and the answer's first line."""
    host, _, port = proxy.removeprefix("http://").partition(":")
    client = socket.create_connection((host, int(port)), timeout=LIMIT_S)
    client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    return client, read_head(client).split(b"\r\n")[0]
