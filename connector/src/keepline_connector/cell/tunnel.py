"""One connection of the library to WhatsApp: bytes both ways, the fence before every chunk, and what was heard when."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import Callable

from keepline.domain.link_quality import PathSample
from keepline_connector.cell.fence import Fence
from keepline_connector.cell.path import ASK_AGAIN_AFTER_MS, USER_TIMEOUT_MS, TcpInfo, ask_again, tcp_info

_CHUNK_BYTES = 64 * 1024
# By then the kernel has brought the library's last bytes to WhatsApp or has given the socket up (path.py).
_LAST_BYTES_TIMEOUT_S = USER_TIMEOUT_MS / 1000 + 0.5
_numbers = itertools.count(1)


class FenceClosed(Exception):
    """The lease ran out: this connection is cut."""


class Tunnel:
    """`chat`: it carries messages, not media. It lives in one life of the fence, and ends with it."""

    def __init__(self, connected: socket.socket, fence: Fence, life: int, *, chat: bool) -> None:
        self.chat = chat
        self.sent_bytes = 0
        self.heard_bytes = 0
        self._number = next(_numbers)
        self._socket = connected
        self._fence = fence
        self._life = life
        self._heard_at_s = time.monotonic()
        self._unanswered_since_s: float | None = None
        self._unacked_since_s: float | None = None

    async def carry(self, library: socket.socket, hung_up: Callable[[], None]) -> None:
        """Until either side ends or the fence closes; the socket is closed then. Cancelling it cuts the socket at once.

        When the library hangs up (`hung_up` hears of it), what it said before still leaves: while the fence lets it, and not
        by a kernel's buffer that nobody could cut any more.
        """
        up = asyncio.create_task(self._carry_up(library))
        down = asyncio.create_task(self._carry_down(library))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if up.done() and up.exception() is None:
                hung_up()
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
                await asyncio.wait((down,), timeout=_LAST_BYTES_TIMEOUT_S)
        finally:
            up.cancel()
            down.cancel()
            # Nobody may wait for a descriptor that is closed: its number may be another socket's by then.
            await asyncio.gather(up, down, return_exceptions=True)
            self._socket.close()  # with a reset (see watch_path), unless both sides have hung up
        if not up.cancelled() and isinstance(error := up.exception(), FenceClosed):
            raise error

    def known(self) -> TcpInfo | None:
        """What the kernel knows of the connection, without asking the path."""
        return tcp_info(self._socket)

    def sample(self) -> PathSample:
        """What is known of the connection at this moment. To be looked at several times a second: an idle path is asked here."""
        now_s = time.monotonic()
        silent_s = 0.0 if self._unanswered_since_s is None else now_s - self._unanswered_since_s
        frame_age_ms, silent_ms = round((now_s - self._heard_at_s) * 1000), round(silent_s * 1000)
        info = tcp_info(self._socket)
        if info is None:
            return PathSample(now_s, frame_age_ms, silent_ms, connection=self._number)
        if info.ack_age_ms > ASK_AGAIN_AFTER_MS:
            ask_again(self._socket)
        if not info.unacked:
            self._unacked_since_s = None
        elif self._unacked_since_s is None:
            self._unacked_since_s = now_s
        # Something is on its way at most moments of a busy connection: the age of the last acknowledgement tells.
        unacked_s = 0.0 if self._unacked_since_s is None else now_s - self._unacked_since_s
        unacked_ms = min(info.ack_age_ms, round(unacked_s * 1000))
        return PathSample(
            now_s,
            frame_age_ms,
            silent_ms,
            info.round_trip_ms,
            info.sent,
            info.retransmitted,
            unacked_ms,
            info.ack_age_ms,
            self._number,
        )

    async def _carry_up(self, library: socket.socket) -> None:
        while chunk := await _words_of(library):
            await self._send(memoryview(chunk))
            if self._unanswered_since_s is None:
                self._unanswered_since_s = time.monotonic()

    async def _send(self, rest: memoryview) -> None:
        """Not `sock_sendall`: it would send the rest of a chunk minutes later without asking again."""
        while rest:
            if not self._fence.lets_through(self._life):
                raise FenceClosed
            try:
                sent = self._socket.send(rest)
                self.sent_bytes += sent
                rest = rest[sent:]
            except BlockingIOError:
                await _until_writable(self._socket)

    async def _carry_down(self, library: socket.socket) -> None:
        """Until WhatsApp ends. A library that has hung up is not told any more, and is still heard to its end by `_carry_up`."""
        loop = asyncio.get_running_loop()
        is_listening = True
        with contextlib.suppress(OSError):
            while chunk := await loop.sock_recv(self._socket, _CHUNK_BYTES):
                self.heard_bytes += len(chunk)
                self._heard_at_s = time.monotonic()
                self._unanswered_since_s = None
                try:
                    if is_listening:
                        await loop.sock_sendall(library, chunk)
                except OSError:
                    is_listening = False


async def _words_of(library: socket.socket) -> bytes:
    """What the library says next; nothing once it has hung up, also with a reset: as it does with something left unread."""
    try:
        return await asyncio.get_running_loop().sock_recv(library, _CHUNK_BYTES)
    except ConnectionResetError:
        return b""


async def _until_writable(connected: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(connected, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(connected)
