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
from simulator.faults.model import Kind
from simulator.faults.registry import Faults, Owner, Standing
from simulator.faults.wire import Wire
from simulator.http11 import Request, parse_head, response, split_head
from simulator.limits import CONNECTIONS_MAX, HANDSHAKE_SECONDS_MAX, SOCKET_BACKLOG_BYTES_MAX
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

    def owned_by(self, owner: Owner) -> None:
        """Whose connection it is: known from a login on; faults aim by it."""

    def strike(self, standing: Standing) -> None:
        """A fault hits the whole connection."""


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
        faults: Faults,
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
        self._faults = faults
        self._wire: Wire | None = None
        self.owner: Owner = None
        self._deadline: asyncio.TimerHandle | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._connections) >= CONNECTIONS_MAX:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=SOCKET_BACKLOG_BYTES_MAX)
        self._connections.add(self)
        self._deadline = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS_MAX, self.abort)
        if self._faults.connects:
            self._meet_faults()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        if self._deadline:
            self._deadline.cancel()
        if self._wire:
            self._wire.stop()
        if self._handler:
            self._handler.lost()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._handler:
            self._handler.drained()

    def data_received(self, data: bytes) -> None:
        if self._wire:
            self._wire.received(data, self.owner)
        else:
            self._heard(data)

    def _heard(self, data: bytes) -> None:
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
            return b"" if self._refused_by_fault(None) else self._start_tls("chat", self._head)
        split = split_head(self._head)
        if split is None:
            return b""
        request, rest = parse_head(split[0]), split[1]
        if request.method != "CONNECT":
            self._refuse(405, "only CONNECT is answered on the proxy port")
            return b""
        host, _, port = request.target.rpartition(":")
        service = service_of(host)
        if service is None or port != "443":
            self._refuse(403, f"{request.target} is not a WhatsApp address; the simulator goes nowhere else")
            return b""
        if self._refused_by_fault(request):
            return b""
        self._put(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return self._start_tls(service, rest)

    def _refuse(self, status: int, why: str) -> None:
        self._head = b""
        self._put(response(status, why.encode() + b"\n", "text/plain", close=True))
        self.close()

    def _refused_by_fault(self, request: Request | None) -> bool:
        """Without a request (TLS at once) there is no way to refuse but a reset. The proxy's user name may be a number."""
        if not self._faults.connects:
            return False
        user = request.proxy_user() if request else ""
        refusals = tuple(one for one in self._faults.connects if one.fault.kind in (Kind.REFUSE, Kind.OUTAGE))
        for standing in self._faults.hits(refusals, (user, None) if user else None, None, "connect"):
            if request is None or standing.fault.tcp:
                self.abort()
            else:
                self._refuse(int(standing.fault.number_of("code")), f"fault {standing.id}")
            return True
        return False

    def _start_tls(self, service: str, rest: bytes) -> bytes:
        self._head = b""
        if self._deadline:
            # From here on the handler has one of its own.
            self._deadline.cancel()
        self._tls = TlsServer(self._context)
        self._handler = self._make_handler(service, self)
        return rest

    def _decrypt(self, data: bytes) -> None:
        assert self._tls is not None and self._handler is not None
        plain = self._tls.receive(data)
        if own := self._tls.pending():
            self._put(own)
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
        if self._paused or self._closing or self._transport is None:
            return False
        return self._wire is None or self._wire.writable()

    def _flush(self) -> None:
        self._flushing = False
        out, self._out = self._out, []
        if not out or self._transport is None or self._tls is None:
            return
        try:
            self._put(self._tls.send(b"".join(out)))
        except ssl.SSLError:
            self.abort()

    def close(self) -> None:
        """Ends the connection after everything written so far."""
        if not self._closing:
            self._flush()
            self._closing = True
            if self._wire:
                self._wire.finish()
            elif self._transport:
                self._transport.close()

    def abort(self) -> None:
        """Resets the connection: what was not yet sent is lost."""
        self._closing = True
        self._out.clear()
        if self._transport:
            self._transport.abort()

    def _put(self, data: bytes) -> None:
        if self._wire:
            self._wire.write(data, self.owner)
        elif self._transport:
            self._transport.write(data)

    # Faults

    def owned_by(self, owner: Owner) -> None:
        self.owner = owner

    def _meet_faults(self) -> None:
        """A new connection: refusals wait for CONNECT, the others strike at once."""
        others = tuple(one for one in self._faults.connects if one.fault.kind not in (Kind.REFUSE, Kind.OUTAGE))
        for standing in self._faults.hits(others, None, None, "connect"):
            self.strike(standing)

    def strike(self, standing: Standing) -> None:
        if standing.fault.kind in (Kind.RESET, Kind.OUTAGE):
            self.abort()
        elif self._transport:
            if self._wire is None:
                self._wire = Wire(self._transport, self._heard, self._drained, self._unwire)
            self._wire.add(standing)

    def _drained(self) -> None:
        if self._handler and not self._paused:
            self._handler.drained()

    def _unwire(self) -> None:
        self._wire = None


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
