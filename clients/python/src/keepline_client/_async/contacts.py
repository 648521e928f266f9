"""Contacts: who is on WhatsApp, and what they show of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, path, query, strings
from keepline_client.types import CheckedContact, ContactProfile


class AsyncContacts:
    """`keepline.contacts`. WhatsApp bans numbers that ask about many people, so these have a limit of their own."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def check(self, session_id: str, numbers: Sequence[str]) -> list[CheckedContact]:
        """Who of up to 50 people is on WhatsApp. What was asked within a day costs nothing."""
        body = {"session_id": session_id, "numbers": strings(numbers)}
        call = Call("POST", "/api/contacts/check", body, is_harmless=True)
        checked: list[CheckedContact] = (await self._transport.json(call))["contacts"]
        return checked

    async def get(self, session_id: str, contact: str) -> ContactProfile:
        """What somebody shows of themselves to this number now."""
        call = Call("GET", path("api", "contacts", contact), query=query(session_id=session_id))
        profile: ContactProfile = await self._transport.json(call)
        return profile
