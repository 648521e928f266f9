"""Retry receipts: a device that could not decrypt a message asks its sender to encrypt it again (whatsmeow retry.go)."""

from __future__ import annotations

from typing import NamedTuple

from simulator.limits import RETRY_COUNT_MAX
from simulator.nodes import Node, Value
from simulator.signal.curve import DJB_TYPE
from simulator.signal.store import SignalStore
from simulator.signal.x3dh import Bundle


class Asked(NamedTuple):
    message_id: str
    # Which of its requests this is, from 1.
    attempt: int
    # New keys of the device that asks; they come from its second request on.
    bundle: Bundle | None


def key_node(tag: str, key_id: int, key: bytes, signature: bytes | None = None) -> Node:
    """A prekey as nodes carry it: the id in 3 bytes, the key without its type byte."""
    parts = [Node("id", {}, key_id.to_bytes(3, "big")), Node("value", {}, key)]
    if signature is not None:
        parts.append(Node("signature", {}, signature))
    return Node(tag, {}, parts)


def bundle_nodes(bundle: Bundle) -> list[Node]:
    """The keys of a device, as an answer to a key fetch and as part of a retry receipt."""
    nodes = [Node("type", {}, DJB_TYPE), Node("identity", {}, bundle.identity)]
    if bundle.prekey_id is not None and bundle.prekey is not None:
        nodes.append(key_node("key", bundle.prekey_id, bundle.prekey))
    nodes.append(key_node("skey", bundle.signed_prekey_id, bundle.signed_prekey, bundle.signature))
    return nodes


def registration_node(registration_id: int) -> Node:
    return Node("registration", {}, registration_id.to_bytes(4, "big"))


def parse_key(node: Node | None) -> tuple[int, bytes, bytes] | None:
    """The id, key and signature in a `key` or `skey` node; None if it is malformed."""
    key_id, value = (node.child("id"), node.child("value")) if node else (None, None)
    if node is None or key_id is None or value is None or len(value.data()) != 32:
        return None
    signature = node.child("signature")
    return int.from_bytes(key_id.data(), "big"), value.data(), signature.data() if signature else b""


def parse_bundle(registration: Node | None, keys: Node | None) -> Bundle | None:
    if registration is None or keys is None:
        return None
    identity, signed, one_time = keys.child("identity"), parse_key(keys.child("skey")), parse_key(keys.child("key"))
    if identity is None or signed is None or len(identity.data()) != 32:
        return None
    return Bundle(
        int.from_bytes(registration.data(), "big"), identity.data(), signed[0], signed[1], signed[2],
        one_time[0] if one_time else None, one_time[1] if one_time else None,
    )  # fmt: skip


def parse(node: Node) -> Asked:
    retry = node.child("retry")
    count = retry.text("count", "1") if retry else "1"
    message_id = retry.text("id") if retry else ""
    bundle = parse_bundle(node.child("registration"), node.child("keys"))
    return Asked(message_id or node.text("id"), int(count) if count.isdigit() else 1, bundle)


def request(store: SignalStore, message: Node, count: int, timestamp: str) -> Node | None:
    """A phone's request to send a message again; None once it has asked often enough."""
    if count >= RETRY_COUNT_MAX:
        return None
    attrs: dict[str, Value] = {"id": message.attrs["id"], "to": message.attrs["from"], "type": "retry"}
    for key in ("recipient", "participant"):
        if key in message.attrs:
            attrs[key] = message.attrs[key]
    retry = Node("retry", {"count": str(count), "id": message.text("id"), "t": message.text("t", timestamp), "v": "1"})
    parts = [retry, registration_node(store.registration_id)]
    if count > 1:
        parts.append(Node("keys", {}, bundle_nodes(store.take_bundle())))
    return Node("receipt", attrs, parts)
