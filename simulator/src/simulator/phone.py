"""A phone: the primary device of a number, with real keys and sessions. What it shows is what it could decrypt."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from simulator import content, retries
from simulator.accounts import Account, Device
from simulator.acts import Acts, fetch, own_record
from simulator.appstate.settings import Settings
from simulator.chats import WAITING_TEXT, Chats, Received
from simulator.errors import ProtocolError, SimulatorError
from simulator.groups.model import Group, Role
from simulator.jid import BROADCAST_SERVER, GROUP_SERVER, LID_SERVER, try_parse_jid
from simulator.limits import INBOX_MESSAGES_MAX
from simulator.media.sealing import MediaError
from simulator.messages.reading import SILENT, Content, read
from simulator.messages.writing import Draft
from simulator.nodes import Node, Value
from simulator.primary import Primary
from simulator.sending import Chat, Outbox
from simulator.signal.ratchet import DuplicateError, UndecryptableError
from simulator.signal.sender_keys import SenderKeys
from simulator.signal.store import SignalStore
from simulator.signal.x3dh import Bundle
from simulator.stanzas import receipt_ids

if TYPE_CHECKING:
    from simulator.world import World

# whatsmeow types/presence.go `ReceiptType`, by the names that people use here.
RECEIPT_TYPES = {
    "delivered": "", "inactive": "inactive", "read": "read", "read-self": "read-self", "played": "played",
    "played-self": "played-self",
}  # fmt: skip
_MANY = (GROUP_SERVER, BROADCAST_SERVER)
# What a phone may be made to lose, so that the other side has to help.
FORGETTABLE = ("sessions", "sender_keys", "handed_out")


class Phone(Device):
    """One phone. It is always on; every stanza is handled at once. A number that is only looked up stays cheap."""

    def __init__(self, world: World, account: Account) -> None:
        super().__init__(account, 0)
        self._world = world
        # Receipts that came for this number's messages: (message id, type, from whom).
        self.receipts: list[tuple[str, str, str]] = []
        self.duplicates_dropped = 0

    @cached_property
    def store(self) -> SignalStore:
        return SignalStore()

    @cached_property
    def sender_keys(self) -> SenderKeys:
        return SenderKeys()

    @cached_property
    def chats(self) -> Chats:
        return Chats(self.account.number, self._addresses_of, self.may_delete)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self._world, self)

    @cached_property
    def settings(self) -> Settings:
        return Settings(self._world, self)

    @property
    def acts(self) -> Acts:
        """What a person does with it."""
        return Acts(self._world, self)

    @property
    def primary(self) -> Primary:
        """What it does for its linked devices."""
        return Primary(self._world, self)

    @property
    def inbox(self) -> list[Received]:
        return self.chats.inbox

    @property
    def sent_copies(self) -> list[Received]:
        """Copies of what other devices of this number sent."""
        return self.chats.sent_copies

    def take_bundle(self) -> Bundle:
        return self.store.take_bundle()

    def _addresses_of(self, number: str) -> tuple[str, ...]:
        account = self._world.directory.by_number(number)
        return (str(account.lid_jid), str(account.pn_jid)) if account else ()

    def may_delete(self, number: str, chat: str) -> bool:
        """Whether someone may delete what others wrote: admins of a group may."""
        group = self._world.groups.get(try_parse_jid(chat))
        account = self._world.directory.by_number(number)
        return group is not None and account is not None and group.members.get(account, Role.MEMBER) is not Role.MEMBER

    # Receiving

    def deliver(self, node: Node, sender: Device | None) -> None:
        if sender is None:
            return
        if node.tag == "message":
            self._receive(node, sender)
        elif node.tag == "receipt":
            self._receive_receipt(node, sender)

    def _receive(self, node: Node, sender: Device) -> None:
        if node.child("enc") is None:
            return
        self._log("delivered", node)
        known = self.chats.seen(sender.account.number, node.text("id"))
        found, problem = self._open(node, sender)
        if found is None:
            if known is not None and not known.waiting:
                self._drop(node, sender)
            elif isinstance(problem, DuplicateError) and not self._world.policy.ask_when_key_was_used:
                self._lose(node, sender)
            else:
                self._wait_for(node, sender, known, str(problem))
        elif found.kind in SILENT:
            self._confirm(node, sender)
            if node.text("category") == "peer" and sender.account is self.account:
                self.primary.asked(sender, node.text("id"), found)
        elif known is not None and not known.waiting:
            self._drop(node, sender)
        else:
            self._show(node, sender, known, found)

    def _open(self, node: Node, sender: Device) -> tuple[Content | None, Exception | None]:
        """What is in a message: in a group, one part may bring the sender's key and another one what is to be shown."""
        found: Content | None = None
        problem: Exception | None = None
        for sealed in node.all("enc"):
            try:
                one = self._open_part(node, sender, sealed)
            except (UndecryptableError, ProtocolError) as failure:
                problem = failure
                continue
            if found is None or found.kind == "sender_key":
                found = one
        if found is not None and found.kind == "sender_key" and problem is not None:
            found = None
        return found, problem

    def _open_part(self, node: Node, sender: Device, sealed: Node) -> Content:
        kind = sealed.text("type")
        if kind == "skmsg":
            padded = self.sender_keys.decrypt(node.text("from"), sender.lid, sealed.data())
        else:
            padded = self.store.decrypt(sender.lid, kind, sealed.data())
        one = content.read(content.unpad(padded))
        if one.sender_key is not None:
            group, distribution = one.sender_key
            self.sender_keys.process(group, sender.lid, distribution)
        return one

    def _show(self, node: Node, sender: Device, known: Received | None, found: Content) -> None:
        message = known or self._remember(node, sender)
        self._localise(found.fields)
        self._check_media(found)
        message.at = self._world.now()
        if found.sent_to:
            owner = self._world.directory.by_jid(try_parse_jid(found.sent_to) or self.lid)
            message.chat = owner.number if owner else found.sent_to
        self.chats.show(message, found)
        self._log("shown", node, from_=sender.account.number, from_device=sender.number, tag=found.tag or None)
        self._confirm(node, sender)

    def _localise(self, fields: dict[str, Any]) -> None:
        """Numbers in the place of addresses, as far as they are known."""
        if "mentions" in fields:
            fields["mentions"] = [self._number_of(jid) for jid in fields["mentions"]]
        if "quote" in fields:
            fields["quote"]["from"] = self._number_of(fields["quote"]["from"])

    def _number_of(self, address: str) -> str:
        jid = try_parse_jid(address)
        account = self._world.directory.by_jid(jid.account()) if jid else None
        return account.number if account else address

    def _check_media(self, found: Content) -> None:
        """Phones load files when they come; what is wrong with one is in `fields["media"]`."""
        if found.media is None:
            return
        try:
            plain = fetch(self._world, found.media)
        except MediaError as problem:
            found.fields["media"] = str(problem)
        else:
            right = len(plain) == found.fields["size"]
            found.fields["media"] = "ok" if right else "its size is not the one that the message says"

    def _remember(self, node: Node, sender: Device) -> Received:
        place = node.jid("from")
        number = sender.account.number
        chat = str(place) if place is not None and place.server in _MANY else number
        message = Received(node.text("id"), number, sender.number, chat, "", "", self._world.now(), "")
        self.chats.add(message)
        return message

    def _drop(self, node: Node, sender: Device) -> None:
        """The same message once more: counted, not shown, and confirmed again so that the sender stops."""
        self.duplicates_dropped += 1
        self._log("duplicate", node, from_=sender.account.number)
        self._confirm(node, sender)

    def _lose(self, node: Node, sender: Device) -> None:
        """A new message under a used key (its sender runs on an old copy of its store): gone, and nobody is told."""
        self._log("lost", node, from_=sender.account.number, from_device=sender.number)
        self._confirm(node, sender)

    def _wait_for(self, node: Node, sender: Device, known: Received | None, reason: str) -> None:
        message = known or self._remember(node, sender)
        message.kind, message.text, message.waiting, message.reason = "waiting", WAITING_TEXT, True, reason
        self._log("waiting", node, from_=sender.account.number, from_device=sender.number, why=reason)
        message.retries += 1
        request = retries.request(self.store, node, message.retries, self._world.timestamp())
        if request is not None:
            self._world.router.receipt(self, request)

    def _confirm(self, node: Node, sender: Device) -> None:
        attrs: dict[str, Value] = {"id": node.attrs["id"], "to": node.attrs["from"]}
        if sender.account is self.account:
            attrs["type"] = "peer_msg" if node.text("category") == "peer" else "sender"
        for key in ("recipient", "participant"):
            if key in node.attrs:
                attrs[key] = node.attrs[key]
        self._world.router.receipt(self, Node("receipt", attrs))

    def _receive_receipt(self, node: Node, sender: Device) -> None:
        kind = node.text("type")
        if kind == "retry":
            self.outbox.send_again(node, sender)
            return
        self.receipts.extend(
            (message_id, kind or "delivered", sender.account.number) for message_id in receipt_ids(node)
        )
        del self.receipts[:-INBOX_MESSAGES_MAX]

    # Sending

    def send_text(self, to: str, text: str) -> str:
        """Encrypts a text for every device of a number (or group) and for this number's linked devices; gives its id."""
        return self.acts.text(to, text)

    def send(self, chat: Chat, draft: Draft, server: str = LID_SERVER) -> str:
        """Sends a message, and shows it on this phone."""
        message_id = self.outbox.send(chat, draft, server)
        message = own_record(self, chat, message_id, draft, self._world.now())
        found = read(draft.message)
        self._localise(found.fields)
        self.chats.add(message, written_here=True)
        self.chats.show(message, found)
        return message_id

    def send_receipts(self, message_ids: list[str], kind: str) -> None:
        """Receipts for messages in the inbox, one per chat and author, as a phone sends them when a chat is opened."""
        if kind not in RECEIPT_TYPES:
            raise SimulatorError(
                "bad_receipt_type", f"{kind!r} is not a receipt.", f"Use one of: {', '.join(RECEIPT_TYPES)}."
            )
        by_author: dict[tuple[str, str], list[str]] = {}
        for message_id in message_ids:
            found = self.chats.find(message_id)
            if found is None or found.from_number == self.account.number:
                raise SimulatorError(
                    "no_such_message", f"{self.account.number} received no message {message_id[:64]!r}.", status=404
                )
            by_author.setdefault((found.chat, found.from_number), []).append(message_id)
        for (chat, number), ids in by_author.items():
            author = self._world.directory.by_number(number)
            if author is not None:
                self._send_receipt(chat, author, ids, RECEIPT_TYPES[kind])

    def _send_receipt(self, chat: str, author: Account, ids: list[str], kind: str) -> None:
        attrs: dict[str, Value] = {"id": ids[0], "to": author.lid_jid, "t": self._world.timestamp()}
        place = try_parse_jid(chat) if "@" in chat else None
        if place is not None:
            group = self._world.groups.get(place)
            server = group.addressing if isinstance(group, Group) else LID_SERVER
            attrs["to"], attrs["participant"] = place, author.phone.jid(server)
        if kind:
            attrs["type"] = kind
        more: list[Node] | None = None
        if len(ids) > 1:
            more = [Node("list", {}, [Node("item", {"id": message_id}) for message_id in ids[1:]])]
        self._world.router.receipt(self, Node("receipt", attrs, more))

    # For tests of healing

    def forget(self, what: str, number: str = "", group: str = "") -> None:
        """Loses keys: `sessions` with a number's devices, the `sender_keys` of a number's devices in a group, or the memory of
        who has this phone's own key of a group (`handed_out`: a new key is used that nobody was given)."""
        if what not in FORGETTABLE:
            raise SimulatorError(
                "bad_field", f"{what[:20]!r} cannot be forgotten.", f"Use one of: {', '.join(FORGETTABLE)}."
            )
        if what == "handed_out":
            key = self.outbox.new_sender_key(self._world.groups.require(try_parse_jid(group)))
            key.holders.update(self._world.groups.require(try_parse_jid(group)).devices())
            return
        for device in self._world.phone(number).account.devices():
            if what == "sessions":
                self.store.forget(device.lid)
            else:
                self.sender_keys.forget(group, device.lid)

    def _log(self, kind: str, node: Node, **fields: Any) -> None:
        self._world.log.add(kind, id=node.text("id"), to=self.account.number, device=0, **fields)
