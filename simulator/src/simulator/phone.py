"""A phone: the primary device of a number, with real keys and sessions. What it shows is what it could decrypt."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from simulator import content, retries
from simulator.accounts import Account, Device
from simulator.errors import ProtocolError, SimulatorError
from simulator.jid import LID_SERVER, parse_jid
from simulator.limits import INBOX_MESSAGES_MAX, SEEN_IDS_MAX, SENT_MESSAGES_MAX, TEXT_CHARACTERS_MAX
from simulator.nodes import Node, Value
from simulator.routing import receipt_ids
from simulator.signal.ratchet import DuplicateError, UndecryptableError
from simulator.signal.store import SignalStore
from simulator.signal.x3dh import Bundle

if TYPE_CHECKING:
    from simulator.world import World

WAITING_TEXT = "Waiting for this message. This may take a while."
RECEIPT_TYPES = {"delivered": "", "read": "read", "played": "played"}


def _ignore(ack: Node) -> None:
    """A phone's messages come from inside the server, so nobody waits for the ack."""


@dataclass(slots=True)
class Received:
    """A message in a phone's inbox (or among the copies of what its number sent from elsewhere)."""

    id: str
    from_number: str
    from_device: int
    chat: str
    kind: str
    text: str
    at: float
    tag: str
    # The phone shows "Waiting for this message": it could not decrypt what came.
    waiting: bool = False
    # Why not, for people who look for the reason, and how often it was asked for again.
    reason: str = ""
    retries: int = 0

    def as_json(self) -> dict[str, Any]:
        fields = asdict(self)
        fields["from"] = fields.pop("from_number")
        return fields


@dataclass(slots=True)
class SentMessage:
    """What a phone needs to send a message again."""

    account: Account
    plain: bytes


