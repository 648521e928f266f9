"""Fetching a file from an address that a user names: bounded in size, time and redirects, and never from inside our own network.

A name is resolved once, all its addresses are judged, and the connection is made to one of those judged: what the name says a
moment later changes nothing. Each redirect is a new address and is judged like the first. No proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from email.message import Message
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import BinaryIO, cast
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from keepline.domain.errors import InvalidInput, StateConflict
from keepline.domain.link_settings import is_public
from keepline.ports.media import CHUNK_BYTES, Intake

URL_CHARACTERS_MAX = 2_048
FETCH_LIMIT_S = 40.0
_SILENCE_LIMIT_S = 10.0
_REDIRECTS_MAX = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_PRINTABLE = re.compile(r"[!-~]+")
_PORTS = {"http": 80, "https": 443}

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class HttpFetcher:
    """`may_dial` judges an address that a name has resolved to."""

    def __init__(
        self,
        resolve: Resolve = resolve,
        may_dial: Callable[[Address], bool] = is_public,
        limit_s: float = FETCH_LIMIT_S,
    ) -> None:
        self._resolve = resolve
        self._may_dial = may_dial
        self._limit_s = limit_s

    @asynccontextmanager
    async def fetch(self, url: str, bytes_max: int) -> AsyncIterator[Intake]:
        with tempfile.TemporaryFile() as file:
            intake = Intake(cast("BinaryIO", file), bytes_max)
            try:
                async with asyncio.timeout(self._limit_s):
                    await self._follow(url, intake)
            except TimeoutError:
                raise _not_fetched(f"it took more than {self._limit_s:g} s") from None
            except (OSError, http.client.HTTPException) as error:
                raise _not_fetched(f"the connection failed ({type(error).__name__})") from None
            yield intake

    async def _follow(self, url: str, intake: Intake) -> None:
        deadline_s = time.monotonic() + self._limit_s
        for _ in range(1 + _REDIRECTS_MAX):
            parts = _parsed(url)
            address = await self._judged(parts)
            download = _Download(parts, address, intake, deadline_s)
            try:
                location = await asyncio.to_thread(download.run)
            finally:
                download.stop()  # The thread of one that is given up ends with its socket.
            if location is None:
                return
            url = urljoin(url, location)
        raise _not_fetched(f"it redirects more than {_REDIRECTS_MAX} times")

    async def _judged(self, parts: SplitResult) -> str:
        """The address to dial. Raises InvalidInput (`url_not_allowed`) if the name has even one that is private."""
        found = await self._resolve(parts.hostname or "", _port(parts))
        for address in found:
            if not self._may_dial(ip_address(address.partition("%")[0])):
                raise InvalidInput(
                    "url_not_allowed",
                    "The URL leads to a private address, and those are not fetched from.",
                    "Use an address on the internet, or upload the file.",
                )
        if not found:
            raise OSError("no address")
        return found[0]


class _Download:
    """One request, in a thread."""

    def __init__(self, parts: SplitResult, address: str, intake: Intake, deadline_s: float) -> None:
        self._parts = parts
        self._address = address
        self._intake = intake
        self._deadline_s = deadline_s
        self._socket: socket.socket | None = None
        self._stopped = False

    def run(self) -> str | None:
        """Take the file in; or return where it is instead."""
        host, port = self._parts.hostname or "", _port(self._parts)
        connection = http.client.HTTPConnection(host, port)
        connection.sock = self._socket = self._dial(host, port)
        try:
            path = self._parts.path or "/"
            if self._parts.query:
                path += f"?{self._parts.query}"
            standard = port == _PORTS[self._parts.scheme]
            shown = f"[{host}]" if ":" in host else host
            headers = {"User-Agent": "Keepline", "Accept-Encoding": "identity"}
            connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", shown if standard else f"{shown}:{port}")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.putheader("Connection", "close")
            connection.endheaders()
            response = connection.getresponse()
            if response.status in _REDIRECTS and (location := response.headers["Location"]):
                return str(location)
            if response.status != 200:
                raise _not_fetched(f"the answer was {response.status}")
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _not_fetched("the answer is compressed, which was not asked for")
            self._intake.declared = response.headers.get_content_type()
            self._intake.name = _name(response.headers, self._parts.path)
            while chunk := response.read1(CHUNK_BYTES):
                if self._stopped or time.monotonic() > self._deadline_s:
                    raise TimeoutError
                self._intake.write(chunk)
            if response.length:
                raise _not_fetched("it ended before its end")
            return None
        finally:
            connection.close()

    def stop(self) -> None:
        self._stopped = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _dial(self, host: str, port: int) -> socket.socket:
        plain = socket.create_connection((self._address, port), _SILENCE_LIMIT_S)
        if self._parts.scheme == "http":
            return plain
        try:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise


def _parsed(url: str) -> SplitResult:
    try:
        if len(url) > URL_CHARACTERS_MAX or not _PRINTABLE.fullmatch(url):
            raise ValueError
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None or parts.port == 0:
            raise ValueError
    except ValueError:
        raise InvalidInput(
            "bad_url",
            "The URL of the file cannot be used.",
            f"Give an http or https address without a name and a password, of {URL_CHARACTERS_MAX} ASCII characters at most.",
        ) from None
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _name(headers: Message, path: str) -> str:
    """What the other side calls the file, or else the end of its address."""
    return headers.get_filename() or unquote(path.rpartition("/")[2])


def _not_fetched(why: str) -> StateConflict:
    return StateConflict(
        "url_not_fetched", f"The file could not be fetched: {why}.", "Look at its URL; then send again."
    )
