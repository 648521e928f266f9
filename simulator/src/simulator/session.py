"""One client connection from its handshake to its end: linking or login, then the dispatch of stanzas."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from simulator import iq, wire
from simulator.accounts import Companion
from simulator.errors import ProtocolError
from simulator.jid import SERVER_JID
from simulator.limits import PAIRED_LINGER_SECONDS_MAX
from simulator.nodes import Node, Value
from simulator.noise import Identity, Opened
from simulator.pairing import Offer
from simulator.proxy import Socket
from simulator.queues import Item, key_of
from simulator.routing import ACKNOWLEDGING
from simulator.stream import Stream

if TYPE_CHECKING:
    from simulator.world import World

# `<failure reason>` for a device that is not (or no longer) linked (whatsmeow events.go `ConnectFailureLoggedOut`).
LOGGED_OUT = 401


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
        if device is None or device.noise_key != opened.client_static:
            self._world.log.add("login_failed", number=number, device=device_number, reason=LOGGED_OUT)
            self.send(Node("failure", {"reason": str(LOGGED_OUT), "location": "sim"}))
            self._end()
            return
        if device.link:
            device.link.replace()
        device.link, device.last_seen, self.device, self.state = self, self._world.now(), device, State.PASSIVE
        self._world.log.add("login", number=number, device=device_number)
        attrs: dict[str, Value] = {"t": self._world.timestamp(), "props": "27", "location": "sim", "lid": device.lid}
        self.send(Node("success", attrs))

    # Stanzas from the client

    def _on_node(self, node: Node) -> None:
        self.last_heard = time.monotonic()
        if self.state is State.CLOSED:
            return
        if node.tag == "iq" and node.text("type") in ("result", "error"):
            answered = self._asked.pop(node.text("id"), None)
            if answered:
                answered(node)
        elif self.device is None:
            # Before login only pings are legitimate (whatsmeow keepalive.go).
            if node.tag == "iq":
                self.send(Node("iq", {"id": node.text("id"), "from": SERVER_JID, "type": "result"}))
        else:
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
        device.record("delivered", node)
        self.send(node)
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
        self.stream.send(node)

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
        self._end()

    def unlink(self) -> None:
        self.send(Node("stream:error", {"code": str(LOGGED_OUT)}, [Node("conflict", {"type": "device_removed"})]))
        self._end()

    def abort(self) -> None:
        self.stream.abort()

    # The end

    def _end(self) -> None:
        self._leave()
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
            self._world.pairings.close(self._offer)
        if self.device and self.device.link is self:
            self.device.queue.detach()
            self.device.link = None
            self.device.last_seen = self._world.now()


_STANZAS: dict[str, Callable[[Session, Companion, Node], None]] = {
    "iq": Session._on_iq,
    "message": Session._on_message,
    "receipt": Session._on_receipt,
    "ack": Session._on_ack,
}
