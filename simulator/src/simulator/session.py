"""One client connection from its handshake to its end: linking or login, then the dispatch of stanzas."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from simulator import iq, wire
from simulator.accounts import Companion
from simulator.errors import ProtocolError
from simulator.faults.gate import Gate, meet_login
from simulator.faults.model import Fault
from simulator.faults.registry import Owner, Standing
from simulator.jid import SERVER_JID
from simulator.limits import EARLY_STANZAS_MAX, FAREWELL_SECONDS, PAIRED_LINGER_SECONDS_MAX
from simulator.nodes import Node, Value
from simulator.noise import Identity, Opened
from simulator.pairing import Offer
from simulator.proxy import Socket
from simulator.queues import Item, key_of
from simulator.routing import ACKNOWLEDGING
from simulator.stream import Stream

if TYPE_CHECKING:
    from simulator.world import World

# `<failure reason>` for a device that is not (or no longer) linked, and for a banned account (whatsmeow events.go
# `ConnectFailureLoggedOut`, `ConnectFailureTempBanned`).
LOGGED_OUT, TEMPORARILY_BANNED = 401, 402


class State(Enum):
    # Noise is under way.
    HANDSHAKE = "handshake"
    # QR codes are offered; a scan leads to PAIRED, time or a lost socket to CLOSED.
    PAIRING = "pairing"
    # Linked; the client has been told (515) to come back and log in.
    PAIRED = "paired"
    # Logged in, fetching its state: nothing is delivered yet; `<active/>` leads to ACTIVE.
    PASSIVE = "passive"
    # The queue is attached and stanzas flow.
    ACTIVE = "active"
    # Nothing is sent or heard any more.
    CLOSED = "closed"


class Session:
    """The server's end of one connection. It belongs to at most one linked device."""

    def __init__(self, world: World, socket: Socket, identity: Identity) -> None:
        self._world = world
        self.state = State.HANDSHAKE
        self.device: Companion | None = None
        self.last_heard = time.monotonic()
        self._offer: Offer | None = None
        self._asked: dict[str, Callable[[Node], None]] = {}
        self._offline_left = 0
        self._offline_total = 0
        # Whose session it is, from the moment a login names itself.
        self.owner: Owner = None
        self._socket = socket
        self._gate: Gate | None = None
        # Stanzas that came while a login is answered late; else None.
        self._early: deque[Node] | None = None
        self.stream = Stream(socket, identity, self._opened, self._on_node, self._on_lost, self._on_drained)

    # Beginning

    def _opened(self, opened: Opened) -> None:
        payload = wire.parse(opened.payload)
        if 1 in payload:
            self._log_in(opened, str(payload.number(1)), payload.number(18))
        elif 19 in payload:
            self.state = State.PAIRING
            self._offer, codes = self._world.pairings.open(self, opened.client_static, payload)
            self._world.log.add("connected", state="pairing")
            self.send(codes)
            asyncio.get_running_loop().call_later(self._offer.expires_at() - self._world.now(), self._codes_ran_out)
        else:
            raise ProtocolError("bad_handshake", "The client neither logs in nor wants to be linked.")

    def _codes_ran_out(self) -> None:
        if self.state is State.PAIRING:
            self._end()

    def _log_in(self, opened: Opened, number: str, device_number: int) -> None:
        account = self._world.directory.by_number(number)
        device = account.companions.get(device_number) if account else None
        self._world.log.add("connected", number=number, device=device_number)
        self.owner = (number, device_number)
        self._socket.owned_by(self.owner)
        ban = self._world.bans.of(number)
        if device is None or device.noise_key != opened.client_static:
            self._refuse_login(LOGGED_OUT)
        elif ban:
            self._refuse_login(TEMPORARILY_BANNED, code=str(ban.code), expire=str(ban.seconds_left(self._world.now())))
        elif self._world.faults.logins:
            wait_s = meet_login(self, self._world.faults)
            if wait_s:
                # What a client says meanwhile (whatsmeow sends an interrupted message again before it is logged in) waits too.
                self._early = deque(maxlen=EARLY_STANZAS_MAX)
                asyncio.get_running_loop().call_later(wait_s, self._admit, device)
            elif wait_s is not None:
                self._admit(device)
        else:
            self._admit(device)

    def _refuse_login(self, reason: int, linger_s: float = FAREWELL_SECONDS, **more: str) -> None:
        number, device = self.owner or (None, None)
        self._world.log.add("login_failed", number=number, device=device, reason=reason)
        attrs: dict[str, Value] = {"reason": str(reason), "location": "sim", **more}
        self.stream.send(Node("failure", attrs))
        self._end(linger_s)

    def _admit(self, device: Companion) -> None:
        if self.state is State.CLOSED:
            return
        if device.link:
            device.link.replace()
        device.link, device.last_seen, self.device, self.state = self, self._world.now(), device, State.PASSIVE
        self._world.log.add("login", number=device.account.number, device=device.number)
        attrs: dict[str, Value] = {"t": self._world.timestamp(), "props": "27", "location": "sim", "lid": device.lid}
        self.send(Node("success", attrs))
        early, self._early = self._early, None
        for node in early or ():
            self._take(node)

    # Stanzas from the client

    def _on_node(self, node: Node) -> None:
        self.last_heard = time.monotonic()
        if self._gate or self._world.faults.stanzas:
            self._gate_of_faults().inbound(node)
        else:
            self._take(node)

    def _take(self, node: Node) -> None:
        if self.state is State.CLOSED:
            return
        if self._early is not None:
            self._early.append(node)
            return
        if node.tag == "iq" and node.text("type") in ("result", "error"):
            answered = self._asked.pop(node.text("id"), None)
            if answered:
                answered(node)
        elif self.device is None:
            # Before login only pings and linking by code are legitimate (whatsmeow keepalive.go, pair-code.go).
            if node.tag == "iq" and self._offer and node.child("link_code_companion_reg"):
                self.send(self._world.link_codes.answer(self._offer, node))
            elif node.tag == "iq":
                self.send(Node("iq", {"id": node.text("id"), "from": SERVER_JID, "type": "result"}))
        else:
            if self._world.rates and node.tag in ("presence", "chatstate"):
                self._world.rates.presence(self.device.account.number)
            handler = _STANZAS.get(node.tag)
            if handler:
                handler(self, self.device, node)

    def _on_iq(self, device: Companion, node: Node) -> None:
        self.send(iq.answer(self._world, device, node))
        if node.text("xmlns") == "passive" and node.text("type") == "set":
            self._set_active(device, node.child("active") is not None)

    def _on_message(self, device: Companion, node: Node) -> None:
        self._world.router.message(device, node, self.send)

    def _on_receipt(self, device: Companion, node: Node) -> None:
        if node.text("type") in ACKNOWLEDGING:
            self._acknowledged(device, ("message", node.text("id"), node.jid("to"), "", node.jid("participant")))
        self._world.router.receipt(device, node)

    def _on_presence(self, device: Companion, node: Node) -> None:
        self._world.presences.handle(device, node)

    def _on_chatstate(self, device: Companion, node: Node) -> None:
        self._world.presences.chat_state(device, node)

    def _on_ack(self, device: Companion, node: Node) -> None:
        self._acknowledged(device, key_of(node, node.jid("to"), node.text("class")))

    def _acknowledged(self, device: Companion, key: object) -> None:
        item = device.queue.acknowledge(key)
        if item:
            device.record("acknowledged", item.node)

    # Delivery to the client

    def _set_active(self, device: Companion, active: bool) -> None:
        if not active:
            self.state = State.PASSIVE
            device.queue.detach()
        elif self.state is State.PASSIVE:
            self.state = State.ACTIVE
            self._announce_offline(device)
            device.queue.attach(self._send_item)
            self._world.became_active(device)

    def _announce_offline(self, device: Companion) -> None:
        waiting = device.queue.waiting()
        kinds = [item.kind for item in waiting]
        preview = {
            "count": str(len(waiting)), "message": str(kinds.count("message")), "receipt": str(kinds.count("receipt")),
            "notification": str(kinds.count("notification")), "appdata": "0",
        }  # fmt: skip
        self._offline_left = self._offline_total = len(waiting)
        self.send(Node("ib", {"from": SERVER_JID}, [Node("offline_preview", preview)]))
        if not waiting:
            self._offline_done()

    def _offline_done(self) -> None:
        self.send(Node("ib", {"from": SERVER_JID}, [Node("offline", {"count": str(self._offline_total)})]))

    def _send_item(self, item: Item) -> bool:
        device = self.device
        if device is None or self.state is not State.ACTIVE or not self.stream.writable():
            return False
        node = item.node
        if self._offline_left:
            node = Node(
                node.tag, {**node.attrs, "offline": str(self._offline_total - self._offline_left)}, node.content
            )
        if self._write(node):
            device.record("delivered", node)
        if self._offline_left:
            self._offline_left -= 1
            if not self._offline_left:
                self._offline_done()
        return True

    def _on_drained(self) -> None:
        if self.device and self.state is State.ACTIVE:
            self.device.queue.pump()

    # DeviceLink and PairingLink

    def send(self, node: Node) -> None:
        self._write(node)

    def _write(self, node: Node) -> bool:
        """False if a fault swallowed the stanza."""
        if self._gate or self._world.faults.stanzas:
            return self._gate_of_faults().outbound(node)
        self.stream.send(node)
        return True

    def ask(self, node: Node, answered: Callable[[Node], None]) -> None:
        self._asked[node.text("id")] = answered
        self.send(node)

    def paired(self) -> None:
        """Linking is done: the client is told to come back and log in."""
        self.state = State.PAIRED
        self.send(Node("stream:error", {"code": "515"}))
        asyncio.get_running_loop().call_later(PAIRED_LINGER_SECONDS_MAX, self._end)

    def replace(self) -> None:
        """The same device logged in on another connection."""
        self.send(Node("stream:error", {}, [Node("conflict", {"type": "replaced"})]))
        self._end(FAREWELL_SECONDS)

    def unlink(self) -> None:
        self.send(Node("stream:error", {"code": str(LOGGED_OUT)}, [Node("conflict", {"type": "device_removed"})]))
        self._end(FAREWELL_SECONDS)

    def abort(self) -> None:
        self.stream.abort()

    # Faults (`faults.gate.Struck`)

    def _gate_of_faults(self) -> Gate:
        """From the first fault on a session keeps its gate: stanzas may wait in it, and none may slip past them."""
        if self._gate is None:
            self._gate = Gate(self, self._world.faults, self._take, self.stream.send)
        return self._gate

    def strike_socket(self, standing: Standing) -> None:
        self._socket.strike(standing)

    def fail_stream(self, fault: Fault) -> None:
        attrs: dict[str, Value] = {} if fault.code is None else {"code": str(fault.code)}
        conflict = [Node("conflict", {"type": fault.conflict})] if fault.conflict else None
        self.stream.send(Node("stream:error", attrs, conflict))
        if fault.close:
            self._end(fault.number_of("linger_s"))

    def fail_login(self, fault: Fault) -> None:
        more = {"code": fault.ban_code, "expire": None if fault.expire_s is None else int(fault.expire_s)}
        given = {key: str(value) for key, value in more.items() if value is not None}
        self._refuse_login(int(fault.number_of("code")), fault.number_of("linger_s"), **given)

    def refuse_message(self, node: Node, code: int, why: str) -> None:
        if self.device:
            self.send(self._world.router.refuse(self.device, node, code, why))

    def ban(self, code: int, expire_s: float) -> None:
        """The account is banned: its connections end, and logins are refused until the ban runs out."""
        if self.device:
            self._world.ban(self.device.account, code, expire_s)

    def end(self) -> None:
        """Closes the connection without a word."""
        self._end()

    # The end

    def _end(self, linger_s: float = 0.0) -> None:
        self._leave()
        if linger_s:
            asyncio.get_running_loop().call_later(linger_s, self.stream.close)
        else:
            self.stream.close()

    def _on_lost(self) -> None:
        self._leave()

    def _leave(self) -> None:
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        if self.device:
            self._world.log.add("disconnected", number=self.device.account.number, device=self.device.number)
        if self._offer:
            self._world.pairings.ended(self._offer)
        if self.device and self.device.link is self:
            self.device.queue.detach()
            self.device.link = None
            self._world.presences.left(self.device)
            self.device.last_seen = self._world.now()


_STANZAS: dict[str, Callable[[Session, Companion, Node], None]] = {
    "iq": Session._on_iq,
    "message": Session._on_message,
    "receipt": Session._on_receipt,
    "ack": Session._on_ack,
    "presence": Session._on_presence,
    "chatstate": Session._on_chatstate,
}
