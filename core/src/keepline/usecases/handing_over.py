"""A connector that stops: it hands over its devices, everything at once, so that nobody waits for what does not concern them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import replace

from keepline.domain.ids import DeviceName
from keepline.domain.placement import Place, Placed, plan_moves
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import accounts
from keepline.records.accounts import Device
from keepline.usecases.holding import Holder
from keepline.usecases.neighbours import Neighbours

log = logging.getLogger(__name__)


async def hand_over(store: DocumentStore, holder: Holder, neighbours: Neighbours, connector: str) -> None:
    """Stop all devices of `connector`, and give each away as soon as it is silent. Call it while the lease is held."""
    heirs = asyncio.create_task(_heirs(store, neighbours, connector))
    devices = (_hand_over(store, holder, connector, name, heirs) for name in holder.names)
    await asyncio.gather(*devices, return_exceptions=True)
    heirs.cancel()
    await asyncio.wait([heirs])
    await _release_all(store, connector)


async def _hand_over(
    store: DocumentStore, holder: Holder, connector: str, name: DeviceName, heirs: asyncio.Task[dict[DeviceName, Place]]
) -> None:
    await holder.stop([name])
    heir = (await asyncio.shield(heirs)).get(name)
    with suppress(StoreUnavailable):  # What is left is released in the end.
        document = await store.get(accounts.device_path(*name))
        if document is not None:
            await _release(store, connector, Device.read(document), heir)


async def _heirs(store: DocumentStore, neighbours: Neighbours, connector: str) -> dict[DeviceName, Place]:
    """To whom our devices go that have no sibling to send in their place: at once, without first being anybody's.

    Those that have one wait for whoever comes first; that is this connector's next process, if it is being redeployed.
    """
    places = neighbours.places()
    if not any(place.id != connector for place in places):
        return {}
    try:
        found = [Device.read(document) for document in await store.query(accounts.all_devices())]
    except StoreUnavailable:
        return {}
    wanted = [device for device in found if device.wanted]
    devices = Counter(device.account for device in wanted)
    stopping = [replace(place, draining=place.draining or place.id == connector) for place in places]
    placed = [Placed(device.account, device.slot, device.connector or None) for device in wanted]
    by_id = {place.id: place for place in places}
    return {
        (move.device.account, move.device.slot): by_id[move.to]
        for move in plan_moves(stopping, placed, better_moves_max=0)
        if move.device.holder == connector and devices[move.device.account] == 1
    }


async def _release(store: DocumentStore, connector: str, device: Device, heir: Place | None) -> None:
    """Raises StoreUnavailable."""
    if device.connector == connector:
        with suppress(StoreConflict):
            await store.commit([accounts.assign(device, *((heir.id, heir.region) if heir else ("", "")))])


async def _release_all(store: DocumentStore, connector: str) -> None:
    """Others, or our next process, need not wait until they find out that we are gone."""
    try:
        documents = await store.query(accounts.devices_of_connector(connector))
        await asyncio.gather(*(_release(store, connector, Device.read(document), None) for document in documents))
    except StoreUnavailable as error:
        log.warning("the devices of %s could not be released: %s", connector, error)
