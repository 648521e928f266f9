"""What a phone sends: encrypted for each device or, in groups, with a sender key; and again for devices that ask for it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator import content, retries
from simulator.accounts import Account, Device
from simulator.groups.model import Group
from simulator.hashes import devices_hash
from simulator.jid import LID_SERVER, PN_SERVER, STATUS_JID, Jid
from simulator.limits import SENT_MESSAGES_MAX
from simulator.messages.writing import Draft
from simulator.nodes import Node, Value
from simulator.signal.ratchet import UndecryptableError
from simulator.signal.sender_keys import OwnKey

if TYPE_CHECKING:
    from simulator.phone import Phone
    from simulator.world import World


class Status:
    """`status@broadcast`, for the people that a status is meant for."""

    def __init__(self, readers: list[Account]) -> None:
        self.readers = readers


Chat = Account | Group | Status


def address_of(chat: Chat, server: str = LID_SERVER) -> Jid:
    if isinstance(chat, Account):
        return chat.pn_jid if server == PN_SERVER else chat.lid_jid
    return chat.jid if isinstance(chat, Group) else STATUS_JID


@dataclass(slots=True)
class SentMessage:
    """What a phone needs to send a message again."""

    chat: Chat
    draft: Draft
    server: str


def _ignore(ack: Node) -> None:
    """A phone's messages come from inside the server, so nobody waits for the ack."""


