"""Replacing cells that have leaked or are old, one at a time: first the new process, ready to work, then device by device."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from keepline.domain.cell_recycling import RecycleLimits, cell_to_recycle
from keepline_connector.cells import Cell, CellDied, CellPool

_LOOK_S = 5.0

log = logging.getLogger(__name__)


class Recycler:
    """`step_aside` gets a device (`<account>_<slot>`) out of the middle of what it does, before it changes its cell."""

    def __init__(self, pool: CellPool, limits: RecycleLimits, step_aside: Callable[[str], Awaitable[None]]) -> None:
        self._pool = pool
        self._limits = limits
        self._step_aside = step_aside
        self.recycled = 0  # cells

    def report(self) -> list[dict[str, Any]]:
        """The cells, for people: age in seconds, memory in MB, devices."""
        return [
            {"name": cell.name, "age_s": round(cell.age_s), "rss_mb": round(cell.rss_mb), "devices": cell.devices}
            for cell in (cell.facts() for cell in self._pool.cells)
        ]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self.look()
            except Exception:
                # A bug that a person must see; but the devices go on, and the next look may go well.
                log.exception("a cell could not be replaced")

    async def look(self) -> None:
        """Replace the one cell that is due, if one is."""
        cells = {cell.name: cell for cell in self._pool.cells}
        due = cell_to_recycle((cell.facts() for cell in cells.values()), self._limits)
        if due is not None:
            name, reason = due
            await self._recycle(cells[name], reason)

    async def _recycle(self, old: Cell, reason: str) -> None:
        before = old.facts()
        try:
            fresh = await self._pool.add_loaded()
        except CellDied:
            log.warning("%s is to be replaced (%s), and no new cell could be started", old.name, reason)
            return
        old.retiring = True
        while old.devices and not old.ended.is_set():
            device, resident = next(iter(old.devices.items()))
            await self._step_aside(device)
            await resident.leave(fresh)
            old.devices.pop(device, None)  # It may have been let go of meanwhile.
        await old.stop()
        self.recycled += 1
        log.info(
            "%s (%.0f h old, %.0f MB, %d devices) was replaced by %s: %s",
            *(old.name, before.age_s / 3_600, before.rss_mb, before.devices, fresh.name, reason),
        )
