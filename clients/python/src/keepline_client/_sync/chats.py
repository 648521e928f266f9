# Made of _async/chats.py by make_sync.py: change that one, then run `make client`.
"""Chats: what is done at once by the session's device, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keepline_client._calls import Call, path, strings
from keepline_client._sync.transport import Transport
from keepline_client.types import Typing


class Chats:
    """`keepline.chats`. A chat is named like the `to` of a message."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def mark_read(self, session_id: str, chat: str, messages: Sequence[str] | None = None) -> list[str]:
        """Tell the senders of the newest messages, or of these, that they were read. The ids of those marked now."""
        body: dict[str, Any] = {"session_id": session_id}
        if messages is not None:
            body["messages"] = strings(messages)
        call = Call("POST", path("api", "chats", chat, "read"), body, is_harmless=True)
        marked: list[str] = (self._transport.json(call))["read"]
        return marked

    def show_typing(self, session_id: str, chat: str, state: Typing = "composing") -> None:
        """Show that you write or record, for some 25 s or until a message comes."""
        body = {"session_id": session_id, "state": state}
        self._transport.ask(Call("POST", path("api", "chats", chat, "typing"), body, is_harmless=True))
