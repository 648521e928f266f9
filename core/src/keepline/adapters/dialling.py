"""Connecting to a host that a user has named, and never into our own network.

A name is resolved once, every address it leads to is judged, and exactly a judged one is dialled: what the name says the next
moment gains nothing (DNS rebinding). Of a name with public and private addresses only the public ones are dialled.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult

# One address that swallows packets must not eat the time of the next.
ADDRESS_TIMEOUT_S = 4.0

Address = IPv4Address | IPv6Address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, by name and port. Raises OSError."""

MayDial = Callable[[Address], bool]
"""Judges an address that a name has led to."""


class AddressNotAllowed(Exception):
    """A host has no address that may be dialled."""


HTTP_FAILURES = (AddressNotAllowed, OSError, EOFError, ValueError, asyncio.LimitOverrunError)
"""How asking over HTTP fails; the last two are answers that are none."""


async def resolved(host: str, port: int) -> list[str]:
    """What this machine's resolver says. Raises OSError (`socket.gaierror`)."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def any_address(address: Address) -> bool:
    """For an installation that has its receivers, its proxies or its files beside it."""
    return True


async def connect(host: str, port: int, may_dial: MayDial, resolve: Resolve = resolved) -> socket.socket:
    """A connected, non-blocking socket. Raises AddressNotAllowed, and OSError when nobody is there (`TimeoutError` is one)."""
    found = await resolve(host, port)
    allowed = [one for one in found if may_dial(ip_address(one.partition("%")[0]))]
    if found and not allowed:
        raise AddressNotAllowed
    failure: OSError = OSError("no address")
    for address in allowed:
        try:
            return await _dial(address, port)
        except OSError as error:
            failure = error
    raise failure


async def open_http(
    parts: SplitResult, may_dial: MayDial, resolve: Resolve, tls: ssl.SSLContext, head_bytes_max: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the host of an `http` or `https` URL; a head may be so large. Raises one of HTTP_FAILURES."""
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    connected = await connect(host, port, may_dial, resolve)
    return await asyncio.open_connection(
        sock=connected, limit=head_bytes_max, ssl=tls if secure else None, server_hostname=host if secure else None
    )


def failure_code(error: Exception) -> str:
    """The stable word for what a question over HTTP has raised (one of `HTTP_FAILURES`)."""
    match error:
        case AddressNotAllowed():
            return "address_not_allowed"
        case TimeoutError():
            return "timeout"
        case ssl.SSLError():
            return "tls_failed"
        case socket.gaierror():
            return "unknown_host"
    return "connection_failed"


async def _dial(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    dialling = socket.socket(family, socket.SOCK_STREAM)
    try:
        dialling.setblocking(False)
        async with asyncio.timeout(ADDRESS_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(dialling, (address, port))
    except BaseException:
        dialling.close()
        raise
    return dialling
