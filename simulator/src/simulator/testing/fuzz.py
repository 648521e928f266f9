"""Malformed input from a seed: bytes that are almost right, and nodes that are well-formed but make no sense."""

from __future__ import annotations

import random
from collections.abc import Sequence

from simulator.jid import Jid
from simulator.nodes import Node, Value

_TAGS = (
    "message", "receipt", "iq", "ack", "notification", "ib", "presence", "chatstate", "call", "enc", "participants", "to",
    "list", "item", "user", "devices", "device-list", "key", "skey", "count", "retry", "keys", "registration", "usync",
    "query", "devices", "device", "error", "edge_routing", "offline_preview", "offline", "dirty", "add", "remove", "update",
    "picture", "create", "media", "plaintext", "meta", "unavailable", "status", "x", "identity", "link_code_companion_reg",
)  # fmt: skip
_ATTRIBUTES = (
    "id", "from", "to", "type", "t", "participant", "recipient", "class", "xmlns", "count", "code", "v", "jid", "lid",
    "sender_lid", "sender_pn", "notify", "offline", "edit", "category", "addressing_mode", "phash", "error", "value",
    "peer_recipient_pn", "verified_name", "stage", "host", "reason",
)  # fmt: skip
_WORDS = (
    "", "0", "1", "-1", "99999999999999999999", "get", "set", "result", "error", "text", "media", "msg", "pkmsg", "skmsg",
    "read", "retry", "sender", "encrypt", "usync", "w:p", "md", "account_sync", "devices", "w:gp2", "server_sync", "privacy",
    "mediaretry", "picture", "contacts", "link_code_companion_reg", "passive", "w:sync:app:state", "w:m", "available",
    "composing", "not a number", "\u0000", "x" * 3_000,
)  # fmt: skip
_NODE_DEPTH, _NODE_WIDTH, _ATTRIBUTES_MOST = 4, 4, 6


class Fuzz:
    """A seed's sequence of malformed things. `jids` are addresses that exist, so that some of it goes deep."""

    def __init__(self, seed: int, jids: Sequence[Jid] = ()) -> None:
        self.random = random.Random(seed)
        self._jids = [
            *jids,
            Jid("", "s.whatsapp.net"),
            Jid("1", "lid", 3),
            Jid("x", "g.us"),
            Jid("", ""),
            Jid("2", "x.y"),
        ]

    def data(self, most: int = 200) -> bytes:
        return self.random.randbytes(self.random.randrange(most))

    def mangled(self, data: bytes) -> bytes:
        """Something close to `data`: bits flipped, cut, grown, repeated; rarely something else altogether."""
        dice, found = self.random, bytearray(data)
        if dice.random() < 0.1:
            return self.data()
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(found)) if found else 0
            action = dice.randrange(5)
            if action == 0 and found:
                found[at] ^= 1 << dice.randrange(8)
            elif action == 1 and found:
                found[at] = dice.choice((0, 1, 0x7F, 0x80, 0xF7, 0xF8, 0xF9, 0xFA, 0xFC, 0xFE, 0xFF))
            elif action == 2:
                del found[at:]
            elif action == 3:
                found[at:at] = self.data(20)
            else:
                found[at:at] = found[at : at + dice.randrange(40)]
        return bytes(found)

    def value(self) -> Value:
        return self.random.choice(self._jids) if self.random.random() < 0.5 else self.random.choice(_WORDS)

    def node(self, tag: str = "", depth: int = 0) -> Node:
        """A well-formed node without sense."""
        dice = self.random
        attrs = {dice.choice(_ATTRIBUTES): self.value() for _ in range(dice.randrange(_ATTRIBUTES_MOST))}
        content = dice.randrange(4)
        if content == 0 or depth >= _NODE_DEPTH:
            return Node(tag or dice.choice(_TAGS), attrs, None if dice.random() < 0.3 else self.data())
        if content == 1:
            return Node(tag or dice.choice(_TAGS), attrs)
        children = [self.node(depth=depth + 1) for _ in range(dice.randrange(_NODE_WIDTH))]
        return Node(tag or dice.choice(_TAGS), attrs, children)

    def bent(self, node: Node) -> Node:
        """A sensible node with something missing, doubled or replaced, somewhere in it."""
        dice = self.random
        attrs = dict(node.attrs)
        content = node.content
        action = dice.randrange(6)
        if action == 0 and attrs:
            del attrs[dice.choice(list(attrs))]
        elif action == 1 and attrs:
            attrs[dice.choice(list(attrs))] = self.value()
        elif action == 2:
            attrs[dice.choice(_ATTRIBUTES)] = self.value()
        elif action == 3:
            content = dice.choice((None, self.data(), [self.node(depth=2)], self.mangled(node.data())))
        elif isinstance(content, list) and content:
            at = dice.randrange(len(content))
            content = list(content)
            if action == 4:
                content[at : at + 1] = dice.choice(([], [content[at]] * 3))
            else:
                content[at] = self.bent(content[at])
        elif isinstance(content, bytes):
            content = self.mangled(content)
        return Node(node.tag, attrs, content)
