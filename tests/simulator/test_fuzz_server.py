"""Malformed input at every layer of the server: never a hang, never an error of its own, bounded memory, a reason in the log.

Each seed is one reproducible run. An exception inside the simulator would be logged as an error; none may be.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator

import pytest

from simulator import Policy, Settings, Simulator, limits, wire
from simulator.faults import Kind
from simulator.jid import SERVER_JID, Jid
from simulator.nodes import Node, encode
from simulator.noise import HEADER, ClientHandshake
from simulator.probe import ProbeDevice, mask
from simulator.signal import curve
from simulator.testing.fuzz import Fuzz

ADA, BOB = "14155550100", "14155550199"
CONNECT = b"CONNECT web.whatsapp.com:443 HTTP/1.1\r\nHost: web.whatsapp.com:443\r\n\r\n"
UPGRADE = b"GET /ws/chat HTTP/1.1\r\nHost: web.whatsapp.com\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n\r\n"
# The server must have dealt with anything by then.
SECONDS_MAX = 10.0


@pytest.fixture
async def simulator(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Simulator]:
    """Afterwards: still well, and no error of its own in the log."""
    caplog.set_level(logging.ERROR)
    problems: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(str(context)))
    async with Simulator(Settings(seed=5, policy=Policy(every_number_exists=True))) as simulator:
        yield simulator
        device = await linked(simulator, "14155550111")
        assert "error" not in (await device.send_text(BOB, "still well")).attrs
        await device.close()
    assert not caplog.records and not problems


async def linked(simulator: Simulator, number: str) -> ProbeDevice:
    device, loop = ProbeDevice(simulator.proxy_port, simulator.folder, simulator.noise_root), asyncio.get_running_loop()

    def scan(qr: str) -> None:
        pairing = simulator.world.pairings.scan(simulator.phone(number), qr)
        asyncio.run_coroutine_threadsafe(pairing, loop).result(SECONDS_MAX)

    await device.pair(scan)
    await device.log_in()
    return device


class Raw:
    """A connection that is taken as far as a test wants and then abused."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def open(self, depth: int) -> None:
        """1: after CONNECT, 2: in TLS, 3: in WebSocket."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._simulator.proxy_port)
        if depth >= 1:
            self.writer.write(CONNECT)
            await self.reader.readuntil(b"\r\n\r\n")
        if depth >= 2:
            context = ssl.create_default_context(cafile=str(self._simulator.folder / "ca.pem"))
            await self.writer.start_tls(context, server_hostname="web.whatsapp.com")
        if depth >= 3:
            self.writer.write(UPGRADE)
            await self.reader.readuntil(b"\r\n\r\n")

    async def end(self) -> None:
        """Says goodbye and waits until the server has hung up."""
        try:
            if self.writer.can_write_eof():
                self.writer.write_eof()
            else:
                self.writer.close()
            while await asyncio.wait_for(self.reader.read(65_536), SECONDS_MAX):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            self.writer.transport.abort()


def closed_for(simulator: Simulator) -> list[str]:
    return [event["why"] for event in simulator.log.since(0, "protocol_error")[0]]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
async def test_malformed_bytes_at_each_layer(simulator: Simulator, depth: int) -> None:
    valid = (
        CONNECT,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        UPGRADE,
        mask(HEADER + b"\x00\x00\x04\x12\x02\x0a\x00"),
    )
    for seed in range(60):
        fuzz, raw = Fuzz(seed), Raw(simulator)
        await raw.open(depth)
        raw.writer.write(fuzz.mangled(valid[depth]) + fuzz.data())
        await raw.end()
    assert len(closed_for(simulator)) > 5 and all(closed_for(simulator))
    assert simulator.stats()["connections"] == 0


async def test_malformed_handshakes(simulator: Simulator) -> None:
    """Right frames with wrong keys, wrong protobuf, wrong order, and a handshake that ends in a senseless payload."""
    for seed in range(60):
        fuzz, raw = Fuzz(seed), Raw(simulator)
        await raw.open(3)
        handshake = ClientHandshake(curve.generate(), simulator.noise_root)
        hello = handshake.hello()
        if seed % 3 == 0:
            raw.writer.write(framed(fuzz.mangled(hello), HEADER))
        else:
            raw.writer.write(framed(hello, HEADER))
            # A small frame of a server: two bytes of WebSocket and two of its length, then WhatsApp's three.
            head = await raw.reader.readexactly(4)
            answer = (await raw.reader.readexactly(int.from_bytes(head[2:], "big")))[3:]
            payload = wire.pack((1, int(ADA)), (18, 1)) if seed % 2 else wire.pack((19, wire.pack((1, b"\0\0\0\1"))))
            last, _, _ = handshake.finish(answer, fuzz.mangled(payload))
            raw.writer.write(framed(last if seed % 3 == 1 else fuzz.mangled(last)))
        await raw.end()
    reasons = set(closed_for(simulator))
    assert {"A frame does not decrypt.", "The client's hello holds no ephemeral key."} <= reasons and len(reasons) > 6


def framed(frame: bytes, header: bytes = b"") -> bytes:
    return mask(header + len(frame).to_bytes(3, "big") + frame)


def sensible(device: ProbeDevice, bob: Jid) -> list[Node]:
    """One of each kind of stanza that a device sends."""
    user = Node("user", {"jid": bob})
    sealed = Node("enc", {"v": "2", "type": "msg"}, b"\x33" + bytes(60))
    part = Node("to", {"jid": bob}, [sealed])
    return [
        Node("message", {"id": "F1", "to": bob, "type": "text"}, [Node("participants", {}, [part])]),
        Node("message", {"id": "F2", "to": bob._replace(device=0), "type": "text"}, [sealed]),
        Node("receipt", {"id": "F3", "to": bob, "type": "read"}, [Node("list", {}, [Node("item", {"id": "F4"})])]),
        Node("receipt", {"id": "F5", "to": bob, "type": "retry"}, [Node("retry", {"count": "1", "id": "F5", "v": "1"})]),
        Node("iq", {"id": "F6", "to": SERVER_JID, "type": "get", "xmlns": "usync"}, [
            Node("usync", {"sid": "1", "mode": "full", "context": "background"}, [
                Node("query", {}, [Node("devices", {"version": "2"}), Node("contact"), Node("lid"), Node("status")]),
                Node("list", {}, [user, Node("user", {}, [Node("contact", {}, b"+14155550199")])]),
            ]),
        ]),
        Node("iq", {"id": "F7", "to": SERVER_JID, "type": "get", "xmlns": "encrypt"}, [Node("key", {}, [user])]),
        Node("iq", {"id": "F8", "to": SERVER_JID, "type": "set", "xmlns": "encrypt"}, [
            Node("registration", {}, b"\0\0\0\1"), Node("identity", {}, device.store.identity.public),
            Node("list", {}, [Node("key", {}, [Node("id", {}, b"\0\0\1"), Node("value", {}, bytes(32))])]),
        ]),
        Node("iq", {"id": "F9", "to": SERVER_JID, "type": "set", "xmlns": "passive"}, [Node("active")]),
        Node("iq", {"id": "FA", "to": SERVER_JID, "type": "get", "xmlns": "w:m"}, [Node("media_conn")]),
        Node("iq", {"id": "FB", "to": Jid("", "g.us"), "type": "set", "xmlns": "w:g2"}, [
            Node("create", {"subject": "x", "key": "k"}, [Node("participant", {"jid": bob})]),
        ]),
        Node("iq", {"id": "FC", "to": SERVER_JID, "type": "set", "xmlns": "w:sync:app:state"}, [
            Node("sync", {}, [Node("collection", {"name": "regular", "version": "0"}, [Node("patch", {}, b"\x0a\x00")])]),
        ]),
        Node("iq", {"id": "FD", "to": SERVER_JID, "type": "set", "xmlns": "md"}, [
            Node("link_code_companion_reg", {"jid": bob, "stage": "companion_hello"}, []),
        ]),
        Node("presence", {"type": "available", "name": "x"}),
        Node("chatstate", {"to": bob}, [Node("composing")]),
        Node("ack", {"class": "receipt", "id": "F3", "to": bob}),
    ]  # fmt: skip


async def test_senseless_stanzas_from_a_device_that_is_logged_in(simulator: Simulator) -> None:
    """Whatever is well-formed is answered or ignored; the device stays connected and can still be spoken to."""
    device = await linked(simulator, ADA)
    bob = simulator.phone(BOB).account.lid_jid
    known = [bob, device.lid, device.jid, simulator.phone(BOB).account.pn_jid, device.lid.account()]
    templates = sensible(device, bob)
    # What comes back is as senseless as what it sends.
    device.acknowledges = False
    for seed in range(1_500):
        fuzz = Fuzz(seed, known)
        node = fuzz.node("") if seed % 5 == 0 else fuzz.bent(fuzz.random.choice(templates))
        device.send(node)
        if seed % 50 == 0:
            # A device may talk itself out of its account (a removal): that is its right.
            with contextlib.suppress(ConnectionResetError):
                await asyncio.wait_for(device.ask("w:p", "get"), SECONDS_MAX)
        if device.closed.is_set():
            assert simulator.world.directory.device(device.jid) is None
            device = await linked(simulator, f"1415556{seed:05}")
    await asyncio.wait_for(device.ask("w:p", "get"), SECONDS_MAX)
    await device.close()
    assert closed_for(simulator) == []


async def test_malformed_nodes_from_a_device_that_is_logged_in(simulator: Simulator) -> None:
    """A frame that is no node ends its connection; the device may come back at once."""
    device = await linked(simulator, ADA)
    templates = [encode(node) for node in sensible(device, simulator.phone(BOB).account.lid_jid)]
    ended = 0
    for seed in range(150):
        fuzz = Fuzz(seed)
        device.send_raw(fuzz.mangled(fuzz.random.choice(templates)))
        asking = asyncio.create_task(device.ask("w:p", "get"))
        await asyncio.wait(
            {asking, asyncio.create_task(device.closed.wait())}, return_when=asyncio.FIRST_COMPLETED, timeout=10
        )
        assert asking.done() or device.closed.is_set()
        if device.closed.is_set():
            ended += 1
            await asyncio.gather(asking, return_exceptions=True)
            if simulator.world.directory.device(device.jid) is None:
                device = await linked(simulator, f"1415557{seed:04}")
            else:
                await device.log_in(0)
    await device.close()
    assert ended > 50
    assert len(closed_for(simulator)) >= ended * 0.9


async def test_what_a_stranger_can_make_the_server_keep_is_bounded(simulator: Simulator) -> None:
    """Announced sizes are not believed before a handshake: the connection ends instead of collecting them."""
    for opening in (
        b"\x82\xff" + (1 << 24).to_bytes(8, "big") + bytes(4),
        mask(HEADER + b"\xff\xff\xff" + bytes(limits.HANDSHAKE_BYTES_MAX - 20)),
    ):
        raw = Raw(simulator)
        await raw.open(3)
        raw.writer.write(opening)
        for _ in range(40):
            if simulator.stats()["connections"]:
                raw.writer.write(mask(bytes(4_000)))
                await asyncio.sleep(0)
        await raw.end()
    assert len(closed_for(simulator)) == 2
    raw = Raw(simulator)
    await raw.open(0)
    raw.writer.write(b"CONNECT " + b"x" * (limits.HTTP_HEAD_BYTES_MAX + 10))
    await raw.end()
    assert "too large" in closed_for(simulator)[-1]


async def test_malformed_control_requests(simulator: Simulator) -> None:
    valid = b'POST /faults HTTP/1.1\r\nContent-Length: 17\r\n\r\n{"kind": "lossy"}'
    for seed in range(80):
        fuzz = Fuzz(seed)
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.control_port)
        writer.write(fuzz.mangled(valid))
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), SECONDS_MAX)
        assert b" 500 " not in answer
        writer.close()
    simulator.faults.clear()
    assert all(one["kind"] in set(Kind) for one in simulator.faults.list())
