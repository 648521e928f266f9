"""Taking devices that have no connector: new ones, released ones, and those of connectors that have fallen silent.

All connectors compute the same plan (domain/placement.py) and each takes what it gives to it, so none takes more than it may, and
the write that takes a device is good for one of them only. What the planned one leaves, others take after a while: that its lease
is renewed does not prove that it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Sequence

from keepline.domain.placement import Placed, plan_moves
from keepline.ports.clock import Clock
from keepline.ports.documents import IN_VALUES_MAX, DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import accounts, monitoring, outbox
from keepline.records.accounts import Device
from keepline.records.outbox import Authority
from keepline.usecases.neighbours import Neighbours

# Taking is one commit. Whoever was to take a device and has not by then has some trouble.
OTHERS_TURN_S = 10.0
# The sibling of a device that we hold ourselves is left to others for this long: one connector must not take both with it, and
# one that is being redeployed is back sooner.
SIBLING_DELAY_S = 20.0
_STORE_RETRY_S = 1.0

log = logging.getLogger(__name__)


class Adopter:
    """One connector's. It only writes who holds a device; the connector runs what is its own."""

    def __init__(self, store: DocumentStore, clock: Clock, neighbours: Neighbours, connector: str, region: str) -> None:
        self._store = store
        self._clock = clock
        self._neighbours = neighbours
        self._connector = connector
        self._region = region
        self._homeless_since: dict[tuple[str, str], float] = {}  # monotonic, as far as this connector knows
        self._look = asyncio.Event()
        self._stopped = False

    def look(self) -> None:
        """A connector has come or gone, or there is room here again."""
        self._look.set()

    def stop(self) -> None:
        """Take nothing more: this connector is going."""
        self._stopped = True

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._take_in_time())

    async def _listen(self) -> None:
        async with self._store.watch(accounts.devices_of_connector("")) as watch:
            async for documents in watch:
                if documents:
                    self._look.set()

    async def _take_in_time(self) -> None:
        next_s: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next_s):
                    await self._look.wait()
            self._look.clear()
            try:
                next_s = await self._round()
            except StoreUnavailable as error:
                log.warning("devices without a connector could not be taken, trying again: %s", error)
                next_s = _STORE_RETRY_S

    async def _round(self) -> float | None:
        """Take what is to be taken by now. Returns in how many seconds there may be more."""
        here = next((place for place in self._neighbours.places() if place.id == self._connector), None)
        if here is None or here.draining:
            return None  # When that changes, it is called again.
        devices = [Device.read(document) for document in await self._store.query(accounts.all_devices())]
        homeless = [device for device in devices if self._is_homeless(device)]
        now_s = self._clock.monotonic_s()
        self._homeless_since = {device.name: self._homeless_since.get(device.name, now_s) for device in homeless}
        if not homeless:
            return None
        mine = await self._planned_for_us(devices, homeless)
        room = here.capacity - sum(device.connector == self._connector for device in devices)
        ours = {device.account for device in devices if device.connector == self._connector}
        later_s: list[float] = []
        for device in sorted(homeless, key=lambda device: (device.name not in mine, device.slot, device.account)):
            wait_s = 0.0 if device.name in mine else OTHERS_TURN_S
            wait_s += SIBLING_DELAY_S if device.account in ours else 0.0
            due_s = self._homeless_since[device.name] + wait_s - now_s
            if due_s > 0:
                later_s.append(due_s)
            elif room > 0 and await self._take(device):
                room -= 1
                ours.add(device.account)
        return min(later_s) if later_s and room > 0 else None

    def _is_homeless(self, device: Device) -> bool:
        return not device.connector or self._neighbours.is_silent(device.connector)

    async def _planned_for_us(self, devices: Sequence[Device], homeless: Sequence[Device]) -> set[tuple[str, str]]:
        both_gone = [account for account, count in Counter(device.account for device in homeless).items() if count > 1]
        sending = await self._sending_slots(both_gone)
        placed = [
            Placed(
                device.account,
                device.slot,
                None if self._is_homeless(device) else device.connector,
                sends=sending.get(device.account) == device.slot,
            )
            for device in devices
        ]
        moves = plan_moves(self._neighbours.places(), placed, better_moves_max=0)
        return {
            (move.device.account, move.device.slot)
            for move in moves
            if move.to == self._connector and move.reason == "homeless"
        }

    async def _sending_slots(self, of: Sequence[str]) -> dict[str, str]:
        found = []
        for start in range(0, len(of), IN_VALUES_MAX):
            found += await self._store.query(outbox.authorities_of(tuple(of[start : start + IN_VALUES_MAX])))
        return {authority.account: authority.slot for authority in map(Authority.read, found)}

    async def _take(self, device: Device) -> bool:
        if self._stopped or not self._is_homeless(device):
            return False  # We are going, or its connector is back.
        try:
            moved = monitoring.device_moved(device, self._connector, self._clock.now())
            await self._store.commit([accounts.assign(device, self._connector, self._region), *moved])
        except StoreConflict:
            return False  # Another connector was first.
        return True
