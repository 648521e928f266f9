"""A linked device's queue at the server: what it has not acknowledged yet, in order, kept while it is away."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from simulator.jid import Jid
from simulator.limits import DEVICE_QUEUE_STANZAS_MAX
from simulator.nodes import Node


@dataclass(slots=True)
class Item:
    """One stanza for a device."""

    key: Hashable
    node: Node
    # The label under which the offline preview counts it.
    kind: str
    # It was written to a socket before, and not acknowledged there.
    attempts: int = 0
    done: bool = False


def key_of(node: Node, peer: Jid | None, tag: str) -> Hashable:
    """What a stanza and its acknowledgement have in common; `peer` is `from` of the one and `to` of the other."""
    kind = "" if tag == "message" else node.text("type")
    return tag, node.text("id"), peer, kind, node.jid("participant")


class DeviceQueue:
    """Stanzas wait here until acknowledged; a connection is attached while the device is there and ready."""

    def __init__(self, on_overflow: Callable[[Item], None]) -> None:
        self._by_key: dict[Hashable, deque[Item]] = {}
        self._order: deque[Item] = deque()
        self._unsent: deque[Item] = deque()
        self._send: Callable[[Item], bool] | None = None
        self._on_overflow = on_overflow
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def push(self, node: Node) -> Item:
        item = Item(key_of(node, node.jid("from"), node.tag), node, node.tag)
        self._by_key.setdefault(item.key, deque()).append(item)
        self._order.append(item)
        self._waiting += 1
        if self._waiting > DEVICE_QUEUE_STANZAS_MAX:
            self._overflow()
        if self._send:
            self._unsent.append(item)
            self.pump()
        return item

    def _overflow(self) -> None:
        for item in self._order:
            if not item.done:
                self._finish(item)
                self._on_overflow(item)
                break

    def acknowledge(self, key: Hashable) -> Item | None:
        """Takes the oldest stanza that an acknowledgement is for."""
        items = self._by_key.get(key)
        if not items:
            return None
        item = items[0]
        self._finish(item)
        return item

    def _finish(self, item: Item) -> None:
        item.done = True
        self._waiting -= 1
        items = self._by_key[item.key]
        items.remove(item)
        if not items:
            del self._by_key[item.key]
        while self._order and self._order[0].done:
            self._order.popleft()

    def waiting(self) -> list[Item]:
        return [item for item in self._order if not item.done]

    def attach(self, send: Callable[[Item], bool]) -> None:
        """From now on stanzas are written with `send`, beginning with everything that waits; False means "not now"."""
        self._send = send
        self._unsent = deque(self.waiting())
        self.pump()

    def detach(self) -> None:
        self._send = None
        self._unsent.clear()

    def pump(self) -> None:
        """Writes what is unsent as far as the socket takes it."""
        while self._unsent and self._send:
            item = self._unsent[0]
            if not item.done:
                if not self._send(item):
                    return
                item.attempts += 1
            if self._unsent:
                self._unsent.popleft()
