"""WhatsApp's binary nodes: an XML-like tree in a token-compressed encoding.

The encoding is the one of whatsmeow's `binary` package (token.go, encoder.go, decoder.go); the dictionary is read from the
installed library (`simulator.tokens`). A frame's first byte holds flags: 0 plain, 2 zlib.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache

from simulator.errors import ProtocolError
from simulator.jid import LID_SERVER, PN_SERVER, Jid
from simulator.limits import NODE_DEPTH_MAX, NODE_UNPACKED_BYTES_MAX
from simulator.tokens import load_tokens

LIST_EMPTY, DICTIONARY_0 = 0, 236
INTEROP_JID, FB_JID, AD_JID, LIST_8, LIST_16, JID_PAIR = 245, 246, 247, 248, 249, 250
HEX_8, BINARY_8, BINARY_20, BINARY_32, NIBBLE_8 = 251, 252, 253, 254, 255
PACKED_CHARACTERS_MAX = 127

# The first byte of a device JID says which kind of user it is (whatsmeow types/jid.go).
_DOMAIN_SERVERS = {0: PN_SERVER, 1: LID_SERVER, 128: "hosted", 129: "hosted.lid"}
_SERVER_DOMAINS = {server: domain for domain, server in _DOMAIN_SERVERS.items()}

# Encodings of short strings and addresses that are kept; longer strings than this go out as they are.
_CACHED_MAX, _CACHED_CHARACTERS_MAX = 8_192, PACKED_CHARACTERS_MAX
_NIBBLE = re.compile(r"[0-9.-]{1,127}")
_HEX = re.compile(r"[0-9A-F]{1,127}")
_TO_NIBBLE = str.maketrans("-.", "AB")
_FROM_NIBBLE = str.maketrans("ab", "-.")

Value = str | Jid
Content = bytes | str | list["Node"] | None


class Node:
    """One element: a tag, attributes (text or addresses), and bytes, text, children or nothing inside."""

    __slots__ = ("attrs", "content", "tag")

    def __init__(self, tag: str, attrs: Mapping[str, Value] | None = None, content: Content = None) -> None:
        self.tag = tag
        self.attrs: dict[str, Value] = attrs if isinstance(attrs, dict) else dict(attrs or ())
        self.content = content

    def __repr__(self) -> str:
        attrs = "".join(f' {key}="{value}"' for key, value in self.attrs.items())
        if isinstance(self.content, list):
            return f"<{self.tag}{attrs}>{''.join(map(repr, self.content))}</{self.tag}>"
        inside = "" if self.content is None else f"({len(self.content)} bytes)"
        return f"<{self.tag}{attrs}{'>' + inside + '</' + self.tag if inside else '/'}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return (self.tag, self.attrs, self.content) == (other.tag, other.attrs, other.content)

    __hash__ = None  # type: ignore[assignment]

    def children(self) -> list[Node]:
        return self.content if isinstance(self.content, list) else []

    def child(self, *path: str) -> Node | None:
        """The first child with a tag, or its child, and so on."""
        node: Node | None = self
        for tag in path:
            node = next((child for child in node.children() if child.tag == tag), None) if node else None
        return node

    def all(self, tag: str) -> Iterator[Node]:
        return (child for child in self.children() if child.tag == tag)

    def text(self, key: str, default: str = "") -> str:
        value = self.attrs.get(key)
        return default if value is None else str(value)

    def jid(self, key: str) -> Jid | None:
        value = self.attrs.get(key)
        return value if isinstance(value, Jid) else None

    def data(self) -> bytes:
        """The content as bytes; short contents may arrive as tokens or packed digits."""
        if isinstance(self.content, bytes):
            return self.content
        return self.content.encode() if isinstance(self.content, str) else b""


# --- encoding ---------------------------------------------------------------------------------------------------------

_encoded_tokens: dict[str, bytes] = {}


def _token_encodings() -> dict[str, bytes]:
    if not _encoded_tokens:
        tokens = load_tokens()
        for table, names in enumerate(tokens.double):
            _encoded_tokens.update({name: bytes((DICTIONARY_0 + table, i)) for i, name in enumerate(names)})
        _encoded_tokens.update({name: bytes((i,)) for i, name in enumerate(tokens.single) if name})
    return _encoded_tokens


def _packed(kind: int, digits: str) -> bytes:
    size = len(digits)
    if size & 1:
        return bytes((kind, (size + 1) // 2 | 0x80)) + bytes.fromhex(digits + "F")
    return bytes((kind, size // 2)) + bytes.fromhex(digits)


def _raw(data: bytes) -> bytes:
    size = len(data)
    if size < 256:
        return bytes((BINARY_8, size)) + data
    if size < 1 << 20:
        return bytes((BINARY_20,)) + size.to_bytes(3, "big") + data
    return bytes((BINARY_32,)) + size.to_bytes(4, "big") + data


def _string(text: str) -> bytes:
    known = _token_encodings().get(text)
    if known is not None:
        return known
    return _short_string(text) if len(text) <= _CACHED_CHARACTERS_MAX else _raw(text.encode())


@lru_cache(_CACHED_MAX)
def _short_string(text: str) -> bytes:
    """Numbers and ids come again and again, in several stanzas each."""
    if _NIBBLE.fullmatch(text):
        return _packed(NIBBLE_8, text.translate(_TO_NIBBLE))
    if _HEX.fullmatch(text):
        return _packed(HEX_8, text)
    return _raw(text.encode())


@lru_cache(_CACHED_MAX)
def _jid(jid: Jid) -> bytes:
    domain = _SERVER_DOMAINS.get(jid.server)
    if domain is not None and (jid.device or domain >= 128):
        return bytes((AD_JID, domain, jid.device)) + _string(jid.user)
    user = _string(jid.user) if jid.user else b"\x00"
    return bytes((JID_PAIR,)) + user + _string(jid.server)


def _list_start(size: int) -> bytes:
    if size == 0:
        return b"\x00"
    return bytes((LIST_8, size)) if size < 256 else bytes((LIST_16,)) + size.to_bytes(2, "big")


def _append(out: bytearray, node: Node) -> None:
    attrs, content = node.attrs, node.content
    out += _list_start(1 + 2 * len(attrs) + (content is not None))
    out += _string(node.tag)
    for key, value in attrs.items():
        out += _string(key)
        out += _jid(value) if isinstance(value, Jid) else _string(value)
    if content is None:
        return
    if isinstance(content, bytes):
        out += _raw(content)
    elif isinstance(content, str):
        out += _string(content)
    else:
        out += _list_start(len(content))
        for child in content:
            _append(out, child)


def encode(node: Node) -> bytes:
    """The bytes of a node, with the flag byte."""
    out = bytearray(1)
    _append(out, node)
    return bytes(out)


# --- decoding ---------------------------------------------------------------------------------------------------------


class _Decoder:
    __slots__ = ("at", "data", "double", "single")

    def __init__(self, data: bytes) -> None:
        tokens = load_tokens()
        self.data = data
        self.at = 0
        self.single = tokens.single
        self.double = tokens.double

    def byte(self) -> int:
        """Past the end it raises IndexError, which `decode` understands."""
        value = self.data[self.at]
        self.at += 1
        return value

    def number(self, size: int) -> int:
        start = self.at
        self.at = start + size
        raw = self.data[start : start + size]
        if len(raw) != size:
            raise ProtocolError("bad_node", "A node ends too early.")
        return int.from_bytes(raw, "big")

    def take(self, size: int) -> bytes:
        start = self.at
        self.at = end = start + size
        if end > len(self.data):
            raise ProtocolError("bad_node", "A node ends too early.")
        return self.data[start:end]

    def packed(self, kind: int) -> str:
        size = self.byte()
        text = self.take(size & 0x7F).hex()
        if size & 0x80:
            text = text[:-1]
        if kind == HEX_8:
            return text.upper()
        if text.isdecimal():
            return text
        text = text.translate(_FROM_NIBBLE)
        if not _NIBBLE.fullmatch(text) and text:
            raise ProtocolError("bad_node", "A packed number holds something that is not a digit.")
        return text

    def string(self) -> str:
        tag = self.data[self.at]
        if 0 < tag < DICTIONARY_0:
            self.at += 1
            return self.single[tag]
        value = self.value(tag)
        if isinstance(value, str):
            return value
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        raise ProtocolError("bad_node", "A name was expected.")

    def value(self, tag: int) -> bytes | Value | None:
        """Anything but a list of nodes; `at` stands on the tag byte."""
        self.at += 1
        if tag < DICTIONARY_0:
            return self.single[tag] if tag else None
        if tag == BINARY_8:
            return self.take(self.byte())
        if tag in (HEX_8, NIBBLE_8):
            return self.packed(tag)
        if tag < DICTIONARY_0 + 4:
            table, index = self.double[tag - DICTIONARY_0], self.byte()
            if index >= len(table):
                raise ProtocolError("bad_node", "A token is not in its table.")
            return table[index]
        if tag == BINARY_20:
            return self.take(self.number(3) & 0xFFFFF)
        if tag == BINARY_32:
            return self.take(self.number(4))
        return self.address(tag)

    def address(self, tag: int) -> Jid:
        if tag == AD_JID:
            domain, device = self.byte(), self.byte()
            return Jid(self.string(), _DOMAIN_SERVERS.get(domain, PN_SERVER), device)
        if tag == JID_PAIR:
            user = ""
            if self.data[self.at]:
                user = self.string()
            else:
                self.at += 1
            return Jid(user, self.string())
        if tag == FB_JID:
            user, device = self.string(), self.number(2)
            return Jid(user, self.string(), device)
        if tag == INTEROP_JID:
            user, device, _ = self.string(), self.number(2), self.number(2)
            return Jid(user, self.string(), device)
        raise ProtocolError("bad_node", f"Tag byte {tag} is not in use.")

    def list_size(self) -> int:
        tag = self.data[self.at]
        self.at += 1
        if tag == LIST_8:
            return self.byte()
        if tag == LIST_16:
            return self.number(2)
        if tag == LIST_EMPTY:
            return 0
        raise ProtocolError("bad_node", "A list was expected.")

    def node(self, depth: int) -> Node:
        if depth > NODE_DEPTH_MAX:
            raise ProtocolError("bad_node", "A node is nested too deeply.")
        size = self.list_size()
        if size == 0:
            raise ProtocolError("bad_node", "A node has no tag.")
        node = Node(self.string())
        if not node.tag:
            raise ProtocolError("bad_node", "A node has an empty tag.")
        attrs = node.attrs
        for _ in range((size - 1) >> 1):
            key = self.string()
            value = self.value(self.data[self.at])
            attrs[key] = (
                value.decode("utf-8", "replace") if isinstance(value, bytes) else value if value is not None else ""
            )
        if not size & 1:
            tag = self.data[self.at]
            if tag in (LIST_8, LIST_16):
                node.content = [self.node(depth + 1) for _ in range(self.list_size())]
            else:
                content = self.value(tag)
                node.content = str(content) if isinstance(content, Jid) else content
        return node


def decode(data: bytes) -> Node:
    """The node in a frame (with its flag byte); raises `ProtocolError` on anything malformed."""
    if not data:
        raise ProtocolError("bad_node", "A frame is empty.")
    body = data[1:]
    if data[0] & 2:
        unpacker = zlib.decompressobj()
        try:
            body = unpacker.decompress(body, NODE_UNPACKED_BYTES_MAX)
        except zlib.error as problem:
            raise ProtocolError("bad_node", "A compressed node does not unpack.") from problem
        if unpacker.unconsumed_tail:
            raise ProtocolError("bad_node", "A compressed node is too large.")
    decoder = _Decoder(body)
    try:
        node = decoder.node(0)
    except IndexError:
        raise ProtocolError("bad_node", "A node ends too early.") from None
    if decoder.at != len(body):
        raise ProtocolError("bad_node", "Bytes follow the end of a node.")
    return node
