"""What a program asks a linked device about groups, as commands. Questions can be repeated; changes are carried out once.

Addresses are in the form that `addresses.py` keeps. People in results are `{"phone", "lid"}`, digits or null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

# Of a result, which travels in one document of a mebibyte: the subject of each can take 400 bytes.
GROUPS_LISTED_MAX = 1_000

# What WhatsApp says of one member that it did not take or change, by its own numbers (seen in its apps' and other clients'
# sources; WhatsApp documents none). A number that is not here is told as `wa_<number>`.
_NOT_ADDED = {403: "needs_invite", 404: "not_on_whatsapp", 408: "left_lately", 409: "already_member"}
_NOT_CHANGED = {404: "not_a_member"}


class MemberAction(StrEnum):
    """What is done to members. WhatsApp is asked in this order, so that nobody is without an admin in between."""

    ADD = "add"
    PROMOTE = "promote"
    DEMOTE = "demote"
    REMOVE = "remove"


def member_error(action: MemberAction, code: int) -> str:
    """The code by which we call what WhatsApp says of one member."""
    known = _NOT_ADDED if action is MemberAction.ADD else _NOT_CHANGED
    return known.get(code, f"wa_{code}")


@dataclass(frozen=True)
class ListGroups:
    """The groups that the number is in: `{"groups": [{"chat", "subject", "members", "admin"}], "total"}`.

    `members` is their count, `admin` whether the number runs the group. `GROUPS_LISTED_MAX` at most; `total` counts all.
    """

    kind: ClassVar = "list_groups"
    once: ClassVar = False

    def to_map(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_map(cls, _fields: Mapping[str, Any]) -> ListGroups:
        return cls()


@dataclass(frozen=True)
class SeeGroup:
    """One group: `{"chat", "subject", "owner", "announcement", "locked", "members": [{"phone", "lid", "admin"}]}`."""

    kind: ClassVar = "see_group"
    once: ClassVar = False

    group: str

    def to_map(self) -> dict[str, Any]:
        return {"group": self.group}

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> SeeGroup:
        return cls(fields["group"])


@dataclass(frozen=True)
class CreateGroup:
    """Makes a group. The result is that of SeeGroup, and `{"refused": [{"phone", "lid", "action", "error"}]}`."""

    kind: ClassVar = "create_group"
    once: ClassVar = True

    subject: str
    members: tuple[str, ...]

    def to_map(self) -> dict[str, Any]:
        return {"subject": self.subject, "members": list(self.members)}

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> CreateGroup:
        return cls(fields["subject"], tuple(fields["members"]))


@dataclass(frozen=True)
class ChangeMembers:
    """Changes who is in a group and who runs it: `{"changed": […], "refused": […]}`, each `{"phone", "lid", "action", "error"}`.

    Each action is one question to WhatsApp. When the first fails, so does the command; when a later one does, its people are
    refused with why, and those of the ones after it with `not_tried`.
    """

    kind: ClassVar = "change_members"
    once: ClassVar = True

    group: str
    changes: tuple[tuple[MemberAction, tuple[str, ...]], ...]

    def to_map(self) -> dict[str, Any]:
        # A list of lists is nothing that Firestore takes.
        return {"group": self.group, "changes": {action.value: list(people) for action, people in self.changes}}

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> ChangeMembers:
        asked = fields["changes"]
        changes = tuple((action, tuple(asked[action.value])) for action in MemberAction if action.value in asked)
        return cls(fields["group"], changes)


@dataclass(frozen=True)
class RenameGroup:
    """Changes a group's subject: `{}`."""

    kind: ClassVar = "rename_group"
    once: ClassVar = True

    group: str
    subject: str

    def to_map(self) -> dict[str, Any]:
        return {"group": self.group, "subject": self.subject}

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> RenameGroup:
        return cls(fields["group"], fields["subject"])


@dataclass(frozen=True)
class SeeInvite:
    """The link by which people join a group: `{"link"}`."""

    kind: ClassVar = "see_invite"
    once: ClassVar = False

    group: str

    def to_map(self) -> dict[str, Any]:
        return {"group": self.group}

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> SeeInvite:
        return cls(fields["group"])


@dataclass(frozen=True)
class ResetInvite:
    """Makes a new link, with which the one before leads nowhere: `{"link"}`."""

    kind: ClassVar = "reset_invite"
    once: ClassVar = True

    group: str

    def to_map(self) -> dict[str, Any]:
        return {"group": self.group}

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> ResetInvite:
        return cls(fields["group"])


@dataclass(frozen=True)
class LeaveGroup:
    """Takes the number out of a group: `{}`."""

    kind: ClassVar = "leave_group"
    once: ClassVar = True

    group: str

    def to_map(self) -> dict[str, Any]:
        return {"group": self.group}

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> LeaveGroup:
        return cls(fields["group"])


GroupCommand = ListGroups | SeeGroup | CreateGroup | ChangeMembers | RenameGroup | SeeInvite | ResetInvite | LeaveGroup
