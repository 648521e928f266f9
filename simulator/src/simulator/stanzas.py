"""What all message stanzas have in common, whoever they are for."""

from __future__ import annotations

from simulator.limits import RECEIPT_IDS_MAX
from simulator.nodes import Node

# Error codes of message acks: a malformed stanza, someone who may not write there, a recipient that does not exist.
BAD_MESSAGE, NOT_ALLOWED, NO_RECIPIENT = 400, 403, 404
# Children and attributes of a message that every recipient gets.
SHARED_CHILDREN = ("meta", "biz", "bot", "reporting")
SHARED_ATTRIBUTES = ("edit", "category", "push_priority")

# What info query errors say; clients compare code and text (whatsmeow errors.go `IQError`).
ERROR_TEXTS = {
    400: "bad-request", 401: "not-authorized", 403: "forbidden", 404: "item-not-found", 405: "not-allowed",
    406: "not-acceptable", 409: "conflict", 410: "gone", 413: "request-entity-too-large", 419: "resource-limit",
    423: "locked", 429: "rate-overlimit", 500: "internal-server-error", 501: "feature-not-implemented",
    503: "service-unavailable",
}  # fmt: skip


class Refused(Exception):
    """A message is not taken; the ack says `error`."""

    def __init__(self, error: int, why: str) -> None:
        super().__init__(why)
        self.error = error
        self.why = why


def is_sealed(node: Node) -> bool:
    return isinstance(node.content, bytes) and node.attrs.get("type") in ("msg", "pkmsg") and node.attrs.get("v") == "2"


def query_error(code: int) -> Node:
    """`<error>` for the answer to an info query."""
    return Node("error", {"code": str(code), "text": ERROR_TEXTS.get(code, "error")})


def receipt_ids(node: Node) -> list[str]:
    """The message ids of a receipt: its own and those in its list."""
    ids = [node.text("id")]
    listing = node.child("list")
    if listing:
        ids.extend(item.text("id") for item in listing.children()[: RECEIPT_IDS_MAX - 1])
    return ids
