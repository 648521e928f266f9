"""Calls as linked devices hear of them: that somebody rings. Nobody can answer here (whatsmeow call.go)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.accounts import Account
from simulator.groups.model import Group
from simulator.nodes import Node, Value

if TYPE_CHECKING:
    from simulator.world import World


def ring(world: World, caller: Account, to: Account | Group, *, video: bool) -> str:
    """A call for one person is offered, one for a group announced to its members. Returns its id."""
    call_id = world.message_id()
    attrs: dict[str, Value] = {"call-id": call_id, "call-creator": caller.lid_jid, "caller_pn": caller.pn_jid}
    media = "video" if video else "audio"
    if isinstance(to, Group):
        told = Node("offer_notice", {**attrs, "media": media, "type": "group", "group-jid": to.jid})
        called = [member for member in to.members if member is not caller]
    else:
        told = Node("offer", attrs, [Node(kind) for kind in dict.fromkeys(("audio", media))])
        called = [to]
    world.log.add("call", id=call_id, by=caller.number, to=str(to.jid) if isinstance(to, Group) else to.number)
    stanza: dict[str, Value] = {
        "from": caller.lid_jid, "id": world.message_id(), "t": world.timestamp(), "platform": "iphone", "version": "2.26.1",
    }  # fmt: skip
    for account in called:
        for device in account.companions.values():
            device.deliver(Node("call", stanza, [told]), None)
    return call_id
