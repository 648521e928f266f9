"""The device link over a cell: what the use cases ask becomes commands, and a cell that dies is followed by another."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from keepline.domain.commands import OUTCOME_UNKNOWN, Command, CommandOutcome
from keepline.domain.content import maps
from keepline.domain.content.bodies import Content
from keepline.domain.content.files import Media
from keepline.domain.link_events import (
    CaughtUp,
    CellLost,
    LinkEvent,
    MediaOutcome,
    MediaWaiting,
    Moved,
    SendOutcome,
    Tried,
)
from keepline.domain.link_settings import LinkSettings, Proxy
from keepline.domain.pairing import UNREACHABLE, CodeAnswer
from keepline_connector import frames
from keepline_connector.cells import Cell, CellDied, CellPool
from keepline_connector.media_files import MediaFiles, NotHere
from keepline_connector.metrics import LinkMetrics

# A cell that dies under a command, or cannot carry it out, is tried again, later each time.
_RETRY_MIN_S = 0.2
_RETRY_MAX_S = 5.0
_LOG_OUT_TRIES_MAX = 5
# WhatsApp answers within a second on a link that works; the library itself would wait for 75.
_PROBE_LIMIT_S = 5.0
# A device that changes its cell is back within a second.
_ARRIVAL_LIMIT_S = 10.0
# Whoever asked waits for ten. What is done once is worth knowing later, too: a group with many members takes WhatsApp a while.
_COMMAND_LIMIT_S = 8.0
_ONCE_LIMIT_S = 30.0

log = logging.getLogger(__name__)


class LetGo(RuntimeError):
    """The device was closed; what comes after that does not open it again."""


class CellLink:
    """One device, in whichever cell holds it at the time.

    `upstream` is the connector's own proxy, for a device whose session has none. A session's must have a public address, unless
    `private_proxies` are allowed.
    """

    def __init__(
        self,
        pool: CellPool,
        device: str,
        folder: Path,
        upstream: Proxy | None,
        media: MediaFiles,
        metrics: LinkMetrics,
        *,
        private_proxies: bool,
    ) -> None:
        self._pool = pool
        self._device = device
        self._folder = folder
        self._upstream = upstream
        self._media = media
        self._metrics = metrics
        self._private_proxies = private_proxies
        self._settings = LinkSettings()
        self._cell: Cell | None = None
        self._rather: Cell | None = None
        self._is_open = False
        self._caught_up = asyncio.Event()  # since it came to its present cell
        self._let_go_of = False
        self._watching: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._events: asyncio.Queue[LinkEvent] = asyncio.Queue()

    async def events(self) -> AsyncIterator[LinkEvent]:
        while True:
            yield await self._events.get()

    async def open(self) -> None:
        await self._call("find_tried", tags=[])

    async def use(self, settings: LinkSettings) -> None:
        self._settings = settings
        if self._cell is not None and self._is_open:
            try:
                await self._cell.call(self._device, "present", presence=settings.presence.value)
            except (CellDied, RuntimeError):
                log.info("the cell of %s did not hear of its presence now; its next connection does", self._device)

    async def connect(self) -> None:
        self._metrics.connecting()
        own = self._settings.proxy
        upstream = own or self._upstream
        await self._call(
            "connect",
            upstream=upstream.url if upstream is not None else None,
            public_only=own is not None and not self._private_proxies,
            presence=self._settings.presence.value,
        )

    async def send(self, chat: str, content: Content, tag: bytes) -> SendOutcome:
        if not isinstance(content.body, Media):
            return await self._send(chat, content, tag, None)
        try:
            async with self._media.to_send(content.body.file) as file:
                return await self._send(chat, content, tag, file)
        except NotHere as error:
            return error.outcome

    async def _send(self, chat: str, content: Content, tag: bytes, file: Path | None) -> SendOutcome:
        said = {"kind": content.kind, "content": maps.to_map(content), "file": str(file) if file is not None else None}
        began_s = time.monotonic()
        try:
            cell = await self._open_cell()
            outcome = SendOutcome(**await cell.call(self._device, "send", chat=chat, **said, tag=_text(tag)))
        except (CellDied, RuntimeError) as error:
            outcome = SendOutcome("unknown", detail=str(error))
        self._metrics.sent(outcome, time.monotonic() - began_s)
        return outcome

    async def keep_media(self, waiting: MediaWaiting, media_id: str) -> MediaOutcome:
        named = {"chat": waiting.chat, "wa_message_id": waiting.wa_message_id}
        try:
            async with self._media.to_receive() as place:
                cell = await self._open_cell()
                answer = await cell.call(self._device, "fetch_media", **named, target=str(place))
                if "error_code" in answer:
                    return MediaOutcome(error_code=answer["error_code"], final=answer["final"])
                return await self._media.keep(place, media_id, waiting)
        except NotHere as error:
            return MediaOutcome(error_code=error.outcome.error_code, final=True)
        except (CellDied, RuntimeError, OSError) as error:
            log.warning("a file of %s could not be fetched now: %r", self._device, error)
            return MediaOutcome(error_code="media_unreachable")

    async def forget_media(self, waiting: MediaWaiting) -> None:
        try:
            cell = await self._open_cell()
            await cell.call(self._device, "forget_media", chat=waiting.chat, wa_message_id=waiting.wa_message_id)
        except (CellDied, RuntimeError):
            log.info("the cell of %s was gone before it forgot a file: it tells of it again", self._device)

    async def carry_out(self, command: Command) -> CommandOutcome:
        handed_over = False
        try:
            async with asyncio.timeout(_ONCE_LIMIT_S if command.once else _COMMAND_LIMIT_S):
                cell = await self._open_cell()
                handed_over = True
                asked = {"kind": command.kind, "arguments": command.to_map()}
                return CommandOutcome(**await cell.call(self._device, "carry_out", **asked))
        except (CellDied, RuntimeError, TimeoutError) as error:
            log.warning("the command %s of %s has no answer: %r", command.kind, self._device, error)
            return CommandOutcome(OUTCOME_UNKNOWN if command.once and handed_over else "command_failed")

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

    async def pair_code(self, phone: str) -> CodeAnswer:
        try:
            cell = await self._open_cell()
            return CodeAnswer(**await cell.call(self._device, "pair_code", phone=phone))
        except (CellDied, RuntimeError) as error:
            log.warning("no cell could ask for a pairing code for %s: %s", self._device, error)
            return CodeAnswer(error_code=UNREACHABLE)

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        if seqs and self._cell is not None and self._is_open:
            try:
                self._metrics.written(self._device, seqs)
                await self._cell.call(self._device, "acknowledge", seqs=list(seqs))
            except CellDied:
                # The next cell tells these again, and recording them again writes the same documents.
                log.info("an acknowledgement for %s was lost with its cell", self._device)

    async def cut(self) -> None:
        if self._cell is not None and self._is_open:
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

    def heard(self, event: dict[str, Any]) -> None:
        told = frames.event_from_json(event)
        self._metrics.told(self._device, told)
        if isinstance(told, CaughtUp):
            self._caught_up.set()
        self._events.put_nowait(told)

    async def leave(self, to: Cell) -> None:
        """Close the device in its present cell, and say so: whoever runs it connects it, and then it is in `to`.

        What it heard and nobody has acknowledged is told again there. Returns when it has caught up, if it had before; at the
        latest after `_ARRIVAL_LIMIT_S`.
        """
        async with self._opening:
            cell, self._rather = self._cell, to
            if cell is None or cell is to or cell.ended.is_set():
                return
            # From now on nothing that it says counts, and nothing is asked of it: its last words would be taken for troubles.
            cell.devices.pop(self._device, None)
            self._is_open = False
            if self._watching is not None:
                self._watching.cancel()
            with contextlib.suppress(CellDied, RuntimeError):
                await cell.call(self._device, "close")
            self._cell = None
            was_there = self._caught_up.is_set()
            self._caught_up.clear()
        self._events.put_nowait(Moved())
        if was_there and not self._let_go_of:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ARRIVAL_LIMIT_S):
                    await self._caught_up.wait()

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
                self._cell, self._is_open = await self._pool.place(self._device, self, self._rather), False
            cell = self._cell
            if not self._is_open:
                await cell.call(self._device, "open", folder=str(self._folder))
                self._is_open = True
                self._watching = asyncio.create_task(self._tell_when_lost(cell))
            return cell

    async def _tell_when_lost(self, cell: Cell) -> None:
        await cell.ended.wait()
        self._metrics.told(self._device, CellLost())
        self._events.put_nowait(CellLost())

    async def _let_go(self) -> None:
        self._let_go_of = True
        self._metrics.let_go(self._device)
        if self._watching is not None:
            self._watching.cancel()
        if self._cell is not None:
            self._cell.devices.pop(self._device, None)
            self._cell = None


def _text(data: bytes) -> str:
    return b64encode(data).decode()
