"""Every change of a group, whoever asks for it: checked, made, logged, and told to the members."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from simulator.accounts import Account
from simulator.groups import notices
from simulator.groups.model import Group, GroupError, Role, check_size, check_subject
from simulator.jid import LID_SERVER
from simulator.limits import GROUP_DESCRIPTION_CHARACTERS_MAX

if TYPE_CHECKING:
    from simulator.world import World

# Why a member was not added or changed (the `error` of a participant): it is in already; it is not in, or does not exist; it
# wants to be invited.
ALREADY_IN, NOT_THERE, INVITE_ONLY = 409, 404, 403
ACTIONS = ("add", "remove", "promote", "demote")


def create(world: World, owner: Account, subject: str, members: list[Account], addressing: str = LID_SERVER) -> Group:
    """Those who want to be invited are left out."""
    willing = [member for member in members if not world.profiles.is_invite_only(member)]
    group = world.groups.create(owner, subject, willing, world.now(), addressing)
    _log(world, group, owner, "create")
    notices.created(world, group, owner)
    return group


def change_members(
    world: World, group: Group, by: Account, action: str, members: Iterable[Account]
) -> list[tuple[Account, int]]:
    """Adds, removes, promotes or demotes; each member with an error code, or 0."""
    group.require_admin(by)
    wanted = list(dict.fromkeys(members))
    results = [(member, _change_member(world, group, action, member)) for member in wanted]
    done = [member for member, error in results if not error]
    if done:
        group.version += 1
        _log(world, group, by, action, done)
        notices.members_changed(world, group, by, action, done)
    return results


def _change_member(world: World, group: Group, action: str, member: Account) -> int:
    role = group.members.get(member)
    if action == "add":
        if role is not None:
            return ALREADY_IN
        if world.profiles.is_invite_only(member):
            return INVITE_ONLY
        check_size(len(group.members) + 1)
        group.members[member] = Role.MEMBER
        return 0
    if role is None:
        return NOT_THERE
    if role is Role.OWNER:
        return ALREADY_IN
    if action == "remove":
        del group.members[member]
        group.removals += 1
    else:
        group.members[member] = Role.ADMIN if action == "promote" else Role.MEMBER
    return 0


def leave(world: World, group: Group, member: Account) -> None:
    group.role(member)
    del group.members[member]
    group.removals += 1
    group.version += 1
    _log(world, group, member, "leave")
    notices.members_changed(world, group, member, "remove", [member])


def join(world: World, code: str, member: Account) -> Group:
    """By an invite link."""
    group = world.groups.by_code(code)
    if member in group.members:
        raise GroupError("already_in", f"{member.number} is in the group already.", status=409)
    check_size(len(group.members) + 1)
    group.members[member] = Role.MEMBER
    group.version += 1
    _log(world, group, member, "join")
    notices.members_changed(world, group, member, "add", [member], reason="invite")
    return group


def set_subject(world: World, group: Group, by: Account, subject: str) -> None:
    check_subject(subject)
    group.may_change_settings(by)
    group.subject, group.subject_by, group.subject_at = subject, by, world.now()
    _log(world, group, by, "subject")
    notices.changed(world, group, by, notices.subject(group))


def set_description(world: World, group: Group, by: Account, description: str, description_id: str) -> None:
    if len(description) > GROUP_DESCRIPTION_CHARACTERS_MAX:
        raise GroupError(
            "bad_description",
            f"A description has at most {GROUP_DESCRIPTION_CHARACTERS_MAX} characters.",
            query_code=406,
        )
    group.may_change_settings(by)
    group.description, group.description_id = description, description_id
    _log(world, group, by, "description")
    notices.changed(world, group, by, notices.description(group))


def set_flag(world: World, group: Group, by: Account, flag: str, on: bool) -> None:
    """`announcement` (only admins write) or `locked` (only admins change settings)."""
    group.require_admin(by)
    setattr(group, flag, on)
    _log(world, group, by, flag)
    notices.changed(world, group, by, notices.flag(group, flag, on))


def set_disappearing(world: World, group: Group, by: Account, seconds: int) -> None:
    group.may_change_settings(by)
    group.disappearing_seconds = seconds
    _log(world, group, by, "disappearing")
    notices.changed(world, group, by, notices.disappearing(seconds))


def new_link(world: World, group: Group, by: Account) -> str:
    group.require_admin(by)
    world.groups.new_code(group)
    _log(world, group, by, "link")
    notices.changed(world, group, by, notices.invite_link(group))
    return group.link()


def _log(world: World, group: Group, by: Account, change: str, members: Iterable[Account] = ()) -> None:
    numbers = [member.number for member in members]
    world.log.add("group", group=str(group.jid), by=by.number, change=change, members=numbers or None)
