"""API keys: make them, list them, revoke them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, path, strings
from keepline_client.types import ApiKey, NewApiKey, Scope

if TYPE_CHECKING:
    KeyList = list[ApiKey]


class AsyncKeys:
    """`keepline.keys`"""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, name: str, scopes: Sequence[Scope], *, sessions: Sequence[str] | None = None) -> NewApiKey:
        """A new key, for all sessions or some. The answer has the `key` itself, this once."""
        body = {"name": name, "scopes": strings(scopes)}
        if sessions is not None:
            body["sessions"] = strings(sessions)
        key: NewApiKey = await self._transport.json(Call("POST", "/api/keys", body))
        return key

    async def list(self) -> KeyList:
        """All keys, the oldest first, with their last use."""
        found: KeyList = (await self._transport.json(Call("GET", "/api/keys")))["keys"]
        return found

    async def revoke(self, key_id: str) -> None:
        """Take a key away: it stops working within 5 s."""
        await self._transport.ask(Call("DELETE", path("api", "keys", key_id)))
