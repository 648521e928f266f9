"""What WhatsApp tells of groups and calls, as the events that it makes. Their `data` beside the chat and the time.

People are `{"phone", "lid"}` as digits, null where it is not known. `by` is null where WhatsApp does not say who did it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

Person = Mapping[str, str | None]


class Move(StrEnum):
    """What happened to members of a group."""

    JOIN = "join"  # They are in it now: by a link (`by` themselves), or because somebody added them.
    LEAVE = "leave"  # They left (`by` themselves), or somebody removed them.
    PROMOTE = "promote"  # They run it now.
    DEMOTE = "demote"  # They do not run it any more.


def joined_group(by: Person | None, subject: str) -> dict[str, Any]:
    """Our number is in a group now that it was not in."""
    return {"by": _known(by), "subject": subject}


def left_group(by: Person | None) -> dict[str, Any]:
    """Our number is not in a group any more."""
    return {"by": _known(by)}


def moved_members(by: Person | None, action: Move, members: Sequence[Person]) -> dict[str, Any]:
    return {"by": _known(by), "action": action.value, "members": [dict(member) for member in members]}


def updated_group(by: Person | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` has what is different now: subject, description, announcement, locked, disappearing_s, invite_link, deleted."""
    return {"by": _known(by), "changes": dict(changes)}


def call(call_id: str, caller: Person, *, is_video: bool, is_group: bool) -> dict[str, Any]:
    """Somebody calls our number, or a group that it is in."""
    return {"call_id": call_id, "from": dict(caller), "is_video": is_video, "is_group": is_group}


def _known(person: Person | None) -> dict[str, str | None] | None:
    return dict(person) if person is not None and any(person.values()) else None
