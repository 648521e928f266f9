"""Chats: what is done at once by the session's device, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, path, strings
from keepline_client.types import Typing


class AsyncChats:
    """`keepline.chats`. A chat is named like the `to` of a message."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def mark_read(self, session_id: str, chat: str, messages: Sequence[str] | None = None) -> list[str]:
        """Tell the senders of the newest messages, or of these, that they were read. The ids of those marked now."""
        body: dict[str, Any] = {"session_id": session_id}
        if messages is not None:
            body["messages"] = strings(messages)
        call = Call("POST", path("api", "chats", chat, "read"), body, is_harmless=True)
        marked: list[str] = (await self._transport.json(call))["read"]
        return marked

    async def show_typing(self, session_id: str, chat: str, state: Typing = "composing") -> None:
        """Show that you write or record, for some 25 s or until a message comes."""
        body = {"session_id": session_id, "state": state}
        await self._transport.ask(Call("POST", path("api", "chats", chat, "typing"), body, is_harmless=True))
