"""Spreading devices over connectors: a device that is ill placed is given to another connector, a few at a time.

Every connector computes the same plan and carries out the moves of its own devices. What has lost its connector is not waited for
here: others take it at once (adopting.py). A connector that is to be drained gives away all it has, one device after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping

from keepline.domain.placement import Move, Place, Placed, plan_moves
from keepline.domain.session import SessionState
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import accounts
from keepline.records.accounts import Device
from keepline.usecases.neighbours import Neighbours

# After connectors came or went, the others take what is orphaned first.
SETTLE_S = 10.0
# Between rounds that moved something; a round moves two at most for the better, so a returned region fills up gradually.
ROUND_S = 10.0
# Nothing has come or gone: a look now and then, for what was added and removed.
LOOK_S = 300.0
# A connector that is being drained looks anew at what there is after so many devices.
DRAINED_IN_A_ROUND_MAX = 25
# A device that was given away has logged in again within a second or two; the next one waits for it, but not for ever.
ARRIVAL_LIMIT_S = 10.0
_ARRIVAL_LOOK_S = 0.1

log = logging.getLogger(__name__)


class Balancer:
    """One connector's. `give` stops a device here and hands it to another connector; `speaks`, whether one of ours sends."""

    def __init__(
        self,
        store: DocumentStore,
        connector: str,
        neighbours: Neighbours,
        give: Callable[[Device, Place], Awaitable[None]],
        speaks: Callable[[str, str], bool],
    ) -> None:
        self._store = store
        self._connector = connector
        self._neighbours = neighbours
        self._give = give
        self._speaks = speaks
        self._changed = asyncio.Event()

    def connectors_changed(self) -> None:
        """A connector has come or gone, or takes more or fewer devices than before."""
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
        places = {place.id: place for place in self._neighbours.places()}
        if len(places) < 2:
            return False
        found = [Device.read(document) for document in await self._store.query(accounts.all_devices())]
        devices = {device.name: device for device in found if device.wanted}
        placed = [Placed(device.account, device.slot, device.connector or None) for device in devices.values()]
        moves = [move for move in plan_moves(places.values(), placed) if move.reason != "homeless"]
        ours = [move for move in moves if move.device.holder == self._connector]
        drained = [move for move in ours if move.reason == "draining"][:DRAINED_IN_A_ROUND_MAX]
        for move in [*drained, *(move for move in ours if move.reason != "draining")]:
            device = self._quieter(devices[move.device.account, move.device.slot], move, devices)
            with contextlib.suppress(StoreConflict):
                await self._move(device, places[move.to], move.reason)
        return bool(moves)

    async def _move(self, device: Device, to: Place, reason: str) -> None:
        # Counted once more: others give it theirs, by a plan of a few seconds ago. (It would send back what is too much.)
        if await self._store.count(accounts.devices_of_connector(to.id)) >= to.capacity:
            return
        log.info("device %s of %s moves to %s (%s)", device.slot, device.account, to.id, reason)
        await self._give(device, to)
        if device.state is SessionState.CONNECTED:
            await self._arrival(device, to)

    async def _arrival(self, device: Device, to: Place) -> None:
        """An account's other device may be the next to move: one of them is to be connected at any time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ARRIVAL_LIMIT_S):
                while not self._neighbours.has_proof(to.id, *device.name):  # noqa: ASYNC110 - a heartbeat brings it
                    await asyncio.sleep(_ARRIVAL_LOOK_S)

    def _quieter(self, device: Device, move: Move, devices: Mapping[tuple[str, str], Device]) -> Device:
        """Of two devices of an account on this connector, the one that does not send: its move is no gap.

        A connector that is being drained gives both away.
        """
        if move.reason == "draining":
            return device
        siblings = [other for other in devices.values() if other.account == device.account and other != device]
        for sibling in siblings:
            if sibling.connector == self._connector and self._speaks(*device.name):
                return sibling
        return device
