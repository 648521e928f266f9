"""The supervisor's cells: processes that hold devices. A cell that dies is replaced; its devices hear of it and connect again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from random import Random
from typing import Any, Protocol

from keepline.domain.cell_recycling import CellFacts
from keepline_connector import frames
from keepline_connector.cell_process import CellProcess
from keepline_connector.egress_status import EgressStatus, total

_STOP_TIMEOUT_S = 3.0
_EXIT_LOOK_S = 0.02

# The library takes a second to load, several on a busy machine.
_LOAD_LIMIT_S = 60.0

log = logging.getLogger(__name__)


class CellDied(Exception):
    """The process ended before it answered, or could not be started."""


class Resident(Protocol):
    """A device as its cell knows it."""

    def heard(self, event: dict[str, Any]) -> None:
        """What the cell tells of it."""
        ...

    async def leave(self, to: Cell) -> None:
        """Let go of the present cell, and go on in `to`, if that has room. Returns when the device is connected again."""
        ...


class Cell:
    """One process. Commands are answered once; events go to the device they name.

    One that is `retiring` takes no more devices. `jitter` is in [0, 1), for what is not to happen to all cells at once.
    """

    def __init__(self, name: str, process: CellProcess, devices_max: int, jitter: float) -> None:
        self.name = name
        self.retiring = False
        self._jitter = jitter
        self._started_at_s = time.monotonic()
        self._devices_max = devices_max
        self.devices: dict[str, Resident] = {}
        self.ended = asyncio.Event()
        self.egress = EgressStatus()  # as it was told last
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._process = process
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_room_for(self, device: str) -> bool:
        """One process must not take both devices of an account with it (`<account>_<slot>`)."""
        account = device.rpartition("_")[0]
        with_sibling = any(other != device and other.rpartition("_")[0] == account for other in self.devices)
        return not self.retiring and len(self.devices) < self._devices_max and not with_sibling

    def facts(self) -> CellFacts:
        age_s = time.monotonic() - self._started_at_s
        return CellFacts(self.name, age_s, self._jitter, self._process.rss_mb(), len(self.devices))

    async def start(self) -> None:
        """Listen to the process, and talk to it from now on."""
        reader, self._writer = await asyncio.open_connection(sock=self._process.socket, limit=frames.FRAME_BYTES_MAX)
        self._reading = asyncio.create_task(self._read(reader), name=f"cell {self.name}")
        log.info("cell %s is process %d", self.name, self.pid)

    async def loaded(self) -> None:
        """Wait until the process has loaded the library. Raises CellDied."""
        try:
            async with asyncio.timeout(_LOAD_LIMIT_S):
                await self.call("", "greet")
        except TimeoutError:
            raise CellDied(self.name) from None

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
        """Move the moment after which nothing leaves the cell. From any thread."""
        self._process.renew(deadline_s)

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
        self._process.forget()

    def _take(self, frame: dict[str, Any]) -> None:
        """An answer, an event, or how the egress is."""
        if "re" in frame:
            answer = self._waiting.get(frame.pop("re"))
            if answer is not None and not answer.done():
                answer.set_result(frame)
        elif "egress" in frame:
            self.egress = EgressStatus.from_json(frame["egress"])
        elif resident := self.devices.get(frame["device"]):
            resident.heard(frame["event"])

    async def _exit(self) -> int:
        """Its exit code, once it has one. Not asyncio's own way: the process can be older than the event loop."""
        while (code := self._process.exit_code()) is None:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(_EXIT_LOOK_S)
        return code


class CellPool:
    """Cells as needed. `module` is the Python module that a cell runs; `first` runs it already, and waits for its devices.

    A cell takes up to `devices_per_cell_max` devices.
    """

    def __init__(self, module: str, first: CellProcess, devices_per_cell_max: int, random: Random) -> None:
        self._module = module
        self._random = random
        self._devices_per_cell_max = devices_per_cell_max
        self._first: CellProcess | None = first
        self._cells: list[Cell] = []
        self._names = itertools.count(1)
        self._starting = asyncio.Lock()
        self._deadline_s = 0.0

    @property
    def cells(self) -> list[Cell]:
        """Those that run."""
        return [cell for cell in self._cells if not cell.ended.is_set()]

    @property
    def egress(self) -> EgressStatus:
        """Of the present cells together, a few seconds old."""
        return total(cell.egress for cell in tuple(self._cells) if not cell.ended.is_set())

    async def place(self, device: str, resident: Resident, rather: Cell | None = None) -> Cell:
        """The cell that is to hold this device: `rather` or another one with room, else a new one.

        Raises CellDied when none can be started.
        """
        async with self._starting:
            self._cells = self.cells
            first = [rather] if rather in self._cells else []
            cell = next((cell for cell in [*first, *self._cells] if cell and cell.has_room_for(device)), None)
            if cell is None:
                cell = await self._add()
            cell.devices[device] = resident
            return cell

    async def add_loaded(self) -> Cell:
        """One more cell, which takes a device at once. Raises CellDied."""
        async with self._starting:
            cell = await self._add()
        try:
            await cell.loaded()
        except CellDied:
            await cell.stop()
            raise
        return cell

    async def start(self) -> None:
        """Take the first cell in before there is a device: if it cannot start, that shows at once."""
        async with self._starting:
            if self._first is not None:
                await self._add()

    def renew(self, deadline_s: float) -> None:
        """Until when (monotonic time) what the cells hold may speak to WhatsApp. From any thread, and without waiting for any."""
        self._deadline_s = deadline_s
        for cell in tuple(self._cells):
            cell.renew(deadline_s)

    async def stop(self) -> None:
        await asyncio.gather(*(cell.stop() for cell in self._cells))

    async def _add(self) -> Cell:
        name = f"cell-{next(self._names)}"
        try:
            process, self._first = self._first or CellProcess(self._module), None
        except OSError as error:
            raise CellDied(name) from error
        cell = Cell(name, process, self._devices_per_cell_max, self._random.random())
        await cell.start()
        # In this order: a deadline that moves meanwhile reaches it one way or the other, and the later one counts.
        self._cells.append(cell)
        cell.renew(self._deadline_s)
        return cell
