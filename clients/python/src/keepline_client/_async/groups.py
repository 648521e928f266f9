"""Groups: list, make, look at, change and leave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, changing, path, query, strings
from keepline_client.types import Group, GroupSummary, MemberAction, MemberChanges, NewGroup, RenamedGroup

if TYPE_CHECKING:
    GroupList = list[GroupSummary]


class AsyncGroups:
    """`keepline.groups`. A group is named by its `chat`, people like the `to` of a message.

    All of it is asked of WhatsApp at that moment. A change is made once: it has an idempotency key, the caller's or one of its
    own. Unavailable (`outcome_unknown`) says that it may have been made; ask again with the error's key, or look at the group.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, session_id: str) -> GroupList:
        """The groups that the number is in, 1,000 of them at most."""
        call = Call("GET", "/api/groups", query=query(session_id=session_id))
        found: GroupList = (await self._transport.json(call))["groups"]
        return found

    async def get(self, session_id: str, group: str) -> Group:
        """A group with its members."""
        call = Call("GET", path("api", "groups", group), query=query(session_id=session_id))
        found: Group = await self._transport.json(call)
        return found

    async def create(
        self, session_id: str, subject: str, members: Sequence[str], *, idempotency_key: str | None = None
    ) -> NewGroup:
        """A new group. Who could not be added is in `refused`."""
        body = {"session_id": session_id, "subject": subject, "members": strings(members)}
        made: NewGroup = await self._transport.json(changing("POST", "/api/groups", body, idempotency_key))
        return made

    async def add(
        self, session_id: str, group: str, members: Sequence[str], *, idempotency_key: str | None = None
    ) -> MemberChanges:
        """Add people. Who asks to be invited instead is in `refused`."""
        return await self._change(session_id, group, "add", members, idempotency_key)

    async def remove(
        self, session_id: str, group: str, members: Sequence[str], *, idempotency_key: str | None = None
    ) -> MemberChanges:
        """Take people out."""
        return await self._change(session_id, group, "remove", members, idempotency_key)

    async def promote(
        self, session_id: str, group: str, members: Sequence[str], *, idempotency_key: str | None = None
    ) -> MemberChanges:
        """Let members run the group."""
        return await self._change(session_id, group, "promote", members, idempotency_key)

    async def demote(
        self, session_id: str, group: str, members: Sequence[str], *, idempotency_key: str | None = None
    ) -> MemberChanges:
        """Let members run the group no more."""
        return await self._change(session_id, group, "demote", members, idempotency_key)

    async def rename(
        self, session_id: str, group: str, subject: str, *, idempotency_key: str | None = None
    ) -> RenamedGroup:
        """Give a group another name, of up to 100 characters."""
        body = {"session_id": session_id, "subject": subject}
        call = changing("PATCH", path("api", "groups", group), body, idempotency_key)
        renamed: RenamedGroup = await self._transport.json(call)
        return renamed

    async def invite(self, session_id: str, group: str) -> str:
        """The link by which people join. For who runs the group."""
        call = Call("GET", path("api", "groups", group, "invite"), query=query(session_id=session_id))
        link: str = (await self._transport.json(call))["link"]
        return link

    async def reset_invite(self, session_id: str, group: str, *, idempotency_key: str | None = None) -> str:
        """A new link; the one before leads nowhere."""
        where = path("api", "groups", group, "invite", "reset")
        call = changing("POST", where, {"session_id": session_id}, idempotency_key)
        link: str = (await self._transport.json(call))["link"]
        return link

    async def leave(self, session_id: str, group: str, *, idempotency_key: str | None = None) -> None:
        """Be in a group no more."""
        where = path("api", "groups", group, "leave")
        await self._transport.ask(changing("POST", where, {"session_id": session_id}, idempotency_key))

    async def _change(
        self, session_id: str, group: str, action: MemberAction, members: Sequence[str], idempotency_key: str | None
    ) -> MemberChanges:
        body = {"session_id": session_id, action: strings(members)}
        call = changing("POST", path("api", "groups", group, "members"), body, idempotency_key)
        changes: MemberChanges = await self._transport.json(call)
        return changes
