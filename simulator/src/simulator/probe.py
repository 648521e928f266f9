"""A minimal linked device in asyncio: the other side of the protocol, for benchmarks, fuzzing and protocol tests.

It speaks what a client must and nothing more; it is not a client library. Many of them fit in one process.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import os
import ssl
from collections.abc import Callable
from pathlib import Path

from simulator import content, websocket, wire
from simulator.errors import ProtocolError
from simulator.jid import SERVER_JID, Jid
from simulator.nodes import Node, Value, decode, encode
from simulator.noise import HEADER, Cipher, ClientHandshake
from simulator.retries import key_node, parse_bundle, registration_node
from simulator.signal import curve
from simulator.signal.ratchet import DuplicateError
from simulator.signal.store import Sealed, SignalStore

_READ_BYTES = 256 * 1024
ANSWER_SECONDS_MAX = 30.0


class ProbeDevice:
    """One device; `pair` or `log_in`, then `ask`, `send_text` and `inbox`. `on_node` sees every stanza that is no answer."""

    def __init__(
        self, proxy_port: int, folder: Path, noise_root: bytes, on_node: Callable[[Node], None] | None = None
    ) -> None:
        self._port = proxy_port
        self._root = noise_root
        self._context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        self._noise_key = curve.generate()
        self._adv_secret = os.urandom(32)
        self._on_node = on_node
        self.store = SignalStore()
        self.jid = self.lid = Jid("", "")
        self.device_identity = b""
        # Off: messages are left unread and unacknowledged, so they come again.
        self.acknowledges = True
        # Texts that came, with their message ids.
        self.inbox: list[tuple[str, str]] = []
        self.closed = asyncio.Event()
        self._answers: dict[str, asyncio.Future[Node]] = {}
        self._next_id = 0
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._send: Cipher
        self._receive: Cipher
        self._task: asyncio.Task[None] | None = None

    # Connection

    async def _connect(self, payload: bytes) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(b"CONNECT web.whatsapp.com:443 HTTP/1.1\r\nHost: web.whatsapp.com:443\r\n\r\n")
        await self._head(b"200")
        await self._writer.start_tls(self._context, server_hostname="web.whatsapp.com")
        key = base64.b64encode(os.urandom(16)).decode()
        self._writer.write(
            f"GET /ws/chat HTTP/1.1\r\nHost: web.whatsapp.com\r\nSec-WebSocket-Key: {key}\r\nUpgrade: websocket\r\n\r\n".encode()
        )
        await self._head(b"101")
        handshake = ClientHandshake(self._noise_key, self._root)
        self._write_frame(handshake.hello(), HEADER)
        incoming = _Frames()
        answer: bytes | None = None
        while answer is None:
            answer = next(iter(incoming.feed(await self._read())), None)
        last, self._send, self._receive = handshake.finish(answer, payload)
        self._write_frame(last)
        self.closed.clear()
        self._task = asyncio.create_task(self._listen(incoming))

    async def _head(self, status: bytes) -> None:
        head = await self._reader.readuntil(b"\r\n\r\n")
        if status not in head.split(b"\r\n")[0]:
            raise ProtocolError("bad_answer", f"The simulator answered {head[:80]!r}.")

    async def _read(self) -> bytes:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise ConnectionResetError
        return data

    def _write_frame(self, frame: bytes, header: bytes = b"") -> None:
        self._writer.write(mask(header + len(frame).to_bytes(3, "big") + frame))

    async def _listen(self, incoming: _Frames) -> None:
        try:
            while not incoming.ended:
                for frame in incoming.feed(await self._read()):
                    self._heard(decode(self._receive.decrypt(frame)))
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            self.closed.set()
            self._writer.close()
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(ConnectionResetError("the simulator closed the connection"))

    async def close(self) -> None:
        if self._task:
            self._writer.transport.abort()
            await self.closed.wait()

    def send(self, node: Node) -> None:
        self._write_frame(self._send.encrypt(encode(node)))

    def send_raw(self, plain: bytes) -> None:
        """An encrypted frame with any content, for fuzzing."""
        self._write_frame(self._send.encrypt(plain))

    def _heard(self, node: Node) -> None:
        future = self._answers.pop(node.text("id"), None) if node.tag in ("iq", "ack") else None
        if future is not None and not future.done():
            future.set_result(node)
            return
        if node.tag == "message":
            self._message(node)
        elif node.tag in ("receipt", "notification"):
            attrs: dict[str, Value] = {"class": node.tag, "id": node.attrs["id"], "to": node.attrs["from"]}
            if "type" in node.attrs:
                attrs["type"] = node.attrs["type"]
            self.send(Node("ack", attrs))
        elif node.tag in ("iq", "success", "failure", "stream:error"):
            waiter = self._answers.get(node.children()[0].tag if node.tag == "iq" and node.children() else node.tag)
            if waiter is not None and not waiter.done():
                waiter.set_result(node)
        if self._on_node:
            self._on_node(node)

    async def expect(self, *names: str) -> Node:
        """The next stanza of some kinds: `success`, `failure`, `stream:error`, or an IQ with such a child."""
        future: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._answers.update(dict.fromkeys(names, future))
        try:
            return await asyncio.wait_for(future, ANSWER_SECONDS_MAX)
        finally:
            for name in names:
                self._answers.pop(name, None)

    async def ask(self, namespace: str, kind: str, *children: Node) -> Node:
        self._next_id += 1
        node = Node(
            "iq",
            {"id": f"q{self._next_id}", "to": SERVER_JID, "type": kind, "xmlns": namespace},
            list(children) or None,
        )
        return await self.answered(node)

    async def answered(self, node: Node) -> Node:
        """Sends an IQ or message and gives its result or ack."""
        future = self._answers[node.text("id")] = asyncio.get_running_loop().create_future()
        self.send(node)
        return await asyncio.wait_for(future, ANSWER_SECONDS_MAX)

    # Linking and login

    async def pair(self, scan: Callable[[str], object]) -> None:
        """Shows a code to `scan` (which runs in a thread), proves itself, and waits for 515."""
        store = self.store
        data = wire.pack(
            (1, store.registration_id.to_bytes(4, "big")), (2, curve.DJB_TYPE), (3, store.identity.public),
            (4, store.signed_prekey_id.to_bytes(3, "big")), (5, store.signed_prekey.public), (6, store.signature),
            (8, wire.pack((1, "probe"))),
        )  # fmt: skip
        await self._connect(wire.pack((19, data)))
        offer = await self.expect("pair-device")
        self.send(Node("iq", {"id": offer.text("id"), "to": SERVER_JID, "type": "result"}))
        keys = (self._noise_key.public, store.identity.public, self._adv_secret)
        ref = offer.children()[0].children()[0].data().decode()
        code = ",".join([ref, *(base64.b64encode(key).decode() for key in keys), "1"])
        scanning = asyncio.create_task(asyncio.to_thread(scan, f"https://wa.me/settings/linked_devices#{code}"))
        success = asyncio.create_task(self.expect("pair-success"))
        await asyncio.wait({scanning, success}, return_when=asyncio.FIRST_COMPLETED)
        if scanning.done() and not success.done():
            success.cancel()
            scanning.result()
        told_to_return = asyncio.create_task(self.expect("stream:error"))
        self._prove(await success)
        await told_to_return
        await scanning
        await self.close()

    def _prove(self, node: Node) -> None:
        success = node.children()[0]
        container, device = success.child("device-identity"), success.child("device")
        if container is None or device is None:
            raise ProtocolError("bad_answer", "A pairing success is incomplete.")
        sealed = wire.parse(container.data())
        signed = sealed.blob(1)
        if not hmac.compare_digest(hmac.digest(self._adv_secret, signed, "sha256"), sealed.blob(2)):
            raise ProtocolError("bad_answer", "The phone did not know the code's secret.")
        fields = wire.parse(signed)
        details, account_key = fields.blob(1), fields.blob(2)
        message = b"\x06\x01" + details + self.store.identity.public + account_key
        signature = curve.sign(self.store.identity.private, message)
        self.device_identity = wire.pack((1, details), (2, account_key), (3, fields.blob(3)), (4, signature))
        proof = wire.pack((1, details), (3, fields.blob(3)), (4, signature))
        self.jid, self.lid = device.jid("jid") or self.jid, device.jid("lid") or self.lid
        attrs: dict[str, Value] = {"id": node.text("id"), "to": SERVER_JID, "type": "result"}
        self.send(
            Node("iq", attrs, [Node("pair-device-sign", {}, [Node("device-identity", {"key-index": "1"}, proof)])])
        )

    async def log_in(self, prekeys: int = 20) -> None:
        """Logs in, uploads one-time keys, becomes active."""
        await self._connect(wire.pack((1, int(self.jid.user)), (18, self.jid.device)))
        answer = await self.expect("success", "failure")
        if answer.tag != "success":
            raise ProtocolError("login_failed", f"The simulator refused the login: {answer!r}.")
        if prekeys:
            await self.upload_keys(prekeys)
        await self.ask("passive", "set", Node("active"))

    async def upload_keys(self, count: int) -> None:
        bundles = [self.store.take_bundle() for _ in range(count)]
        keys = [
            key_node("key", one.prekey_id, one.prekey) for one in bundles if one.prekey_id is not None and one.prekey
        ]
        store = self.store
        signed = key_node("skey", store.signed_prekey_id, store.signed_prekey.public, store.signature)
        identity = Node("identity", {}, store.identity.public)
        await self.ask(
            "encrypt", "set", registration_node(store.registration_id), identity, Node("list", {}, keys), signed
        )

    # Messages

    async def devices_of(self, *users: Jid) -> tuple[list[Jid], dict[Jid, Jid]]:
        """The devices of users, and their LIDs where they were asked for by phone number."""
        query = Node("query", {}, [Node("devices", {"version": "2"}), Node("lid")])
        listing = Node("list", {}, [Node("user", {"jid": user}) for user in users])
        usync = Node(
            "usync",
            {"sid": "1", "mode": "full", "last": "true", "index": "0", "context": "background"},
            [query, listing],
        )
        answer = await self.ask("usync", "get", usync)
        devices: list[Jid] = []
        lids: dict[Jid, Jid] = {}
        found = answer.child("usync", "list")
        for user in found.children() if found else ():
            jid, lid, listed = user.jid("jid"), user.child("lid"), user.child("devices", "device-list")
            if jid is None or lid is None or listed is None:
                continue
            lids[jid] = lid.jid("val") or jid
            devices += [lids[jid]._replace(device=int(one.text("id"))) for one in listed.children()]
        return devices, lids

    async def open_sessions(self, devices: list[Jid]) -> None:
        missing = [device for device in devices if not self.store.has_session(device)]
        if not missing:
            return
        answer = await self.ask("encrypt", "get", Node("key", {}, [Node("user", {"jid": one}) for one in missing]))
        listing = answer.child("list")
        for user in listing.children() if listing else ():
            jid, bundle = user.jid("jid"), parse_bundle(user.child("registration"), user)
            if jid is not None and bundle is not None:
                self.store.start_session(jid, bundle)

    def sealed_message(self, message_id: str, to: Jid, devices: list[Jid], text: str) -> Node:
        """The stanza of a text for devices with which there are sessions."""
        plain = content.text_message(text)
        own_copy = content.device_sent(plain, str(to))
        parts, first = [], False
        for device in devices:
            if device == self.lid:
                continue
            sealed: Sealed = self.store.encrypt(
                device, content.pad(own_copy if device.user == self.lid.user else plain)
            )
            first = first or sealed.kind == "pkmsg"
            parts.append(Node("to", {"jid": device}, [Node("enc", {"v": "2", "type": sealed.kind}, sealed.data)]))
        children = [Node("participants", {}, parts)]
        if first:
            children.append(Node("device-identity", {}, self.device_identity))
        return Node("message", {"id": message_id, "to": to, "type": "text"}, children)

    async def send_text(self, number: str, text: str) -> Node:
        """Sends a text to a number as a client would; gives the ack."""
        user = Jid(number, self.jid.server)
        devices, lids = await self.devices_of(user, self.jid.account())
        await self.open_sessions([device for device in devices if device != self.lid])
        self._next_id += 1
        message_id = f"3EB0{os.urandom(9).hex().upper()}"
        return await self.answered(self.sealed_message(message_id, lids[user], devices, text))

    def _message(self, node: Node) -> None:
        if not self.acknowledges:
            return
        sealed, sender = node.child("enc"), node.jid("from")
        if sealed is not None and sender is not None:
            with contextlib.suppress(DuplicateError):
                plain = self.store.decrypt(sender, sealed.text("type"), sealed.data())
                self.inbox.append((node.text("id"), content.read(content.unpad(plain)).text))
        self.send(Node("receipt", {"id": node.attrs["id"], "to": node.attrs["from"]}))


def mask(payload: bytes) -> bytes:
    """A client's WebSocket frame."""
    key = os.urandom(4)
    head = websocket.frame(payload)
    size = len(head) - len(payload)
    return bytes((head[0], head[1] | 0x80)) + head[2:size] + key + websocket.unmask(payload, key)


class _Frames:
    """WhatsApp frames out of a server's WebSocket frames (unmasked, unfragmented)."""

    def __init__(self) -> None:
        self._buffer = b""
        self.ended = False

    def feed(self, data: bytes) -> list[bytes]:
        buffer, at = self._buffer + data, 0
        frames: list[bytes] = []
        while len(buffer) >= at + 2:
            size, start = buffer[at + 1], at + 2
            if size >= 126:
                extra = 2 if size == 126 else 8
                size, start = int.from_bytes(buffer[start : start + extra], "big"), start + extra
            if len(buffer) < start + size:
                break
            opcode, payload, at = buffer[at] & 0x0F, buffer[start : start + size], start + size
            if opcode == websocket.CLOSE:
                self.ended = True
            elif opcode == websocket.BINARY:
                frames.append(payload[3:])
        self._buffer = buffer[at:]
        return frames
