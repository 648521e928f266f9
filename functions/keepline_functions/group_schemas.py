"""What requests about groups and contacts may contain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from keepline.domain.group_commands import MemberAction
from keepline.usecases.contacts import CHECKED_MAX
from keepline.usecases.groups import MEMBERS_MAX
from keepline_functions.schemas import Body, Query

Members = Annotated[list[str], Field(max_length=MEMBERS_MAX)]


class OfSession(Query):
    """Query of whatever is asked of one session."""

    session_id: Annotated[str, Field(examples=["support"])]
    """Whose."""


class InSession(Body):
    """Body of a change that needs no more than the session."""

    session_id: str


class MakeGroup(InSession):
    """Body of `POST /api/groups`."""

    subject: str
    """Up to 100 characters on one line."""
    members: Annotated[Members, Field(min_length=1)]
    """Who is added: numbers or addresses, as for sending."""


class RenameAGroup(InSession):
    """Body of `PATCH /api/groups/{group}`."""

    subject: str
    """Up to 100 characters on one line."""


class ChangeGroupMembers(InSession):
    """Body of `POST /api/groups/{group}/members`."""

    add: Members = Field(default_factory=list)
    promote: Members = Field(default_factory=list)
    demote: Members = Field(default_factory=list)
    remove: Members = Field(default_factory=list)

    def changes(self) -> Mapping[MemberAction, Sequence[str]]:
        """Who is named for what."""
        return {
            MemberAction.ADD: self.add,
            MemberAction.PROMOTE: self.promote,
            MemberAction.DEMOTE: self.demote,
            MemberAction.REMOVE: self.remove,
        }


class CheckNumbers(InSession):
    """Body of `POST /api/contacts/check`."""

    numbers: Annotated[list[str], Field(min_length=1, max_length=CHECKED_MAX)]
    """Numbers or addresses, as for sending."""
