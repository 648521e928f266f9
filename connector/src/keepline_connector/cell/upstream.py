"""Ways to WhatsApp: directly, or through an account's own proxy (HTTP CONNECT, RFC 9110 9.3.6; SOCKS5, RFC 1928 and 1929).

Credentials stay in here: no repr, error or log line has them. WhatsApp's name is resolved by the proxy, not here.

Whoever sets a session's proxy chooses what this machine dials. Unless the installation allows it, nothing but public addresses
is dialled for them (see `keepline.adapters.dialling`).
"""

from __future__ import annotations

import asyncio
import base64
import socket
from ipaddress import ip_address

from keepline.adapters.dialling import AddressNotAllowed, any_address, connect
from keepline.domain.link_settings import Proxy, is_public

_HEAD_BYTES_MAX = 8 * 1024


class DialFailed(OSError):
    """WhatsApp was not reached. `code` says where it ended."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code} {detail}".rstrip())
        self.code = code


UNREACHABLE = "unreachable"  # WhatsApp itself, without a proxy
PROXY_UNREACHABLE = "proxy_unreachable"
PROXY_LOGIN = "proxy_login"  # the proxy wants other credentials
PROXY_REFUSED = "proxy_refused"  # the proxy does not or cannot connect there
PROXY_NOT_ALLOWED = "proxy_not_allowed"  # the proxy has a private address


async def dial(upstream: Proxy | None, host: str, port: int, *, public_only: bool = False) -> socket.socket:
    """A connected, non-blocking socket whose other end is `host`. `public_only`: the proxy must have a public address.

    Raises DialFailed.
    """
    if upstream is None:
        return await _connect(host, port, UNREACHABLE)
    connected = await _connect(upstream.host, upstream.port, PROXY_UNREACHABLE, public_only=public_only)
    try:
        await (_http_connect if upstream.scheme == "http" else _socks5_connect)(connected, upstream, host, port)
    except ConnectionError:
        connected.close()
        raise DialFailed(PROXY_REFUSED, "it hung up") from None
    except BaseException:
        connected.close()
        raise
    return connected


async def _connect(host: str, port: int, code: str, *, public_only: bool = False) -> socket.socket:
    try:
        return await connect(host, port, is_public if public_only else any_address)
    except AddressNotAllowed:
        raise DialFailed(PROXY_NOT_ALLOWED) from None
    except OSError as error:
        raise DialFailed(code, type(error).__name__) from None


async def _http_connect(proxy: socket.socket, upstream: Proxy, host: str, port: int) -> None:
    lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}"]
    if upstream.name is not None:
        login = base64.b64encode(f"{upstream.name}:{upstream.password or ''}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(proxy, ("\r\n".join(lines) + "\r\n\r\n").encode())
    head = bytearray()
    # Byte by byte: what comes after the head belongs to the tunnel. (WhatsApp's side speaks second, so it is the head alone.)
    while not head.endswith(b"\r\n\r\n"):
        if len(head) >= _HEAD_BYTES_MAX:
            raise DialFailed(PROXY_REFUSED, "its answer is too long")
        head += await _read_exactly(proxy, 1)
    status = bytes(head).split(b"\r\n", 1)[0].split(b" ")[1:2]
    if status == [b"407"]:
        raise DialFailed(PROXY_LOGIN)
    if status != [b"200"]:
        raise DialFailed(PROXY_REFUSED, b"".join(status)[:3].decode("ascii", "replace"))


async def _socks5_connect(proxy: socket.socket, upstream: Proxy, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    methods = b"\x00" if upstream.name is None else b"\x00\x02"  # RFC 1928, 3: none; or a name and a password
    await loop.sock_sendall(proxy, bytes([5, len(methods)]) + methods)
    version, method = await _read_exactly(proxy, 2)
    if version != 5:
        raise DialFailed(PROXY_REFUSED, "it does not speak SOCKS5")
    if method == 2 and upstream.name is not None:
        name, password = upstream.name.encode(), (upstream.password or "").encode()
        await loop.sock_sendall(proxy, bytes([1, len(name)]) + name + bytes([len(password)]) + password)  # RFC 1929, 2
        if (await _read_exactly(proxy, 2))[1] != 0:
            raise DialFailed(PROXY_LOGIN)
    elif method != 0:
        raise DialFailed(PROXY_LOGIN)
    await loop.sock_sendall(proxy, bytes([5, 1, 0]) + _socks5_address(host) + port.to_bytes(2, "big"))  # RFC 1928, 4
    _, reply, _, kind = await _read_exactly(proxy, 4)
    if reply != 0:
        raise DialFailed(PROXY_REFUSED, f"SOCKS5 reply {reply}")
    length = {1: 4, 4: 16}.get(kind)  # RFC 1928, 6: the bound address, which nobody needs
    if length is None:
        (length,) = await _read_exactly(proxy, 1)
    await _read_exactly(proxy, length + 2)


def _socks5_address(host: str) -> bytes:
    try:
        address = ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        return bytes([3, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed


async def _read_exactly(source: socket.socket, length: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < length:
        part = await loop.sock_recv(source, length - len(data))
        if not part:
            raise DialFailed(PROXY_REFUSED, "it hung up")
        data += part
    return data
