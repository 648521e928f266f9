"""The supervisor's cells: processes that hold devices. A cell that dies is replaced; its devices hear of it and connect again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from keepline_connector import frames

# One process, one fate: few devices share one. 67 MB for a bare process and 0.6 MB a device set the other bound (facts).
DEVICES_PER_CELL_MAX = 25
_STOP_TIMEOUT_S = 3.0

OnEvent = Callable[[dict[str, Any]], None]

log = logging.getLogger(__name__)


class CellDied(Exception):
    """The process ended before it answered."""


class Cell:
    """One process. Commands are answered once; events go to the device they name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.devices: dict[str, OnEvent] = {}
        self.ended = asyncio.Event()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    def has_room_for(self, device: str) -> bool:
        """One process must not take both devices of an account with it (`<account>_<slot>`)."""
        account = device.rpartition("_")[0]
        with_sibling = any(other != device and other.rpartition("_")[0] == account for other in self.devices)
        return len(self.devices) < DEVICES_PER_CELL_MAX and not with_sibling

    async def start(self, module: str) -> None:
        """Start the process. It inherits one end of a socket pair, and ends when the other end closes."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", module, "--fd", str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                # The library prints QR texts and numbers to stdout; nothing of ours goes there.
                stdout=asyncio.subprocess.DEVNULL,
                env={**os.environ, "NEONIZE_BOT_TAG": "off"},
            )
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=frames.FRAME_BYTES_MAX)
        self._reading = asyncio.create_task(self._read(reader), name=f"cell {self.name}")
        log.info("cell %s is process %d", self.name, self._process.pid)

    async def call(self, device: str, do: str, **arguments: Any) -> dict[str, Any]:
        """Carry out one command. Raises CellDied, and RuntimeError when the cell could not do it."""
        if self._writer is None or self.ended.is_set():
            raise CellDied(self.name)
        number = next(self._ids)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(frames.encode({"id": number, "device": device, "do": do, **arguments}))
            result = await answer
        finally:
            self._waiting.pop(number, None)
        if "error" in result:
            raise RuntimeError(f"{do}: {result['error']}")
        return result

    async def stop(self) -> None:
        """Close the socket; the process leaves at once, and is killed if it does not."""
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                frame = frames.decode(line)
                if "re" in frame:
                    answer = self._waiting.get(frame.pop("re"))
                    if answer is not None and not answer.done():
                        answer.set_result(frame)
                elif on_event := self.devices.get(frame["device"]):
                    on_event(frame["event"])
        self.ended.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(CellDied(self.name))


class CellPool:
    """Cells as needed. `module` is the Python module that a cell runs."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._cells: list[Cell] = []
        self._names = itertools.count(1)
        self._starting = asyncio.Lock()

    @property
    def processes(self) -> int:
        return len(self._cells)

    async def place(self, device: str, on_event: OnEvent) -> Cell:
        """The cell that is to hold this device: one with room, else a new one."""
        async with self._starting:
            self._cells = [cell for cell in self._cells if not cell.ended.is_set()]
            cell = next((cell for cell in self._cells if cell.has_room_for(device)), None)
            if cell is None:
                cell = await self._add()
            cell.devices[device] = on_event
            return cell

    async def warm_up(self) -> None:
        """Start the first cell before there is a device, so that the first device need not wait for the library to load."""
        async with self._starting:
            if not self._cells:
                await self._add()

    async def stop(self) -> None:
        await asyncio.gather(*(cell.stop() for cell in self._cells))

    async def _add(self) -> Cell:
        cell = Cell(f"cell-{next(self._names)}")
        await cell.start(self._module)
        self._cells.append(cell)
        return cell
