"""The connectors as their operator sees them: which there are, which devices live where, and taking one out of use."""

from __future__ import annotations

from dataclasses import dataclass

from keepline.domain.errors import NotFound
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict
from keepline.records import connectors
from keepline.records.connectors import ConnectorBeat, DeviceBeat
from keepline.usecases.fleet import ConnectorView, view_of


@dataclass(frozen=True)
class HeldDevice:
    """A device that a connector holds, as its newest heartbeat has it."""

    tenant: str
    session_id: str
    slot: str
    queued: int
    quality: int | None


@dataclass(frozen=True)
class ConnectorDetails:
    """A connector with its devices, in the order of their names."""

    view: ConnectorView
    devices: tuple[HeldDevice, ...]


class ConnectorList:
    """All connectors of the installation, read anew at each look: a person who drains one wants to see it empty."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def look(self) -> list[ConnectorDetails]:
        """Every connector that has ever beaten, by its name; 200 at most. Raises StoreUnavailable."""
        documents = await self._store.query(connectors.all_connectors())
        beats = sorted(map(ConnectorBeat.read, documents), key=lambda beat: beat.connector)
        return [self._details(beat) for beat in beats]

    async def drain(self, connector: str, *, wanted: bool) -> ConnectorDetails:
        """Have a connector give its devices away and take no more, or take devices again. Twice is as good as once.

        Raises NotFound (`connector_not_found`).
        """
        # Found in the list, so that no text of a caller becomes a document's path.
        if all(one.view.id != connector for one in await self.look()):
            raise _not_found()
        try:
            await self._store.commit([connectors.drain(connector, wanted)])
        except StoreConflict as removed:
            raise _not_found() from removed
        document = await self._store.get(connectors.connector_path(connector))
        if document is None:
            raise _not_found()
        return self._details(ConnectorBeat.read(document))

    def _details(self, beat: ConnectorBeat) -> ConnectorDetails:
        held = tuple(_held(name, device) for name, device in sorted(beat.devices.items()))
        return ConnectorDetails(view_of(beat, self._clock.now()), held)


def _held(name: str, device: DeviceBeat) -> HeldDevice:
    account, slot = name.rsplit("_", 1)
    tenant, session_id = account.rsplit("_", 1)  # no session id has an underscore (ADR 7)
    return HeldDevice(tenant, session_id, slot, device.queued, device.quality)


def _not_found() -> NotFound:
    return NotFound(
        "connector_not_found", "There is no such connector.", "GET /api/connectors lists those that have ever run."
    )
