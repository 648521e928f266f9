"""The proxy port: clients say CONNECT for one of WhatsApp's hosts, and the TLS that follows ends here, in the process.

A client that starts TLS at once (without CONNECT) is served too, by the name it asks for in TLS; that is for clients whose
server address can be set.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Protocol

from simulator.errors import ProtocolError, SimulatorError
from simulator.http11 import parse_head, response, split_head
from simulator.limits import CONNECTIONS_MAX, SOCKET_BACKLOG_BYTES_MAX
from simulator.tls import TlsServer

log = logging.getLogger("simulator")

CHAT_HOSTS = ("web.whatsapp.com",)
MEDIA_HOST_SUFFIXES = (".whatsapp.net",)
_TLS_HANDSHAKE = 0x16


class Socket(Protocol):
    """What a protocol handler may do with its connection."""

    def write(self, plain: bytes) -> None: ...

    def writable(self) -> bool: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Handler(Protocol):
    """What speaks on a connection once TLS is up."""

    def received(self, data: bytes) -> None: ...

    def lost(self) -> None: ...

    def drained(self) -> None: ...


# Makes the handler for a host ("chat" or "media").
HandlerFactory = Callable[[str, Socket], Handler]


def service_of(host: str) -> str | None:
    """Which of the simulator's services a host name stands for."""
    if host in CHAT_HOSTS:
        return "chat"
    return "media" if host.endswith(MEDIA_HOST_SUFFIXES) else None


class ProxyConnection(asyncio.Protocol):
    """One accepted socket: CONNECT, then TLS, then a handler. Writes of one loop tick leave together."""

    def __init__(
        self,
        context: ssl.SSLContext,
        make_handler: HandlerFactory,
        connections: set[ProxyConnection],
        on_refused: Callable[[str], None],
    ) -> None:
        self._context = context
        self._on_refused = on_refused
        self._make_handler = make_handler
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._tls: TlsServer | None = None
        self._handler: Handler | None = None
        self._head = b""
        self._out: list[bytes] = []
        self._flushing = False
        self._closing = False
        self._paused = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._connections) >= CONNECTIONS_MAX:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=SOCKET_BACKLOG_BYTES_MAX)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        if self._handler:
            self._handler.lost()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._handler:
            self._handler.drained()

    def data_received(self, data: bytes) -> None:
        try:
            if self._tls is None:
                data = self._connect(data)
            if data:
                self._decrypt(data)
        except (ProtocolError, ssl.SSLError) as problem:
            log.info("connection refused: %s", problem)
            self._on_refused(str(problem))
            self.abort()
        except Exception:
            log.exception("a connection failed inside the simulator; it is closed")
            self.abort()

    # Before TLS

    def _connect(self, data: bytes) -> bytes:
        """Reads CONNECT; returns bytes that belong to TLS already."""
        self._head += data
        if self._head[0] == _TLS_HANDSHAKE:
            return self._start_tls("chat", self._head)
        split = split_head(self._head)
        if split is None:
            return b""
        request, rest = parse_head(split[0]), split[1]
        assert self._transport is not None
        if request.method != "CONNECT":
            self._refuse(405, "only CONNECT is answered on the proxy port")
            return b""
        host, _, port = request.target.rpartition(":")
        service = service_of(host)
        if service is None or port != "443":
            self._refuse(403, f"{request.target} is not a WhatsApp address; the simulator goes nowhere else")
            return b""
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return self._start_tls(service, rest)

    def _refuse(self, status: int, why: str) -> None:
        assert self._transport is not None
        self._transport.write(response(status, why.encode() + b"\n", "text/plain", close=True))
        self._transport.close()

    def _start_tls(self, service: str, rest: bytes) -> bytes:
        self._head = b""
        self._tls = TlsServer(self._context)
        self._handler = self._make_handler(service, self)
        return rest

    def _decrypt(self, data: bytes) -> None:
        assert self._tls is not None and self._handler is not None
        plain = self._tls.receive(data)
        if self._transport and (own := self._tls.pending()):
            self._transport.write(own)
        if plain:
            self._handler.received(plain)
        if self._tls.ended:
            self.close()

    # Socket, for the handler

    def write(self, plain: bytes) -> None:
        if self._closing:
            return
        self._out.append(plain)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def writable(self) -> bool:
        return not self._paused and not self._closing and self._transport is not None

    def _flush(self) -> None:
        self._flushing = False
        out, self._out = self._out, []
        if not out or self._transport is None or self._tls is None:
            return
        try:
            self._transport.write(self._tls.send(b"".join(out)))
        except ssl.SSLError:
            self.abort()

    def close(self) -> None:
        """Ends the connection after everything written so far."""
        if not self._closing:
            self._flush()
            self._closing = True
            if self._transport:
                self._transport.close()

    def abort(self) -> None:
        """Resets the connection: what was not yet sent is lost."""
        self._closing = True
        self._out.clear()
        if self._transport:
            self._transport.abort()


async def listen(
    port: int, what: str, factory: Callable[[], asyncio.BaseProtocol], *, backlog: int = 1024
) -> asyncio.Server:
    """A server on loopback; a taken port is a sentence that names it."""
    try:
        return await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port, backlog=backlog)
    except OSError as problem:
        raise SimulatorError(
            "port_taken",
            f"Port {port} on 127.0.0.1 is not free, so the {what} cannot listen there ({problem.strerror}).",
            "Stop what uses it, or choose another port (0 picks a free one).",
            status=500,
        ) from problem


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])
