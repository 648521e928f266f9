"""Bytes to meaning and back: nodes, protobuf, WebSocket, HTTP, Noise."""

from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import websocket, wire
from simulator.errors import ProtocolError, SimulatorError
from simulator.hashes import devices_hash
from simulator.http11 import RequestReader
from simulator.jid import Jid, normal_number, parse_jid
from simulator.nodes import Node, decode, encode
from simulator.noise import HEADER, ClientHandshake, Identity, ServerHandshake
from simulator.probe import mask
from simulator.signal import curve

words = st.sampled_from(
    ["message", "type", "to", "receipt", "read-self", "s.whatsapp.net", "3EB0AB12CD", "12345", "-1.5", "Zoë", "x" * 200]
)
names = words | st.text(min_size=1, max_size=20)
jids = st.builds(
    Jid,
    st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True),
    st.sampled_from(["s.whatsapp.net", "lid"]),
    st.integers(0, 99),
)
attributes = st.dictionaries(names, words | jids, max_size=5)
leaves = st.builds(Node, names, attributes, st.none() | st.binary(max_size=300))
trees = st.recursive(
    leaves, lambda inner: st.builds(Node, names, attributes, st.lists(inner, min_size=1, max_size=4)), max_leaves=12
)


# No deadline per example: the first one reads the dictionary, and machines are shared.
repeated = settings(deadline=None, max_examples=60)


@repeated
@given(trees)
def test_a_node_comes_back_as_it_went(node: Node) -> None:
    assert decode(encode(node)) == node


@repeated
@given(trees)
def test_a_compressed_node_is_read(node: Node) -> None:
    assert decode(b"\x02" + zlib.compress(encode(node)[1:])) == node


@repeated
@given(st.binary(max_size=200))
def test_malformed_nodes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode(data)


def test_addresses_travel_as_address_tokens() -> None:
    assert encode(Node("to", {"jid": Jid("12345", "lid", 3)}))[-8:-5] == bytes((247, 1, 3))
    assert 250 in encode(Node("to", {"jid": Jid("12345", "lid")}))


def test_nesting_and_unpacked_size_are_limited() -> None:
    deep = Node("a")
    for _ in range(100):
        deep = Node("a", {}, [deep])
    with pytest.raises(ProtocolError):
        decode(encode(deep))
    with pytest.raises(ProtocolError):
        decode(b"\x02" + zlib.compress(b"\x00" * (20 << 20)))


@repeated
@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 2**63) | st.binary(max_size=50))))
def test_protobuf_fields_come_back(fields: list[tuple[int, int | bytes]]) -> None:
    parsed = wire.parse(wire.pack(*fields))
    for number, value in dict(fields).items():
        assert (parsed.number(number) if isinstance(value, int) else parsed.blob(number)) == value


@repeated
@given(st.binary(max_size=100))
def test_malformed_protobuf_is_refused(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        wire.parse(data)


@repeated
@given(st.lists(st.binary(max_size=70_000), max_size=4), st.integers(1, 5_000))
def test_websocket_messages_survive_any_cut(payloads: list[bytes], step: int) -> None:
    sent = b"".join(mask(payload) for payload in payloads)
    receiver = websocket.Receiver()
    got = [message for at in range(0, len(sent), step) for message in receiver.feed(sent[at : at + step])]
    assert got == [(websocket.BINARY, payload) for payload in payloads]


def test_websocket_fragments_are_joined_and_bad_frames_refused() -> None:
    receiver = websocket.Receiver()
    first, last = bytearray(mask(b"ab")), bytearray(mask(b"cd"))
    first[0], last[0] = websocket.BINARY, 0x80
    assert receiver.feed(bytes(first + last)) == [(websocket.BINARY, b"abcd")]
    for bad in (websocket.frame(b"unmasked"), b"\xf2\x80\0\0\0\0", b"\x82\xff" + b"\xff" * 8):
        with pytest.raises(ProtocolError):
            websocket.Receiver().feed(bad)


def test_the_accept_key_is_the_one_of_the_rfc() -> None:
    assert websocket.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_http_requests_are_collected_from_pieces() -> None:
    reader = RequestReader()
    raw = b"POST /a%20b?x=1&y= HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}GET /c HTTP/1.1\r\n\r\n"
    requests = [request for byte in raw for request in reader.feed(bytes((byte,)))]
    assert [(one.method, one.path, one.query, one.body) for one in requests] == [
        ("POST", "/a b", {"x": "1", "y": ""}, b"{}"), ("GET", "/c", {}, b""),
    ]  # fmt: skip
    for bad in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"x" * 20_000):
        with pytest.raises(ProtocolError):
            RequestReader().feed(bad)


def test_a_handshake_ends_with_the_same_keys_on_both_sides() -> None:
    root, static = curve.generate(), curve.generate()
    server, client = ServerHandshake(Identity.issue(root)), ClientHandshake(static, root.public)
    last, send, receive = client.finish(server.hello(client.hello()), b"payload")
    opened = server.finish(last)
    assert (opened.client_static, opened.payload) == (static.public, b"payload")
    for text in (b"one", b"two"):
        assert opened.receive.decrypt(send.encrypt(text)) == text
        assert receive.decrypt(opened.send.encrypt(text)) == text


def test_a_handshake_with_another_root_or_a_changed_byte_fails() -> None:
    root = curve.generate()
    server, client = ServerHandshake(Identity.issue(root)), ClientHandshake(curve.generate(), curve.generate().public)
    with pytest.raises(ProtocolError, match="not signed by the root"):
        client.finish(server.hello(client.hello()), b"")
    server, client = ServerHandshake(Identity.issue(root)), ClientHandshake(curve.generate(), root.public)
    last, _, _ = client.finish(server.hello(client.hello()), b"")
    with pytest.raises(ProtocolError):
        server.finish(last[:-1] + bytes((last[-1] ^ 1,)))
    with pytest.raises(ProtocolError):
        ServerHandshake(Identity.issue(root)).hello(b"\x12\x00")
    assert bytes.fromhex("57410603") == HEADER


def test_addresses_and_numbers_are_read() -> None:
    assert parse_jid("14155550100:2@s.whatsapp.net") == Jid("14155550100", "s.whatsapp.net", 2)
    assert str(Jid("1", "lid", 2)) == "1:2@lid" and str(parse_jid("s.whatsapp.net")) == "s.whatsapp.net"
    assert normal_number("+14155550100") == normal_number("14155550100") == "14155550100"
    for bad in ("", "12", "0123456789", "+1 415", "1" * 16, "４１５５５５０１００１"):
        with pytest.raises(SimulatorError):
            normal_number(bad)


def test_the_device_hash_does_not_depend_on_order() -> None:
    devices = [Jid("1", "lid"), Jid("1", "lid", 2), Jid("2", "lid")]
    assert devices_hash(devices) == devices_hash(reversed(devices))
    assert devices_hash(devices).startswith("2:") and devices_hash(devices) != devices_hash(devices[1:])
