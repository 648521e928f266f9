"""Groups as nodes: their description for clients, and the notifications about their changes (whatsmeow group.go)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from simulator.accounts import Account
from simulator.groups.model import Group, Role
from simulator.jid import LID_SERVER, Jid
from simulator.nodes import Node, Value

if TYPE_CHECKING:
    from simulator.world import World


def address(group: Group, account: Account) -> Jid:
    """How members of a group know each other."""
    return account.lid_jid if group.addressing == LID_SERVER else account.pn_jid


def participant(group: Group, account: Account) -> Node:
    attrs: dict[str, Value] = {"jid": address(group, account)}
    if group.addressing == LID_SERVER:
        attrs["phone_number"] = account.pn_jid
    else:
        attrs["lid"] = account.lid_jid
    role = group.members.get(account, Role.MEMBER)
    if role is not Role.MEMBER:
        attrs["type"] = role.value
    return Node("participant", attrs)


def group_node(group: Group) -> Node:
    """A group as an answer to a query and in the notice about its creation (whatsmeow `parseGroupNode`)."""
    attrs: dict[str, Value] = {
        "id": group.jid.user, "creator": address(group, group.owner), "creation": str(int(group.created_at)),
        "subject": group.subject, "s_t": str(int(group.subject_at)), "s_o": address(group, group.subject_by),
        "addressing_mode": "lid" if group.addressing == LID_SERVER else "pn", "size": str(len(group.members)),
        "p_v_id": str(group.version), "a_v_id": str(group.version),
    }  # fmt: skip
    if group.addressing == LID_SERVER:
        attrs["creator_pn"] = group.owner.pn_jid
        attrs["s_o_pn"] = group.subject_by.pn_jid
    parts = [participant(group, member) for member in group.members]
    if group.description:
        parts.append(description(group))
    parts += [Node(flag) for flag in ("announcement", "locked") if getattr(group, flag)]
    if group.disappearing_seconds:
        parts.append(Node("ephemeral", {"expiration": str(group.disappearing_seconds)}))
    parts.append(Node("member_add_mode", {}, b"admin_add"))
    return Node("group", attrs, parts)


# What may have changed


def subject(group: Group) -> Node:
    attrs: dict[str, Value] = {"subject": group.subject, "s_t": str(int(group.subject_at))}
    return Node("subject", {**attrs, "s_o": address(group, group.subject_by)})


def description(group: Group) -> Node:
    attrs: dict[str, Value] = {"id": group.description_id, "t": str(int(group.subject_at))}
    inside = Node("body", {}, group.description.encode()) if group.description else Node("delete")
    return Node("description", {**attrs, "participant": address(group, group.subject_by)}, [inside])


def flag(group: Group, name: str, on: bool) -> Node:
    if name == "announcement":
        return Node("announcement" if on else "not_announcement", {"v_id": str(group.version)})
    return Node("locked" if on else "unlocked")


def disappearing(seconds: int) -> Node:
    return Node("ephemeral", {"expiration": str(seconds)}) if seconds else Node("not_ephemeral")


def invite_link(group: Group) -> Node:
    return Node("invite", {"code": group.invite_code})


# Telling


def created(world: World, group: Group, by: Account) -> None:
    change = Node("create", {"type": "new", "key": world.message_id()}, [group_node(group)])
    _tell(world, group, by, change, group.members)


def members_changed(
    world: World, group: Group, by: Account, action: str, members: list[Account], reason: str = ""
) -> None:
    attrs: dict[str, Value] = {"prev_v_id": str(group.version - 1), "v_id": str(group.version)}
    if reason:
        attrs["reason"] = reason
    change = Node(action, attrs, [participant(group, member) for member in members])
    # Whoever was added learns the whole group from a notice of its own; whoever was removed learns just that.
    if action == "add":
        joined = Node(
            "create", {"type": "new", "key": world.message_id(), "reason": reason or "add"}, [group_node(group)]
        )
        _tell(world, group, by, joined, members)
    _tell(world, group, by, change, dict.fromkeys([*group.members, *members]))


def changed(world: World, group: Group, by: Account, change: Node) -> None:
    _tell(world, group, by, change, group.members)


def _tell(world: World, group: Group, by: Account, change: Node, to: Iterable[Account]) -> None:
    notice_id = world.message_id()
    attrs: dict[str, Value] = {
        "from": group.jid,
        "type": "w:gp2",
        "id": notice_id,
        "t": world.timestamp(),
        "participant": address(group, by),
        "addressing_mode": "lid" if group.addressing == LID_SERVER else "pn",
    }
    attrs["participant_pn" if group.addressing == LID_SERVER else "participant_lid"] = (
        by.pn_jid if group.addressing == LID_SERVER else by.lid_jid
    )
    if by.name:
        attrs["notify"] = by.name
    for account in to:
        for device in account.companions.values():
            device.deliver(Node("notification", attrs, [change]), None)
