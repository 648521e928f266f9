"""The supervisor's cells: processes that hold devices. A cell that dies is replaced; its devices hear of it and connect again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from typing import Any

from keepline_connector import frames
from keepline_connector.cell_process import CellProcess

_STOP_TIMEOUT_S = 3.0
_EXIT_LOOK_S = 0.02

OnEvent = Callable[[dict[str, Any]], None]

log = logging.getLogger(__name__)


class CellDied(Exception):
    """The process ended before it answered, or could not be started."""


class Cell:
    """One process. Commands are answered once; events go to the device they name."""

    def __init__(self, name: str, process: CellProcess, devices_max: int) -> None:
        self.name = name
        self._devices_max = devices_max
        self.devices: dict[str, OnEvent] = {}
        self.ended = asyncio.Event()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._process = process
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    def has_room_for(self, device: str) -> bool:
        """One process must not take both devices of an account with it (`<account>_<slot>`)."""
        account = device.rpartition("_")[0]
        with_sibling = any(other != device and other.rpartition("_")[0] == account for other in self.devices)
        return len(self.devices) < self._devices_max and not with_sibling

    async def start(self) -> None:
        """Listen to the process, and talk to it from now on."""
        reader, self._writer = await asyncio.open_connection(sock=self._process.socket, limit=frames.FRAME_BYTES_MAX)
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

    def renew(self, deadline_s: float) -> None:
        """Move the moment after which nothing leaves the cell."""
        if self._writer is not None and not self.ended.is_set():
            self._writer.write(frames.encode({"do": "renew", "deadline_s": deadline_s}))

    async def stop(self) -> None:
        """Close the socket; the process leaves at once, and is killed if it does not."""
        if self._writer is not None:
            self._writer.close()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._exit()
        except TimeoutError:
            self._process.kill()
        if self._reading is not None:
            await self._reading

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                while line := await reader.readline():
                    self._take(frames.decode(line))
        except Exception:
            # Whoever waits for an answer would wait for ever if nobody listened any more.
            log.exception("cell %s says what cannot be understood, and is ended", self.name)
            self._process.kill()
        self.ended.set()
        if self._writer is not None:
            self._writer.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(CellDied(self.name))
        log.info("cell %s has ended (%d)", self.name, await self._exit())

    def _take(self, frame: dict[str, Any]) -> None:
        """An answer or an event."""
        if "re" in frame:
            answer = self._waiting.get(frame.pop("re"))
            if answer is not None and not answer.done():
                answer.set_result(frame)
        elif on_event := self.devices.get(frame["device"]):
            on_event(frame["event"])

    async def _exit(self) -> int:
        """Its exit code, once it has one. Not asyncio's own way: the process can be older than the event loop."""
        while (code := self._process.exit_code()) is None:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(_EXIT_LOOK_S)
        return code


class CellPool:
    """Cells as needed. `module` is the Python module that a cell runs; `first` runs it already, and waits for its devices.

    A cell takes up to `devices_per_cell_max` devices.
    """

    def __init__(self, module: str, first: CellProcess, devices_per_cell_max: int) -> None:
        self._module = module
        self._devices_per_cell_max = devices_per_cell_max
        self._first: CellProcess | None = first
        self._cells: list[Cell] = []
        self._names = itertools.count(1)
        self._starting = asyncio.Lock()
        self._deadline_s = 0.0

    @property
    def processes(self) -> int:
        return len(self._cells)

    async def place(self, device: str, on_event: OnEvent) -> Cell:
        """The cell that is to hold this device: one with room, else a new one. Raises CellDied when none can be started."""
        async with self._starting:
            self._cells = [cell for cell in self._cells if not cell.ended.is_set()]
            cell = next((cell for cell in self._cells if cell.has_room_for(device)), None)
            if cell is None:
                cell = await self._add()
            cell.devices[device] = on_event
            return cell

    async def start(self) -> None:
        """Take the first cell in before there is a device: if it cannot start, that shows at once."""
        async with self._starting:
            if self._first is not None:
                await self._add()

    def renew(self, deadline_s: float) -> None:
        """Until when (monotonic time) what the cells hold may speak to WhatsApp."""
        self._deadline_s = deadline_s
        for cell in self._cells:
            cell.renew(deadline_s)

    async def stop(self) -> None:
        await asyncio.gather(*(cell.stop() for cell in self._cells))

    async def _add(self) -> Cell:
        name = f"cell-{next(self._names)}"
        try:
            process, self._first = self._first or CellProcess(self._module), None
        except OSError as error:
            raise CellDied(name) from error
        cell = Cell(name, process, self._devices_per_cell_max)
        await cell.start()
        cell.renew(self._deadline_s)
        self._cells.append(cell)
        return cell
