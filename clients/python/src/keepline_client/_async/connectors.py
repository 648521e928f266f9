"""The installation's connectors, for its operator: which devices live where, and taking one out of use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, path
from keepline_client.types import ConnectorDetails

if TYPE_CHECKING:
    ConnectorList = list[ConnectorDetails]


class AsyncConnectors:
    """`keepline.connectors`"""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> ConnectorList:
        """Every connector that has ever run, by its name, with the devices that it holds."""
        found: ConnectorList = (await self._transport.json(Call("GET", "/api/connectors")))["connectors"]
        return found

    async def drain(self, connector: str) -> ConnectorDetails:
        """Have it give its devices to others, one after another, and take no more. It goes on running."""
        return await self._told(connector, "drain")

    async def undrain(self, connector: str) -> ConnectorDetails:
        """Have it take devices again."""
        return await self._told(connector, "undrain")

    async def _told(self, connector: str, what: str) -> ConnectorDetails:
        call = Call("POST", path("api", "connectors", connector, what), is_harmless=True)
        details: ConnectorDetails = await self._transport.json(call)
        return details
