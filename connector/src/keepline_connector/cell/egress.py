"""The egress proxy: a cell's own HTTP CONNECT proxy, so that it owns the TCP sockets to WhatsApp.

TLS stays end to end between the library and WhatsApp; what is gained is knowing when bytes last arrived, and letting the
kernel's keep-alive ask the path every second without one byte that WhatsApp could see.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# A kernel that knows these options finds a dead path in about 2 s; one that does not leaves it to the library's own ping.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 2_000}
_LOOK_INTERVAL_S = 1.0
_DIAL_TIMEOUT_S = 10.0
_CHUNK_BYTES = 64 * 1024
_HEAD_BYTES_MAX = 8 * 1024
_ALLOWED_HOSTS = (".whatsapp.net", ".whatsapp.com")
# struct tcp_info of Linux: tcpi_last_ack_recv, milliseconds since the peer's kernel last answered, is the 13th u32 after 8 bytes.
_LAST_ACK_RECV_OFFSET = 56

Report = Callable[[str, int], None]

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Tunnel:
    socket: socket.socket
    heard_at_s: float


@dataclass(eq=False)
class _Exit:
    """One device's way out. `report(kind, age_ms)` gets the newest evidence about once a second while a tunnel stands."""

    upstream: str | None
    report: Report
    tunnels: set[_Tunnel] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Egress:
    """All exits of a cell, on one event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._exits: dict[str, tuple[_Exit, asyncio.Server]] = {}
        threading.Thread(target=self._loop.run_forever, name="egress", daemon=True).start()
        self._looking = asyncio.run_coroutine_threadsafe(self._look(), self._loop)

    def open(self, device: str, upstream: str | None, report: Report) -> str:
        """Open a device's exit and return its proxy address. `upstream` is another HTTP proxy to go through, or None."""
        return asyncio.run_coroutine_threadsafe(self._open(device, upstream, report), self._loop).result()

    def close(self, device: str) -> None:
        """Cut everything of this device at once."""
        asyncio.run_coroutine_threadsafe(self._close(device), self._loop).result()

    def cut(self, device: str) -> None:
        """Cut the device's connections and leave its exit open for the next ones."""
        asyncio.run_coroutine_threadsafe(self._cut(device), self._loop).result()

    async def _cut(self, device: str) -> None:
        way_out, _ = self._exits[device]
        tasks = list(way_out.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _open(self, device: str, upstream: str | None, report: Report) -> str:
        way_out = _Exit(upstream, report)

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # A task of our own: where start_server makes it (from a coroutine), CPython 3.11 logs an error when it is cancelled.
            task = self._loop.create_task(_serve(way_out, reader, writer))
            way_out.tasks.add(task)
            task.add_done_callback(way_out.tasks.discard)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=_HEAD_BYTES_MAX)
        self._exits[device] = (way_out, server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _close(self, device: str) -> None:
        way_out, server = self._exits.pop(device, (None, None))
        if way_out is None or server is None:
            return
        server.close()
        for task in way_out.tasks:
            task.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            for way_out, _ in list(self._exits.values()):
                newest = min((_evidence(tunnel) for tunnel in way_out.tunnels), key=lambda seen: seen[1], default=None)
                if newest is not None:
                    way_out.report(*newest)


async def _serve(way_out: _Exit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One CONNECT of the library: dial, then carry bytes both ways until either side ends."""
    open_sides = [writer]
    try:
        target = await _read_connect(reader)
        if target is None:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        try:
            async with asyncio.timeout(_DIAL_TIMEOUT_S):
                from_whatsapp, to_whatsapp = await _dial(way_out.upstream, *target)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.info("WhatsApp could not be reached: %s", type(error).__name__)
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        open_sides.append(to_whatsapp)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        tunnel = _Tunnel(to_whatsapp.get_extra_info("socket"), time.monotonic())
        way_out.tunnels.add(tunnel)
        try:
            await _carry_both(tunnel, reader, writer, from_whatsapp, to_whatsapp)
        finally:
            way_out.tunnels.discard(tunnel)
    finally:
        for side in open_sides:
            side.close()


async def _read_connect(reader: asyncio.StreamReader) -> tuple[str, int] | None:
    """The host and port that are asked for, or None when they are not WhatsApp's."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        host, _, port = target.rpartition(":")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        return None
    if method != "CONNECT" or not port.isdigit() or not host.endswith(_ALLOWED_HOSTS):
        return None
    return host, int(port)


async def _dial(upstream: str | None, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if upstream is None:
        reader, writer = await asyncio.open_connection(host, port)
    else:
        proxy = urlsplit(upstream)
        reader, writer = await asyncio.open_connection(proxy.hostname, proxy.port)
        writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer.split(b"\r\n", 1)[0] + b" ":
            writer.close()
            raise ConnectionError("the upstream proxy refused")
    _watch_path(writer.get_extra_info("socket"))
    return reader, writer


def _watch_path(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.IPPROTO_TCP, option, value)


async def _carry_both(
    tunnel: _Tunnel,
    from_library: asyncio.StreamReader,
    to_library: asyncio.StreamWriter,
    from_whatsapp: asyncio.StreamReader,
    to_whatsapp: asyncio.StreamWriter,
) -> None:
    def heard() -> None:
        tunnel.heard_at_s = time.monotonic()

    carriers = [
        asyncio.create_task(_carry(from_library, to_whatsapp, lambda: None)),
        asyncio.create_task(_carry(from_whatsapp, to_library, heard)),
    ]
    try:
        await asyncio.wait(carriers, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for carrier in carriers:
            carrier.cancel()


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, heard: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK_BYTES):
            heard()
            sink.write(chunk)
            await sink.drain()


def _evidence(tunnel: _Tunnel) -> tuple[str, int]:
    """What was heard last on a tunnel, and how many milliseconds ago."""
    frame_ms = round((time.monotonic() - tunnel.heard_at_s) * 1000)
    try:
        info = tunnel.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        (tcp_ms,) = struct.unpack_from("=I", info, _LAST_ACK_RECV_OFFSET)
    except (OSError, AttributeError, struct.error):
        return "frame", frame_ms  # Some sandboxes and systems tell nothing of their sockets.
    return ("tcp", tcp_ms) if tcp_ms < frame_ms else ("frame", frame_ms)
