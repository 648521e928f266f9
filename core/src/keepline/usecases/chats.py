"""What is done to a chat at once: marking its messages as read, showing that we write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keepline.domain.addresses import STATUS_CHAT, parse_chat
from keepline.domain.commands import MarkRead, ShowTyping, Typing
from keepline.domain.errors import InvalidInput, NotFound
from keepline.domain.ids import is_message_id
from keepline.ports.documents import Document, DocumentStore
from keepline.records import history
from keepline.usecases.commanding import Commands
from keepline.usecases.sessions import own_account

# So many of a chat's newest messages are looked at, and so many can be named in one request.
MARKED_MAX = 100


class Chats:
    """The chats of all tenants."""

    def __init__(self, store: DocumentStore, commands: Commands) -> None:
        self._store = store
        self._commands = commands

    async def mark_read(self, tenant: str, session_id: str, chat: str, message_ids: Sequence[str] | None) -> list[str]:
        """Tell the senders that their messages were read: those named, or all of the newest that were not marked yet.

        Returns the ids of those that are marked now. Raises InvalidInput, NotFound (`session_not_found`, `message_not_found`),
        and what `Commands.ask` raises.
        """
        parsed = parse_chat(chat)
        account = await own_account(self._store, tenant, session_id)
        if message_ids is None:
            newest = await self._store.query(history.newest_in_chat(account.id, parsed, MARKED_MAX, None))
            found = [document for document in newest if document.fields.get("read_at") is None]
        else:
            found = await asyncio.gather(*(self._message(tenant, account.id, parsed, one) for one in message_ids))
        incoming = [document for document in found if document.fields["direction"] == "in"]
        if not incoming:
            return []
        references = tuple(map(history.reference, incoming))
        await self._commands.ask(tenant, session_id, MarkRead(parsed, references))
        await self._store.commit([history.marked_read(document) for document in incoming])
        return [str(document.fields["message_id"]) for document in incoming]

    async def show_typing(self, tenant: str, session_id: str, chat: str, state: Typing) -> None:
        """Show in a chat that we write, or that we do not. Raises InvalidInput, and what `Commands.ask` raises."""
        parsed = parse_chat(chat)
        if parsed == STATUS_CHAT:
            raise InvalidInput("not_for_status", "Nobody sees who types a status.", "Name a person or a group.")
        await self._commands.ask(tenant, session_id, ShowTyping(parsed, state))

    async def _message(self, tenant: str, account: str, chat: str, message_id: str) -> Document:
        found = await self._store.query(history.message_by_id(tenant, message_id)) if is_message_id(message_id) else []
        if not found or found[0].fields["account"] != account or found[0].fields["chat"] != chat:
            raise NotFound(
                "message_not_found",
                "There is no such message in this chat.",
                "Use the message_id that an answer named.",
            )
        return found[0]
