"""Fetching a file from an address that a user names: bounded in size, time and redirects, and never from inside our own network.

What is dialled was judged (see `dialling`), whatever the installation allows elsewhere: what is fetched is given to the user.
Each redirect is a new address and is judged like the first. No proxy of the environment is used.
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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import Message
from typing import BinaryIO, cast
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from keepline.adapters.dialling import AddressNotAllowed, MayDial, Resolve, connect, resolved
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


class HttpFetcher:
    """`may_dial` judges an address that a name has resolved to."""

    def __init__(
        self,
        resolve: Resolve = resolved,
        may_dial: MayDial = is_public,
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
            download = _Download(parts, await self._connected(parts), intake, deadline_s)
            try:
                location = await asyncio.to_thread(download.run)
            finally:
                download.stop()  # The thread of one that is given up ends with its socket.
            if location is None:
                return
            url = urljoin(url, location)
        raise _not_fetched(f"it redirects more than {_REDIRECTS_MAX} times")

    async def _connected(self, parts: SplitResult) -> socket.socket:
        """Raises InvalidInput (`url_not_allowed`) and OSError."""
        try:
            return await connect(parts.hostname or "", _port(parts), self._may_dial, self._resolve)
        except AddressNotAllowed:
            raise InvalidInput(
                "url_not_allowed",
                "The URL leads to a private address, and those are not fetched from.",
                "Use an address on the internet, or upload the file.",
            ) from None


class _Download:
    """One request, in a thread."""

    def __init__(self, parts: SplitResult, connected: socket.socket, intake: Intake, deadline_s: float) -> None:
        self._parts = parts
        self._socket = connected
        self._intake = intake
        self._deadline_s = deadline_s
        self._stopped = False

    def run(self) -> str | None:
        """Take the file in; or return where it is instead."""
        host, port = self._parts.hostname or "", _port(self._parts)
        connection = http.client.HTTPConnection(host, port)
        try:
            connection.sock = self._speaking(host)
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
            self._socket.close()

    def stop(self) -> None:
        self._stopped = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _speaking(self, host: str) -> socket.socket:
        """The socket, with TLS where the URL wants it."""
        self._socket.settimeout(_SILENCE_LIMIT_S)
        if self._parts.scheme == "https":
            tls = ssl.create_default_context()
            self._socket = tls.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
            self._socket.do_handshake()
        return self._socket


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
