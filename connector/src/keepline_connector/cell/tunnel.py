"""One connection of the library to WhatsApp: bytes both ways, the fence before every chunk, and what was heard when."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time

from keepline.domain.link_quality import PathSample
from keepline_connector.cell.fence import Fence
from keepline_connector.cell.path import close_orderly, tcp_info

_CHUNK_BYTES = 64 * 1024
_numbers = itertools.count(1)


class FenceClosed(Exception):
    """The lease ran out: this connection is cut."""


class Tunnel:
    """`chat`: it carries messages, not media. It lives in one life of the fence, and ends with it."""

    def __init__(self, connected: socket.socket, fence: Fence, life: int, *, chat: bool) -> None:
        self.chat = chat
        self._number = next(_numbers)
        self._socket = connected
        self._fence = fence
        self._life = life
        self._heard_at_s = time.monotonic()
        self._unanswered_since_s: float | None = None
        self._unacked_since_s: float | None = None

    async def carry(self, from_library: asyncio.StreamReader, to_library: asyncio.StreamWriter) -> None:
        """Until either side ends or the fence closes; the socket is closed then. Cancelling it cuts the socket at once."""
        up = asyncio.create_task(self._carry_up(from_library))
        down = asyncio.create_task(self._carry_down(to_library))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        finally:
            orderly = up.done() and up.exception() is None
            up.cancel()
            down.cancel()
            # Nobody may wait for a descriptor that is closed: its number may be another socket's by then.
            await asyncio.gather(up, down, return_exceptions=True)
            if orderly:
                close_orderly(self._socket)
            else:
                self._socket.close()  # with a reset: see watch_path
        for ended in (up, down):
            if not ended.cancelled() and isinstance(error := ended.exception(), FenceClosed):
                raise error

    def sample(self) -> PathSample:
        """What is known of the connection at this moment."""
        now_s = time.monotonic()
        silent_s = 0.0 if self._unanswered_since_s is None else now_s - self._unanswered_since_s
        frame_age_ms, silent_ms = round((now_s - self._heard_at_s) * 1000), round(silent_s * 1000)
        info = tcp_info(self._socket)
        if info is None:
            return PathSample(now_s, frame_age_ms, silent_ms, connection=self._number)
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
            info.retransmitted,
            unacked_ms,
            info.ack_age_ms,
            self._number,
        )

    async def _carry_up(self, source: asyncio.StreamReader) -> None:
        while chunk := await source.read(_CHUNK_BYTES):
            await self._send(memoryview(chunk))
            if self._unanswered_since_s is None:
                self._unanswered_since_s = time.monotonic()

    async def _send(self, rest: memoryview) -> None:
        """Not `sock_sendall`: it would send the rest of a chunk minutes later without asking again."""
        while rest:
            if not self._fence.lets_through(self._life):
                raise FenceClosed
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await _until_writable(self._socket)

    async def _carry_down(self, sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while chunk := await loop.sock_recv(self._socket, _CHUNK_BYTES):
                self._heard_at_s = time.monotonic()
                self._unanswered_since_s = None
                sink.write(chunk)
                await sink.drain()


async def _until_writable(connected: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(connected, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(connected)
