"""How a group message (or a status) reaches everyone: one ciphertext for all, and parts for single devices that carry its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.accounts import Device
from simulator.groups.model import Group
from simulator.hashes import devices_hash
from simulator.jid import GROUP_SERVER, LID_SERVER, STATUS_JID, Jid
from simulator.nodes import Node, Value
from simulator.stanzas import BAD_MESSAGE, NO_RECIPIENT, NOT_ALLOWED, SHARED_ATTRIBUTES, SHARED_CHILDREN, Refused

if TYPE_CHECKING:
    from simulator.routing import Router
    from simulator.world import World


def message(router: Router, world: World, sender: Device, node: Node, answer: Callable[[Node], None]) -> None:
    """Takes a message for many. Raises `Refused`."""
    to = node.jid("to")
    assert to is not None
    one = node.jid("participant")
    if one is not None:
        _to_one(router, world, sender, node, one, answer)
    elif to.server == GROUP_SERVER:
        _to_group(router, world, sender, node, _group(world, sender, to), answer)
    else:
        _to_status(router, world, sender, node, answer)


def _group(world: World, sender: Device, jid: Jid) -> Group:
    group = world.groups.get(jid)
    if group is None:
        raise Refused(NO_RECIPIENT, f"the group {jid} does not exist")
    if not group.may_write(sender.account):
        raise Refused(NOT_ALLOWED, f"{sender.account.number} may not write in {jid}")
    return group


def _to_group(
    router: Router, world: World, sender: Device, node: Node, group: Group, answer: Callable[[Node], None]
) -> None:
    devices = group.devices()
    parts, shared = _parts(world, node)
    ack = router.ack(node)
    expected = devices_hash(device.jid(group.addressing) for device in devices)
    told = node.text("phash")
    if told and told != expected:
        # The sender worked with an old list of members or devices; it asks for a new one (whatsmeow send.go).
        ack.attrs["phash"] = expected
    recipients = [device for device in devices if device is not sender]
    _accept(world, sender, node, recipients)
    answer(ack)
    for device in recipients:
        _deliver(world, sender, device, node, parts.get(device), shared, group.addressing)


def _to_status(router: Router, world: World, sender: Device, node: Node, answer: Callable[[Node], None]) -> None:
    """A status reaches the devices that its sender chose parts for."""
    if node.jid("to") != STATUS_JID:
        raise Refused(NO_RECIPIENT, "broadcast lists are not served")
    parts, shared = _parts(world, node)
    recipients = [device for device in parts if device is not sender]
    _accept(world, sender, node, recipients)
    answer(router.ack(node))
    for device in recipients:
        _deliver(world, sender, device, node, parts[device], shared, LID_SERVER)


def _to_one(router: Router, world: World, sender: Device, node: Node, to: Jid, answer: Callable[[Node], None]) -> None:
    """An answer to a retry receipt."""
    device, sealed = world.directory.device(to), node.child("enc")
    if device is None or sealed is None:
        raise Refused(NO_RECIPIENT, "its device or its encrypted part is missing")
    group = world.groups.get(node.jid("to"))
    world.log.add(
        "retried", id=node.text("id"), from_=sender.account.number, from_device=sender.number, to=device.account.number,
        device=device.number,
    )  # fmt: skip
    answer(router.ack(node))
    _deliver(world, sender, device, node, sealed, None, group.addressing if group else LID_SERVER)


def _parts(world: World, node: Node) -> tuple[dict[Device, Node], Node | None]:
    """Each device's own part, and the one for all. Parts for devices that are gone are left out."""
    found: dict[Device, Node] = {}
    participants = node.child("participants")
    for part in participants.children() if participants else ():
        jid, sealed = part.jid("jid"), part.child("enc")
        if jid is None:
            raise Refused(BAD_MESSAGE, "one of its parts is for nobody")
        device = world.directory.device(jid)
        if device is not None and sealed is not None:
            found[device] = sealed
    shared = next((one for one in node.all("enc") if one.text("type") == "skmsg"), None)
    if shared is None and not found:
        raise Refused(BAD_MESSAGE, "it holds nothing that is encrypted")
    return found, shared


def _accept(world: World, sender: Device, node: Node, recipients: list[Device]) -> None:
    world.log.add(
        "accepted", id=node.text("id"), from_=sender.account.number, from_device=sender.number, to=node.text("to"),
        devices=len(recipients), type=node.text("type"),
    )  # fmt: skip


def _deliver(
    world: World, sender: Device, device: Device, node: Node, part: Node | None, shared: Node | None, addressing: str
) -> None:
    lid = addressing == LID_SERVER
    attrs: dict[str, Value] = {
        "from": node.attrs["to"], "participant": sender.jid(addressing), "id": node.attrs["id"], "t": world.timestamp(),
        "type": node.text("type", "text"), "addressing_mode": "lid" if lid else "pn",
        "participant_pn" if lid else "participant_lid": sender.account.pn_jid if lid else sender.account.lid_jid,
    }  # fmt: skip
    if sender.account.name:
        attrs["notify"] = sender.account.name
    attrs.update({key: node.attrs[key] for key in SHARED_ATTRIBUTES if key in node.attrs})
    content = [sealed for sealed in (part, shared) if sealed is not None]
    if not content:
        return
    identity = node.child("device-identity") if part is not None and part.text("type") == "pkmsg" else None
    if identity is not None:
        content.append(identity)
    content.extend(child for child in node.children() if child.tag in SHARED_CHILDREN)
    device.deliver(Node("message", attrs, content), sender)
