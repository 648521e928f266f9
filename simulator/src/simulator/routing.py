"""What happens to a message or receipt that a device sends: checked as a whole, acknowledged, copied to each device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.accounts import Account, Device
from simulator.groups import fanout
from simulator.hashes import devices_hash
from simulator.jid import BROADCAST_SERVER, GROUP_SERVER, LID_SERVER, PN_SERVER, Jid
from simulator.nodes import Node, Value
from simulator.stanzas import (
    BAD_MESSAGE,
    NO_RECIPIENT,
    SHARED_ATTRIBUTES,
    SHARED_CHILDREN,
    Refused,
    is_sealed,
    receipt_ids,
)

if TYPE_CHECKING:
    from simulator.world import World

# Receipts by which a device acknowledges a decrypted message (whatsmeow types/presence.go `ReceiptType`). The others speak
# of a message that was acknowledged long ago.
ACKNOWLEDGING = frozenset({"", "inactive", "sender", "peer_msg", "hist_sync"})
# Receipts that the sender of a message gets to see.
PASSED_ON = frozenset({"", "inactive", "read", "played"})
# Receipts that the other devices of whoever read a message get to see: it is no longer new there either.
_SELF_SEEN = frozenset({"read", "read-self", "played", "played-self"})
# Takes the ack to whoever sent the message.
Answer = Callable[[Node], None]


class Router:
    """Routes stanzas between devices; phones and linked devices are treated alike."""

    def __init__(self, world: World) -> None:
        self._world = world

    # Messages

    def message(self, sender: Device, node: Node, answer: Answer) -> None:
        """Takes a message stanza. `answer` gets the ack (with `error` if it was refused) before anyone gets the message."""
        try:
            to = node.jid("to")
            if to is None or not node.text("id"):
                raise Refused(BAD_MESSAGE, "it has no id or no recipient")
            if to.server in (GROUP_SERVER, BROADCAST_SERVER):
                self._keep_to_rates(sender, None, node)
                fanout.message(self, self._world, sender, node, answer)
                return
            account = self._world.account_at(to)
            if account is None:
                raise Refused(NO_RECIPIENT, f"{to} does not exist")
            if node.child("enc"):
                self._to_one_device(sender, node, account, to, answer)
            else:
                self._keep_to_rates(sender, account, node)
                self._to_all_devices(sender, node, account, to, answer)
        except Refused as refused:
            answer(self._refusal(sender, node, refused))

    def _keep_to_rates(self, sender: Device, account: Account | None, node: Node) -> None:
        """Refuses what is more than the rate policy bears of a number's linked devices; phones write as they like."""
        rates, number, to = self._world.rates, sender.account.number, account.number if account else None
        if rates is None:
            return
        if sender.number == 0:
            if to is not None:
                rates.wrote(number, to)
        elif (error := rates.send(number, to, node.text("id"))) is not None:
            raise Refused(error, "more than the rate policy bears")

    def _to_one_device(self, sender: Device, node: Node, account: Account, to: Jid, answer: Answer) -> None:
        """A message for one device: an answer to a retry receipt, or one of a device's messages to its own phone."""
        device, sealed = account.device(to.device), node.child("enc")
        if device is None or sealed is None or not is_sealed(sealed):
            raise Refused(BAD_MESSAGE, "its device or its encrypted part is missing")
        kind = "peer" if node.text("category") == "peer" else "retried"
        self._world.log.add(
            kind,
            id=node.text("id"),
            from_=sender.account.number,
            from_device=sender.number,
            to=account.number,
            device=device.number,
        )
        answer(self.ack(node))
        self._deliver(sender, device, node, sealed, to.server, node.jid("recipient"))

    def _to_all_devices(self, sender: Device, node: Node, account: Account, to: Jid, answer: Answer) -> None:
        parts = self._parts(sender, node, account)
        self._world.log.add(
            "accepted", id=node.text("id"), from_=sender.account.number, from_device=sender.number, to=account.number,
            devices=len(parts), type=node.text("type"),
        )  # fmt: skip
        ack = self.ack(node)
        expected = {device for member in (account, sender.account) for device in member.devices()} - {sender}
        if expected != {device for device, _ in parts}:
            # The sender worked with an old device list; the right hash makes it ask for a new one (whatsmeow send.go).
            everyone = {sender, *expected}
            ack.attrs["phash"] = devices_hash(device.jid(to.server) for device in everyone)
        answer(ack)
        for device, sealed in parts:
            own_copy = device.account is sender.account
            recipient = (account.pn_jid if to.server == PN_SERVER else account.lid_jid) if own_copy else None
            self._deliver(sender, device, node, sealed, to.server, recipient)

    def _parts(self, sender: Device, node: Node, account: Account) -> list[tuple[Device, Node]]:
        """Each device's encrypted part; one malformed or foreign part refuses the whole. Unlinked devices are left out."""
        participants = node.child("participants")
        if participants is None:
            raise Refused(BAD_MESSAGE, "it has no participants")
        parts: list[tuple[Device, Node]] = []
        for part in participants.children():
            jid, sealed = part.jid("jid"), part.child("enc")
            member = self._world.directory.by_jid(jid) if jid else None
            if jid is None or sealed is None or not is_sealed(sealed) or member not in (account, sender.account):
                raise Refused(BAD_MESSAGE, f"its part for {jid} is malformed or for someone else")
            device = member.device(jid.device)
            if device is sender:
                raise Refused(BAD_MESSAGE, "it holds a part for its own sender")
            if device is not None:
                parts.append((device, sealed))
        return parts

    def _deliver(
        self, sender: Device, device: Device, node: Node, sealed: Node, server: str, recipient: Jid | None
    ) -> None:
        attrs: dict[str, Value] = {
            "from": sender.jid(server),
            "id": node.attrs["id"],
            "t": self._world.timestamp(),
            "type": node.text("type", "text"),
        }
        if sender.account.name:
            attrs["notify"] = sender.account.name
        if recipient is not None:
            attrs["recipient"] = recipient
            owner = self._world.directory.by_jid(recipient)
            if owner is not None and server != PN_SERVER:
                attrs["peer_recipient_pn"] = owner.pn_jid
        elif server == PN_SERVER:
            attrs["sender_lid"] = sender.account.lid_jid
        else:
            attrs["sender_pn"] = sender.account.pn_jid
        for key in SHARED_ATTRIBUTES:
            if key in node.attrs:
                attrs[key] = node.attrs[key]
        content = [sealed]
        identity = node.child("device-identity") if sealed.attrs.get("type") == "pkmsg" else None
        if identity:
            content.append(identity)
        content.extend(child for child in node.children() if child.tag in SHARED_CHILDREN)
        device.deliver(Node("message", attrs, content), sender)

    def ack(self, node: Node) -> Node:
        attrs: dict[str, Value] = {"class": "message", "id": node.text("id"), "t": self._world.timestamp()}
        if "to" in node.attrs:
            attrs["from"] = node.attrs["to"]
        return Node("ack", attrs)

    def refuse(self, sender: Device, node: Node, error: int, why: str) -> Node:
        """The ack of a message that is not taken for a reason of the service's own."""
        return self._refusal(sender, node, Refused(error, why))

    def _refusal(self, sender: Device, node: Node, refused: Refused) -> Node:
        self._world.log.add(
            "refused", id=node.text("id"), from_=sender.account.number, from_device=sender.number, to=node.text("to"),
            error=refused.error, why=refused.why,
        )  # fmt: skip
        ack = self.ack(node)
        ack.attrs["error"] = str(refused.error)
        return ack

    # Receipts

    def receipt(self, sender: Device, node: Node) -> None:
        """Passes a receipt on: retries to the one device that can answer, the others to all devices of the message's author."""
        to, kind = node.jid("to"), node.text("type")
        author = node.jid("participant") if to and to.server in (GROUP_SERVER, BROADCAST_SERVER) else to
        account = self._world.directory.by_jid(author) if author else None
        if to is None or author is None or account is None or not node.text("id"):
            return
        ids = receipt_ids(node)
        self._world.log.add(
            "receipt", id=ids[0], ids=ids if len(ids) > 1 else None, type=kind or "delivered", from_=sender.account.number,
            from_device=sender.number, to=account.number,
        )  # fmt: skip
        if kind in PASSED_ON and account is not sender.account:
            for device in account.devices():
                self._pass_on(sender, device, node, to)
        elif kind in ("retry", "sender"):
            one = account.device(author.device)
            if one is not None and one is not sender:
                self._pass_on(sender, one, node, to)
        if kind in _SELF_SEEN:
            for own in sender.account.devices():
                if own is not sender:
                    self._pass_on(sender, own, node, to)

    def _pass_on(self, sender: Device, device: Device, node: Node, to: Jid) -> None:
        attrs: dict[str, Value] = {"from": sender.jid(to.server), "id": node.attrs["id"], "t": self._world.timestamp()}
        for key in ("type", "recipient"):
            if key in node.attrs:
                attrs[key] = node.attrs[key]
        own = device.account is sender.account
        if to.server in (GROUP_SERVER, BROADCAST_SERVER):
            group = self._world.groups.get(to)
            member = sender.jid(group.addressing if group else LID_SERVER)
            attrs["from"], attrs["participant"] = to, member
        elif own and node.text("type") in _SELF_SEEN:
            attrs["recipient"] = to.account()
        device.deliver(Node("receipt", attrs, node.content), sender)
