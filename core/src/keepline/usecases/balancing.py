"""Spreading devices over connectors: a device that is ill placed is given to another connector, a few at a time.

Every connector computes the same plan and carries out the moves of its own devices. What has lost its connector is not waited for
here: others take it at once (connecting.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from keepline.domain.placement import Place, Placed, plan_moves
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import accounts
from keepline.records.accounts import Device

# After connectors came or went, the others take what is orphaned first.
SETTLE_S = 10.0
# Between rounds that moved something; a round moves two at most for the better, so a returned region fills up gradually.
ROUND_S = 10.0
# Nothing has come or gone: a look now and then, for what was added and removed.
LOOK_S = 300.0

log = logging.getLogger(__name__)


class Balancer:
    """One connector's. `places` tells of all connectors; `give` stops a device here and hands it to another connector."""

    def __init__(
        self,
        store: DocumentStore,
        connector: str,
        places: Callable[[], list[Place]],
        give: Callable[[Device, Place], Awaitable[None]],
        speaks: Callable[[str, str], bool],
    ) -> None:
        self._store = store
        self._connector = connector
        self._places = places
        self._give = give
        self._speaks = speaks
        self._changed = asyncio.Event()

    def connectors_changed(self) -> None:
        """A connector has come or gone."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(SETTLE_S)
            with contextlib.suppress(StoreUnavailable):
                while await self._round():  # noqa: ASYNC110 - the rounds themselves set the pace
                    await asyncio.sleep(ROUND_S)

    async def _round(self) -> bool:
        """Whether anything is to be moved by anybody."""
        places = {place.id: place for place in self._places()}
        if len(places) < 2:
            return False
        found = [Device.read(document) for document in await self._store.query(accounts.all_devices())]
        devices = {(device.account, device.slot): device for device in found if device.wanted}
        placed = [Placed(device.account, device.slot, device.connector or None) for device in devices.values()]
        moves = [move for move in plan_moves(places.values(), placed) if move.reason in ("apart", "balance")]
        for move in moves:
            if move.device.holder != self._connector:
                continue
            device = self._quieter(devices[move.device.account, move.device.slot], devices)
            log.info("device %s of %s moves to %s (%s)", device.slot, device.account, move.to, move.reason)
            with contextlib.suppress(StoreConflict):
                await self._give(device, places[move.to])
        return bool(moves)

    def _quieter(self, device: Device, devices: dict[tuple[str, str], Device]) -> Device:
        """Of two devices of an account on this connector, the one that does not send: its move is no gap."""
        siblings = [other for other in devices.values() if other.account == device.account and other != device]
        for sibling in siblings:
            if sibling.connector == self._connector and self._speaks(device.account, device.slot):
                return sibling
        return device