class Phone(Device):
    """One phone. It is always on; every stanza is handled at once."""

    def __init__(self, world: World, account: Account) -> None:
        super().__init__(account, 0)
        self._world = world
        self._store: SignalStore | None = None
        self.inbox: list[Received] = []
        # Copies of what other devices of this number sent.
        self.sent_copies: list[Received] = []
        # Receipts that came for this number's messages: (message id, type, from whom).
        self.receipts: list[tuple[str, str, str]] = []
        self.duplicates_dropped = 0
        self._seen: OrderedDict[tuple[str, str], Received] = OrderedDict()
        self._sent: OrderedDict[str, SentMessage] = OrderedDict()

    @property
    def store(self) -> SignalStore:
        """Keys are made when first needed: a number that is only looked up stays cheap."""
        if self._store is None:
            self._store = SignalStore()
        return self._store

    def take_bundle(self) -> Bundle:
        return self.store.take_bundle()

    # Receiving

    def deliver(self, node: Node, sender: Device | None) -> None:
        if sender is None:
            return
        if node.tag == "message":
            self._receive(node, sender)
        elif node.tag == "receipt":
            self._receive_receipt(node, sender)

    def _receive(self, node: Node, sender: Device) -> None:
        sealed = node.child("enc")
        if sealed is None:
            return
        self._log("delivered", node)
        known = self._seen.get((sender.account.number, node.text("id")))
        try:
            padded = self.store.decrypt(sender.lid, sealed.text("type"), sealed.data())
            found = content.read(content.unpad(padded))
        except (UndecryptableError, ProtocolError) as problem:
            if known is not None and not known.waiting:
                self._drop(node, sender)
            elif isinstance(problem, DuplicateError) and not self._world.policy.ask_when_key_was_used:
                self._lose(node, sender)
            else:
                self._wait_for(node, sender, known, str(problem))
        else:
            if node.text("category") == "peer" or found.kind == "protocol":
                self._confirm(node, sender)
            elif known is not None and not known.waiting:
                self._drop(node, sender)
            else:
                self._show(node, sender, known, found)

    def _show(self, node: Node, sender: Device, known: Received | None, found: content.Content) -> None:
        message = known or self._remember(node, sender)
        message.kind, message.text, message.tag = found.kind, found.text, found.tag
        message.waiting, message.reason, message.at = False, "", self._world.now()
        if found.sent_to:
            owner = self._world.directory.by_jid(parse_jid(found.sent_to))
            message.chat = owner.number if owner else found.sent_to
        self._log("shown", node, from_=sender.account.number, from_device=sender.number, tag=found.tag or None)
        self._confirm(node, sender)

    def _remember(self, node: Node, sender: Device) -> Received:
        own = sender.account is self.account
        number = sender.account.number
        message = Received(node.text("id"), number, sender.number, number, "", "", self._world.now(), "")
        listing = self.sent_copies if own else self.inbox
        listing.append(message)
        del listing[:-INBOX_MESSAGES_MAX]
        self._seen[(number, message.id)] = message
        if len(self._seen) > SEEN_IDS_MAX:
            self._seen.popitem(last=False)
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
            attrs["type"] = "sender"
        if "recipient" in node.attrs:
            attrs["recipient"] = node.attrs["recipient"]
        self._world.router.receipt(self, Node("receipt", attrs))

    def _receive_receipt(self, node: Node, sender: Device) -> None:
        kind = node.text("type")
        if kind == "retry":
            self._send_again(node, sender)
            return
        self.receipts.extend(
            (message_id, kind or "delivered", sender.account.number) for message_id in receipt_ids(node)
        )
        del self.receipts[:-INBOX_MESSAGES_MAX]

    # Sending

    def send_text(self, to: str, text: str) -> str:
        """Encrypts a text for every device of a number and for this number's linked devices; gives the message's id."""
        if not text or len(text) > TEXT_CHARACTERS_MAX:
            raise SimulatorError("bad_text", f"A text has 1 to {TEXT_CHARACTERS_MAX} characters.")
        account = self._world.phone(to).account
        if account is self.account:
            raise SimulatorError(
                "same_number", "A phone here does not write to itself.", "Give another number in `to`."
            )
        return self.send(account, content.text_message(text))

    def send(self, account: Account, plain: bytes) -> str:
        message_id = self._world.message_id()
        self._sent[message_id] = SentMessage(account, plain)
        if len(self._sent) > SENT_MESSAGES_MAX:
            self._sent.popitem(last=False)
        own_copy = content.device_sent(plain, str(account.lid_jid))
        parts = [self._part(device, plain) for device in account.devices()]
        parts += [self._part(device, own_copy) for device in self.account.companions.values()]
        node = Node(
            "message",
            {"id": message_id, "to": account.lid_jid, "type": "text", "peer_recipient_pn": account.pn_jid},
            [Node("participants", {}, [part for part in parts if part])],
        )
        self._world.log.add(
            "sent", id=message_id, from_=self.account.number, to=account.number, tag=content.secret_of(plain)
        )
        self._world.router.message(self, node, _ignore)
        return message_id

    def _part(self, device: Device, plain: bytes) -> Node | None:
        address = device.lid
        if not self.store.has_session(address):
            try:
                self.store.start_session(address, device.take_bundle())
            except UndecryptableError as problem:
                self._world.log.add("unencryptable", to=device.account.number, device=device.number, why=str(problem))
                return None
        return Node("to", {"jid": address}, [self._sealed(device, plain)])

    def _sealed(self, device: Device, plain: bytes) -> Node:
        sealed = self.store.encrypt(device.lid, content.pad(plain))
        return Node("enc", {"v": "2", "type": sealed.kind}, sealed.data)

    def _send_again(self, node: Node, device: Device) -> None:
        """Answers a retry receipt: a fresh session with the keys that came along or that the server has, then the message."""
        asked = retries.parse(node)
        message = self._sent.get(asked.message_id)
        if message is None:
            self._world.log.add(
                "retry_unanswered", id=asked.message_id, from_=device.account.number, device=device.number
            )
            return
        try:
            self.store.start_session(device.lid, asked.bundle or device.take_bundle())
        except UndecryptableError as problem:
            self._world.log.add("unencryptable", to=device.account.number, device=device.number, why=str(problem))
            return
        own = device.account is self.account
        plain = content.device_sent(message.plain, str(message.account.lid_jid)) if own else message.plain
        sealed = self._sealed(device, plain)
        sealed.attrs["count"] = str(asked.attempt)
        attrs: dict[str, Value] = {
            "id": asked.message_id,
            "to": device.jid(LID_SERVER),
            "type": "text",
            "device_fanout": "false",
        }
        if own:
            attrs["recipient"] = message.account.lid_jid
        self._world.router.message(self, Node("message", attrs, [sealed]), _ignore)

    def send_receipts(self, message_ids: list[str], kind: str) -> None:
        """Receipts for messages in the inbox, one per author, as a phone sends them when a chat is opened."""
        if kind not in RECEIPT_TYPES:
            raise SimulatorError(
                "bad_receipt_type", f"{kind!r} is not a receipt.", "Use one of: read, played, delivered."
            )
        by_author: dict[str, list[str]] = {}
        for message_id in message_ids:
            found = next((message for message in reversed(self.inbox) if message.id == message_id), None)
            if found is None:
                raise SimulatorError(
                    "no_such_message", f"{self.account.number} received no message {message_id[:64]!r}.", status=404
                )
            by_author.setdefault(found.from_number, []).append(message_id)
        for number, ids in by_author.items():
            author = self._world.directory.by_number(number)
            if author is None:
                continue
            attrs: dict[str, Value] = {"id": ids[0], "to": author.lid_jid, "t": self._world.timestamp()}
            if RECEIPT_TYPES[kind]:
                attrs["type"] = RECEIPT_TYPES[kind]
            more: list[Node] | None = None
            if len(ids) > 1:
                more = [Node("list", {}, [Node("item", {"id": message_id}) for message_id in ids[1:]])]
            self._world.router.receipt(self, Node("receipt", attrs, more))

    def _log(self, kind: str, node: Node, **fields: Any) -> None:
        self._world.log.add(kind, id=node.text("id"), to=self.account.number, device=0, **fields)
