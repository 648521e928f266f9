# Made of _async/keys.py by make_sync.py: change that one, then run `make client`.
"""API keys: make them, list them, revoke them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keepline_client._calls import Call, path, strings
from keepline_client._sync.transport import Transport
from keepline_client.types import ApiKey, NewApiKey, Scope

if TYPE_CHECKING:
    KeyList = list[ApiKey]


class Keys:
    """`keepline.keys`"""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, scopes: Sequence[Scope], *, sessions: Sequence[str] | None = None) -> NewApiKey:
        """A new key, for all sessions or some. The answer has the `key` itself, this once."""
        body = {"name": name, "scopes": strings(scopes)}
        if sessions is not None:
            body["sessions"] = strings(sessions)
        key: NewApiKey = self._transport.json(Call("POST", "/api/keys", body))
        return key

    def list(self) -> KeyList:
        """All keys, the oldest first, with their last use."""
        found: KeyList = (self._transport.json(Call("GET", "/api/keys")))["keys"]
        return found

    def revoke(self, key_id: str) -> None:
        """Take a key away: it stops working within 5 s."""
        self._transport.ask(Call("DELETE", path("api", "keys", key_id)))
