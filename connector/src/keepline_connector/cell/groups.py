"""Groups as calls of the library. A failed call raises NeonizeError with whatsmeow's words (`outcomes.query_error_of`).

neonize 0.5.2 tells times of groups (when it was made, until when an invitation holds) as 32-bit floats, which are right to two
minutes only: they are left out. Names are bytes up to the first NUL, which the API lets nobody write.
"""

from __future__ import annotations

from typing import Any

from neonize.client import NewClient
from neonize.exc import NeonizeError
from neonize.utils.enum import ParticipantChange

from keepline.domain.addresses import GROUP_SERVER
from keepline.domain.commands import OUTCOME_UNKNOWN
from keepline.domain.group_commands import (
    GROUPS_LISTED_MAX,
    ChangeMembers,
    CreateGroup,
    GroupCommand,
    LeaveGroup,
    ListGroups,
    MemberAction,
    RenameGroup,
    ResetInvite,
    SeeGroup,
    SeeInvite,
    member_error,
)
from keepline_connector.cell.outcomes import query_error_of
from keepline_connector.cell.people import People, Person, is_same, to_jid

_CHANGES = {
    MemberAction.ADD: ParticipantChange.ADD,
    MemberAction.PROMOTE: ParticipantChange.PROMOTE,
    MemberAction.DEMOTE: ParticipantChange.DEMOTE,
    MemberAction.REMOVE: ParticipantChange.REMOVE,
}


def carry_out(client: NewClient, people: People, command: GroupCommand) -> dict[str, Any]:
    """Do it, and return its result. Raises NeonizeError."""
    match command:
        case ListGroups():
            return _list(client, people)
        case SeeGroup(group=group):
            return _group(client.get_group_info(to_jid(group)), people)
        case CreateGroup():
            return _create(client, people, command)
        case ChangeMembers():
            return _change_members(client, people, command)
        case RenameGroup(group=group, subject=subject):
            client.set_group_name(to_jid(group), subject)
        case SeeInvite(group=group):
            return {"link": client.get_group_invite_link(to_jid(group))}
        case ResetInvite(group=group):
            return {"link": client.get_group_invite_link(to_jid(group), revoke=True)}
        case LeaveGroup(group=group):
            client.leave_group(to_jid(group))
    return {}


def _list(client: NewClient, people: People) -> dict[str, Any]:
    found = client.get_joined_groups()
    listed = [
        {
            "chat": _chat(group),
            "subject": group.GroupName.Name,
            "members": len(group.Participants),
            "admin": any(
                one.IsAdmin and people.is_own(one.JID, one.LID, one.PhoneNumber) for one in group.Participants
            ),
        }
        for group in found[:GROUPS_LISTED_MAX]
    ]
    return {"groups": listed, "total": len(found)}


def _group(group: Any, people: People) -> dict[str, Any]:
    owner = people.of_jids(group.OwnerJID, group.OwnerPN)
    return {
        "chat": _chat(group),
        "subject": group.GroupName.Name,
        "owner": owner if any(owner.values()) else None,
        "announcement": group.GroupAnnounce.IsAnnounce,
        "locked": group.GroupLocked.isLocked,
        "members": [{**_person(one, people), "admin": one.IsAdmin} for one in group.Participants if not one.Error],
    }


def _create(client: NewClient, people: People, command: CreateGroup) -> dict[str, Any]:
    made = client.create_group(command.subject, [people.jid(member) for member in command.members])
    asked = [people.named(member) for member in command.members]
    _, refused = _divided(MemberAction.ADD, asked, made.Participants, people)
    return {**_group(made, people), "refused": refused}


def _change_members(client: NewClient, people: People, command: ChangeMembers) -> dict[str, Any]:
    changed: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    failed = None
    for number, (action, members) in enumerate(command.changes):
        asked = [people.named(member) for member in members]
        if failed is None:
            try:
                answered = client.update_group_participants(
                    to_jid(command.group), [people.jid(member) for member in members], _CHANGES[action]
                )
            except NeonizeError as error:
                if number == 0:
                    raise
                failed = query_error_of(str(error)) or OUTCOME_UNKNOWN
                refused += [_outcome(action, one, failed) for one in asked]
            else:
                done, not_done = _divided(action, asked, answered, people)
                changed += done
                refused += not_done
        else:
            refused += [_outcome(action, one, "not_tried") for one in asked]
    return {"changed": changed, "refused": refused}


def _divided(
    action: MemberAction, asked: list[Person], answered: Any, people: People
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those with whom it was done, and those with whom it was not. Of whom WhatsApp says nothing, nothing was done."""
    told = [(_person(one, people), one.Error) for one in answered]
    done: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for one in asked:
        found = next(((person, error) for person, error in told if is_same(one, person)), None)
        if found is None:
            refused.append(_outcome(action, one, "not_named"))
        elif found[1]:
            refused.append(_outcome(action, _merged(one, found[0]), member_error(action, found[1])))
        else:
            done.append(_outcome(action, _merged(one, found[0]), None))
    return done, refused


def _outcome(action: MemberAction, person: Person, error: str | None) -> dict[str, Any]:
    return {**person, "action": action.value, "error": error}


def _merged(one: Person, other: Person) -> Person:
    return {"phone": one["phone"] or other["phone"], "lid": one["lid"] or other["lid"]}


def _person(member: Any, people: People) -> Person:
    return people.of_jids(member.JID, member.LID, member.PhoneNumber)


def _chat(group: Any) -> str:
    return f"{group.JID.User}@{GROUP_SERVER}"
