"""What linked devices ask and change about groups (the info queries of `w:g2`; whatsmeow group.go)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.accounts import Account, Companion
from simulator.groups import changes, notices
from simulator.groups.model import Group, GroupError
from simulator.jid import LID_SERVER, Jid
from simulator.nodes import Node, Value

if TYPE_CHECKING:
    from simulator.world import World

# What is found for an address that is nobody's.
_NOBODY = 404
# Three days, as the apps say of invitations to groups.
_INVITATION_SECONDS = 3 * 86_400


def answer_get(world: World, device: Companion, query: Node) -> list[Node]:
    """Raises `GroupError`."""
    asked = _first(query)
    if asked.tag == "participating":
        found = [notices.group_node(group) for group in world.groups.of(device.account)]
        return [Node("groups", {}, found)]
    if asked.tag == "invite" and "code" in asked.attrs:
        return [notices.group_node(world.groups.by_code(asked.text("code")))]
    group = world.groups.require(query.jid("to"))
    group.role(device.account)
    if asked.tag == "invite":
        group.require_admin(device.account)
        return [Node("invite", {"code": group.invite_code})]
    if asked.tag == "query":
        return [notices.group_node(group)]
    if asked.tag == "membership_approval_requests":
        return [Node("membership_approval_requests", {}, [])]
    return []


def answer_set(world: World, device: Companion, query: Node) -> list[Node]:
    """Raises `GroupError`."""
    asked, account = _first(query), device.account
    if asked.tag == "create":
        return _create(world, account, asked)
    if asked.tag == "leave":
        return _leave(world, account, asked)
    if asked.tag == "invite" and "code" in asked.attrs:
        group = changes.join(world, asked.text("code"), account)
        return [Node("group", {"jid": group.jid})]
    group = world.groups.require(query.jid("to"))
    handler = _SETTERS.get(asked.tag)
    if handler is None:
        raise GroupError("not_implemented", f"<{asked.tag}> is not served.", status=501)
    return handler(world, group, account, asked)


def _first(query: Node) -> Node:
    if not query.children():
        raise GroupError("bad_request", "The query is empty.", status=400)
    return query.children()[0]


def _people(world: World, asked: Node) -> list[tuple[Jid, Account | None]]:
    jids = [jid for one in asked.all("participant") if (jid := one.jid("jid")) is not None]
    return [(jid, world.account_at(jid.account())) for jid in jids]


def _create(world: World, account: Account, asked: Node) -> list[Node]:
    people = _people(world, asked)
    members = [member for _, member in people if member is not None]
    group = changes.create(world, account, asked.text("subject"), members, LID_SERVER)
    for flag in ("announcement", "locked"):
        if asked.child(flag):
            changes.set_flag(world, group, account, flag, True)
    made = notices.group_node(group)
    left_out = [
        _with_error(world, group, jid, member, changes.INVITE_ONLY if member else _NOBODY)
        for jid, member in people
        if member not in group.members
    ]
    return [Node("group", made.attrs, [*made.children(), *left_out])]


def _with_error(world: World, group: Group, jid: Jid, member: Account | None, error: int) -> Node:
    """Somebody whom the change does not take in; who wants to be invited is named with what an invitation needs."""
    node = notices.participant(group, member) if member else Node("participant", {"jid": jid})
    if not error:
        return node
    invited = error == changes.INVITE_ONLY
    attrs: dict[str, Value] = {"code": group.invite_code, "expiration": str(int(world.now() + _INVITATION_SECONDS))}
    return Node(
        "participant", {**node.attrs, "error": str(error)}, [Node("add_request", attrs)] if invited else node.content
    )


def _leave(world: World, account: Account, asked: Node) -> list[Node]:
    done = []
    for one in asked.all("group"):
        group = world.groups.require(one.jid("id"))
        changes.leave(world, group, account)
        done.append(Node("group", {"id": group.jid}))
    return [Node("leave", {}, done)]


def _members(world: World, group: Group, account: Account, asked: Node) -> list[Node]:
    people = _people(world, asked)
    known = [member for _, member in people if member is not None]
    errors = dict(changes.change_members(world, group, account, asked.tag, known))
    results = [_with_error(world, group, jid, member, errors[member] if member else _NOBODY) for jid, member in people]
    return [Node(asked.tag, {}, results)]


def _subject(world: World, group: Group, account: Account, asked: Node) -> list[Node]:
    changes.set_subject(world, group, account, asked.data().decode("utf-8", "replace"))
    return []


def _description(world: World, group: Group, account: Account, asked: Node) -> list[Node]:
    body = asked.child("body")
    text = body.data().decode("utf-8", "replace") if body else ""
    changes.set_description(world, group, account, text, asked.text("id") or world.message_id())
    return []


def _flag(world: World, group: Group, account: Account, asked: Node) -> list[Node]:
    flag = "announcement" if asked.tag.endswith("announcement") else "locked"
    changes.set_flag(world, group, account, flag, asked.tag == flag)
    return []


def _disappearing(world: World, group: Group, account: Account, asked: Node) -> list[Node]:
    seconds = asked.text("expiration", "0")
    if not seconds.isdigit():
        raise GroupError("bad_request", "The time is not a number of seconds.", status=400)
    changes.set_disappearing(world, group, account, int(seconds))
    return []


def _invite(world: World, group: Group, account: Account, asked: Node) -> list[Node]:
    changes.new_link(world, group, account)
    attrs: dict[str, Value] = {"code": group.invite_code}
    return [Node("invite", attrs)]


def _accepted(world: World, group: Group, account: Account, asked: Node) -> list[Node]:
    """A setting that is taken and has no effect here."""
    group.require_admin(account)
    return []


_SETTERS: dict[str, Callable[[World, Group, Account, Node], list[Node]]] = {
    **dict.fromkeys(changes.ACTIONS, _members),
    **dict.fromkeys(("announcement", "not_announcement", "locked", "unlocked"), _flag),
    **dict.fromkeys(("ephemeral", "not_ephemeral"), _disappearing),
    **dict.fromkeys(("member_add_mode", "membership_approval_mode"), _accepted),
    "subject": _subject,
    "description": _description,
    "invite": _invite,
}
