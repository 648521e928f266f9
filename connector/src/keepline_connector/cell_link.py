"""The device link over a cell: what the use cases ask becomes commands, and a cell that dies is followed by another."""

from __future__ import annotations

import asyncio
import itertools
import logging
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from keepline.domain.commands import Command, CommandOutcome
from keepline.domain.content import maps
from keepline.domain.content.bodies import Content
from keepline.domain.link_events import CellLost, LinkEvent, SendOutcome, Tried
from keepline_connector import frames
from keepline_connector.cells import Cell, CellDied, CellPool

# A cell that dies under a command, or cannot carry it out, is tried again, later each time.
_RETRY_MIN_S = 0.2
_RETRY_MAX_S = 5.0
_LOG_OUT_TRIES_MAX = 5
# WhatsApp answers within a second on a link that works; the library itself would wait for 75.
_PROBE_LIMIT_S = 5.0
# Whoever asked waits for ten.
_COMMAND_LIMIT_S = 8.0

log = logging.getLogger(__name__)


class LetGo(RuntimeError):
    """The device was closed; what comes after that does not open it again."""


class CellLink:
    """One device, in whichever cell holds it at the time."""

    def __init__(self, pool: CellPool, device: str, folder: Path, upstream: str | None) -> None:
        self._pool = pool
        self._device = device
        self._folder = folder
        self._upstream = upstream
        self._cell: Cell | None = None
        self._is_open = False
        self._let_go_of = False
        self._watching: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._events: asyncio.Queue[LinkEvent] = asyncio.Queue()

    async def events(self) -> AsyncIterator[LinkEvent]:
        while True:
            yield await self._events.get()

    async def open(self) -> None:
        await self._call("find_tried", tags=[])

    async def connect(self) -> None:
        await self._call("connect")

    async def send(self, chat: str, content: Content, tag: bytes) -> SendOutcome:
        said = {"kind": content.kind, "content": maps.to_map(content)}
        try:
            cell = await self._open_cell()
            return SendOutcome(**await cell.call(self._device, "send", chat=chat, **said, tag=_text(tag)))
        except (CellDied, RuntimeError) as error:
            return SendOutcome("unknown", detail=str(error))

    async def carry_out(self, command: Command) -> CommandOutcome:
        try:
            async with asyncio.timeout(_COMMAND_LIMIT_S):
                cell = await self._open_cell()
                asked = {"kind": command.kind, "arguments": command.to_map()}
                return CommandOutcome(**await cell.call(self._device, "carry_out", **asked))
        except (CellDied, RuntimeError, TimeoutError) as error:
            log.warning("the command %s of %s came to nothing: %r", command.kind, self._device, error)
            return CommandOutcome("command_failed")

    async def find_tried(self, tags: Sequence[bytes]) -> dict[bytes, Tried]:
        if not tags:
            return {}
        answer = await self._call("find_tried", tags=[_text(tag) for tag in tags])
        return {b64decode(tag): Tried(**tried) for tag, tried in answer["found"].items()}

    async def probe(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_LIMIT_S):
                cell = await self._open_cell()
                return bool((await cell.call(self._device, "probe"))["answered"])
        except (CellDied, RuntimeError, TimeoutError):
            return False

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        if seqs and self._cell is not None and self._is_open:
            try:
                await self._cell.call(self._device, "acknowledge", seqs=list(seqs))
            except CellDied:
                # The next cell tells these again, and recording them again writes the same documents.
                log.info("an acknowledgement for %s was lost with its cell", self._device)

    async def cut(self) -> None:
        if self._cell is not None:
            try:
                await self._cell.call(self._device, "cut")
            except CellDied:
                log.info("the cell of %s was gone before its socket was cut", self._device)

    async def log_out(self) -> None:
        """Raises RuntimeError when no cell could do it."""
        await self._call("log_out", tries_max=_LOG_OUT_TRIES_MAX)
        await self._let_go()

    async def close(self) -> None:
        self._let_go_of = True
        if self._cell is not None:
            try:
                await self._cell.call(self._device, "close")
            except CellDied:
                log.info("the cell of %s was gone before its device was closed", self._device)
        await self._let_go()

    async def _call(self, do: str, tries_max: int | None = None, **arguments: Any) -> dict[str, Any]:
        """A command that may be repeated, on the next cell when this one dies under it, until it is carried out.

        Raises RuntimeError after `tries_max` tries.
        """
        for tried in itertools.count(1):
            try:
                cell = await self._open_cell()
                return await cell.call(self._device, do, **arguments)
            except LetGo:
                raise
            except (CellDied, RuntimeError) as error:
                if tried == tries_max:
                    raise RuntimeError(f"no cell could {do}") from error
                log.warning("no cell could %s for %s, trying again: %r", do, self._device, error)
            await asyncio.sleep(min(_RETRY_MIN_S * 2 ** min(tried - 1, 8), _RETRY_MAX_S))
        raise AssertionError("the tries do not end by themselves")

    async def _open_cell(self) -> Cell:
        async with self._opening:
            if self._let_go_of:
                # A straggler: opened for it, the device would be held where nobody closes it, and could be opened nowhere else.
                raise LetGo(self._device)
            if self._cell is None or self._cell.ended.is_set():
                # Known before it is asked: a device that is given up in the middle of its opening must be closed there.
                self._cell, self._is_open = await self._pool.place(self._device, self._on_event), False
            cell = self._cell
            if not self._is_open:
                await cell.call(self._device, "open", folder=str(self._folder), upstream=self._upstream)
                self._is_open = True
                self._watching = asyncio.create_task(self._tell_when_lost(cell))
            return cell

    async def _tell_when_lost(self, cell: Cell) -> None:
        await cell.ended.wait()
        self._events.put_nowait(CellLost())

    def _on_event(self, event: dict[str, Any]) -> None:
        self._events.put_nowait(frames.event_from_json(event))

    async def _let_go(self) -> None:
        self._let_go_of = True
        if self._watching is not None:
            self._watching.cancel()
        if self._cell is not None:
            self._cell.devices.pop(self._device, None)
            self._cell = None


def _text(data: bytes) -> str:
    return b64encode(data).decode()
