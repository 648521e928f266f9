"""What a program asks a linked device to do at once, and what came of it: marks, typing, groups, and questions to WhatsApp.

Unlike a message, a command that nobody carried out within its time is dropped and said so. It may be carried out twice, by a
device and by the one that follows it, so a kind comes to the same when it is; or is marked `once`. What is marked so is begun by
one device only, and if that dies before it could say what came of it, nobody knows (`outcome_unknown`), and nobody tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from keepline.domain.contact_commands import CheckContacts, ContactCommand, SeeContact
from keepline.domain.content.references import MessageRef
from keepline.domain.group_commands import (
    ChangeMembers,
    CreateGroup,
    GroupCommand,
    LeaveGroup,
    ListGroups,
    RenameGroup,
    ResetInvite,
    SeeGroup,
    SeeInvite,
)

Fields = Mapping[str, Any]

# Of a command that is to be carried out once, and may have been.
OUTCOME_UNKNOWN = "outcome_unknown"


class Typing(StrEnum):
    """What a chat shows beside our name."""

    COMPOSING = "composing"  # "typing…", for some 25 s, or until a message comes
    RECORDING = "recording"  # "recording audio…"
    PAUSED = "paused"  # nothing


@dataclass(frozen=True)
class MarkRead:
    """Tells the senders of these messages of one chat that they were read: two blue ticks."""

    kind: ClassVar = "mark_read"
    once: ClassVar = False

    chat: str
    messages: tuple[MessageRef, ...]

    def to_map(self) -> dict[str, Any]:
        return {"chat": self.chat, "messages": [message.to_map() for message in self.messages]}

    @classmethod
    def from_map(cls, fields: Fields) -> MarkRead:
        return cls(fields["chat"], tuple(map(MessageRef.from_map, fields["messages"])))


@dataclass(frozen=True)
class ShowTyping:
    """Shows in a chat that we write."""

    kind: ClassVar = "show_typing"
    once: ClassVar = False

    chat: str
    state: Typing

    def to_map(self) -> dict[str, Any]:
        return {"chat": self.chat, "state": self.state.value}

    @classmethod
    def from_map(cls, fields: Fields) -> ShowTyping:
        return cls(fields["chat"], Typing(fields["state"]))


Command = MarkRead | ShowTyping | GroupCommand | ContactCommand

_READERS: dict[str, Callable[[Fields], Command]] = {
    kind.kind: kind.from_map
    for kind in (
        MarkRead,
        ShowTyping,
        ListGroups,
        SeeGroup,
        CreateGroup,
        ChangeMembers,
        RenameGroup,
        SeeInvite,
        ResetInvite,
        LeaveGroup,
        CheckContacts,
        SeeContact,
    )
}


def command_from_map(kind: str, fields: Fields) -> Command:
    """The command that `to_map` made this of. Raises KeyError for a kind that this build does not know."""
    return _READERS[kind](fields)


@dataclass(frozen=True)
class CommandOutcome:
    """What came of a command: its result, or the code of why there is none.

    `not_connected` and `command_failed`; `wa_…` with WhatsApp's own number of a refusal; and `outcome_unknown`. All but the last
    say that nothing was done.
    """

    error_code: str | None = None
    result: Fields = field(default_factory=dict)