class Outbox:
    """The sending half of one phone."""

    def __init__(self, world: World, phone: Phone) -> None:
        self._world = world
        self._phone = phone
        self._sent: OrderedDict[str, SentMessage] = OrderedDict()

    # The first time

    def send(self, chat: Chat, draft: Draft, server: str = LID_SERVER) -> str:
        """Encrypts for everyone in a chat and for this number's linked devices; gives the message's id.

        `server` is the kind of addresses in a chat of two: hidden identities, or phone numbers as older clients use them.
        """
        message_id = self._world.message_id()
        sent = self._sent[message_id] = SentMessage(chat, draft, server)
        if len(self._sent) > SENT_MESSAGES_MAX:
            self._sent.popitem(last=False)
        to = address_of(chat, server)
        self._world.log.add(
            "sent", id=message_id, from_=self._phone.account.number, to=chat.number if isinstance(chat, Account) else str(to),
            tag=content.secret_of(draft.message) or None,
        )  # fmt: skip
        attrs: dict[str, Value] = {"id": message_id, "to": to, "type": draft.type}
        if draft.edit:
            attrs["edit"] = draft.edit
        parts = (
            self._parts_for_two(chat, sent, attrs)
            if isinstance(chat, Account)
            else self._parts_for_many(chat, sent, attrs)
        )
        if draft.polltype:
            parts.append(Node("meta", {"polltype": draft.polltype}))
        self._world.router.message(self._phone, Node("message", attrs, parts), _ignore)
        return message_id

    def _parts_for_two(self, chat: Account, sent: SentMessage, attrs: dict[str, Value]) -> list[Node]:
        if sent.server == LID_SERVER:
            attrs["peer_recipient_pn"] = chat.pn_jid
        plain = sent.draft.message
        own_copy = content.device_sent(plain, str(address_of(chat, sent.server)))
        parts = [self._part(device, plain, sent) for device in chat.devices()]
        parts += [self._part(device, own_copy, sent) for device in self._phone.account.companions.values()]
        return [Node("participants", {}, [part for part in parts if part])]

    def _parts_for_many(self, chat: Group | Status, sent: SentMessage, attrs: dict[str, Value]) -> list[Node]:
        """The sender key for whoever does not have it yet, and the message for all."""
        sent.server = chat.addressing if isinstance(chat, Group) else LID_SERVER
        devices = self._devices(chat)
        key = self.sender_key(chat)
        name = str(address_of(chat))
        keys = content.with_sender_key(name, key.distribution())
        # A status is delivered to those that it has a part for, so everyone gets one each time.
        new = [device for device in devices if isinstance(chat, Status) or device not in key.holders]
        parts = [part for device in new if (part := self._part(device, keys, sent))]
        key.holders.update(new)
        sealed = key.encrypt(content.pad(sent.draft.message))
        if isinstance(chat, Group):
            attrs["phash"] = devices_hash(device.jid(sent.server) for device in chat.devices())
            attrs["addressing_mode"] = "lid" if sent.server == LID_SERVER else "pn"
        shared = Node("enc", {"v": "2", "type": "skmsg", **_marks(sent.draft)}, sealed)
        return [Node("participants", {}, parts), shared] if parts else [shared]

    def _devices(self, chat: Group | Status) -> list[Device]:
        if isinstance(chat, Group):
            return [device for device in chat.devices() if device is not self._phone]
        readers = dict.fromkeys([*chat.readers, self._phone.account])
        return [device for reader in readers for device in reader.devices() if device is not self._phone]

    def sender_key(self, chat: Group | Status) -> OwnKey:
        epoch = chat.removals if isinstance(chat, Group) else 0
        return self._phone.sender_keys.own(str(address_of(chat)), epoch)

    def new_sender_key(self, chat: Group) -> OwnKey:
        self._phone.sender_keys.forget_own(str(chat.jid))
        return self.sender_key(chat)

    def _part(self, device: Device, plain: bytes, sent: SentMessage) -> Node | None:
        if not self.ensure_session(device):
            return None
        sealed = self.seal(device, plain)
        sealed.attrs.update(_marks(sent.draft))
        return Node("to", {"jid": device.jid(sent.server)}, [sealed])

    # One device

    def ensure_session(self, device: Device) -> bool:
        return self._phone.store.has_session(device.lid) or self.new_session(device, None)

    def new_session(self, device: Device, keys: retries.Asked | None) -> bool:
        """Begins anew with a device, with the keys that it sent or else those that the server has."""
        try:
            self._phone.store.start_session(device.lid, (keys.bundle if keys else None) or device.take_bundle())
        except UndecryptableError as problem:
            self._world.log.add("unencryptable", to=device.account.number, device=device.number, why=str(problem))
            return False
        return True

    def seal(self, device: Device, plain: bytes) -> Node:
        """A message for one device with which there is a session; sessions go by hidden identity, as in whatsmeow."""
        sealed = self._phone.store.encrypt(device.lid, content.pad(plain))
        return Node("enc", {"v": "2", "type": sealed.kind}, sealed.data)

    def tell_own_device(self, device: Device, draft: Draft) -> str:
        """A message that only one of this number's linked devices gets (`category=peer`)."""
        message_id = self._world.message_id()
        if self.ensure_session(device):
            attrs: dict[str, Value] = {"id": message_id, "to": device.pn, "type": "text", "category": "peer"}
            node = Node("message", attrs, [self.seal(device, draft.message), Node("meta", {"appdata": "default"})])
            self._world.router.message(self._phone, node, _ignore)
        return message_id

    # Again

    def send_again(self, node: Node, device: Device) -> None:
        """Answers a retry receipt: a fresh session with the keys that came along or that the server has, then the message."""
        asked = retries.parse(node)
        sent = self._sent.get(asked.message_id)
        if sent is None:
            self._world.log.add(
                "retry_unanswered", id=asked.message_id, from_=device.account.number, device=device.number
            )
            return
        if not self.new_session(device, asked):
            return
        attrs: dict[str, Value] = {"id": asked.message_id, "type": sent.draft.type}
        plain = self._plain_again(sent, device, attrs)
        if sent.draft.edit:
            attrs["edit"] = sent.draft.edit
        sealed = self.seal(device, plain)
        sealed.attrs.update(_marks(sent.draft), count=str(asked.attempt))
        self._world.router.message(self._phone, Node("message", attrs, [sealed]), _ignore)

    def _plain_again(self, sent: SentMessage, device: Device, attrs: dict[str, Value]) -> bytes:
        chat = sent.chat
        if isinstance(chat, Account):
            attrs.update(to=device.jid(sent.server), device_fanout="false")
            if device.account is not self._phone.account:
                return sent.draft.message
            address = attrs["recipient"] = address_of(chat, sent.server)
            return content.device_sent(sent.draft.message, str(address))
        key = self.sender_key(chat)
        key.holders.add(device)
        attrs.update(to=address_of(chat), participant=device.jid(sent.server))
        return content.with_sender_key(str(address_of(chat)), key.distribution(), sent.draft.message)


def _marks(draft: Draft) -> dict[str, Value]:
    """What the encrypted part says about what is in it."""
    marks: dict[str, Value] = {}
    if draft.mediatype:
        marks["mediatype"] = draft.mediatype
    if draft.hidden:
        marks["decrypt-fail"] = "hide"
    return marks
