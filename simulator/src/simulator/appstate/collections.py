"""The server's side of app state: patches in order, per number and collection, replayed to whoever asks from a version on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator import wire
from simulator.errors import ProtocolError
from simulator.jid import SERVER_JID
from simulator.limits import APP_STATE_PAGE_PATCHES_MAX, APP_STATE_PATCHES_MAX
from simulator.nodes import Node, Value
from simulator.stanzas import query_error

if TYPE_CHECKING:
    from simulator.accounts import Account, Companion, Device
    from simulator.world import World

# whatsmeow appstate/keys.go `WAPatchName`.
NAMES = ("critical_block", "critical_unblock_low", "regular_high", "regular_low", "regular")
CONFLICT, TOO_MANY = 409, 413


@dataclass(slots=True)
class Collections:
    """One number's collections. The version of a patch is its place, from 1."""

    _patches: dict[str, list[bytes]] = field(default_factory=dict)

    def version(self, name: str) -> int:
        return len(self._patches.get(name, ()))

    def since(self, name: str, version: int) -> list[bytes]:
        return self._patches.get(name, [])[version : version + APP_STATE_PAGE_PATCHES_MAX]

    def append(self, name: str, patch: bytes) -> int:
        """Keeps a patch, with its version put in; gives the version."""
        patches = self._patches.setdefault(name, [])
        if len(patches) >= APP_STATE_PATCHES_MAX:
            raise ProtocolError("too_many_patches", "A collection of app state is full.")
        # Protobuf: a message followed by more fields is a message with these fields.
        patches.append(patch + wire.pack((1, wire.pack((1, len(patches) + 1)))))
        return len(patches)


def answer(world: World, device: Companion, query: Node) -> list[Node]:
    """`w:sync:app:state`: patches come in, patches go out."""
    sync = query.child("sync")
    answers = [_collection(world, device, one) for one in sync.all("collection")] if sync else []
    return [Node("sync", {}, answers)]


def _collection(world: World, device: Companion, asked: Node) -> Node:
    name, base = asked.text("name"), asked.text("version", "0")
    collections = device.account.app_state
    attrs: dict[str, Value] = {"name": name}
    if name not in NAMES or not base.isdigit():
        return Node("collection", {**attrs, "type": "error"}, [query_error(400)])
    patch = asked.child("patch")
    if patch is not None:
        if int(base) != collections.version(name):
            attrs["type"] = "error"
            return _page(collections, attrs, int(base), [query_error(CONFLICT)])
        try:
            publish(world, device.account, name, patch.data(), device)
        except ProtocolError:
            return Node("collection", {**attrs, "type": "error"}, [query_error(TOO_MANY)])
        return Node("collection", {**attrs, "version": str(collections.version(name))})
    return _page(collections, attrs, int(base), [])


def _page(collections: Collections, attrs: dict[str, Value], base: int, extra: list[Node]) -> Node:
    name = str(attrs["name"])
    patches = collections.since(name, base)
    attrs["version"] = str(base + len(patches))
    if base + len(patches) < collections.version(name):
        attrs["has_more_patches"] = "true"
    listing = [Node("patches", {}, [Node("patch", {}, patch) for patch in patches])] if patches else []
    return Node("collection", attrs, [*extra, *listing] or None)


def publish(world: World, account: Account, name: str, patch: bytes, sender: Device) -> None:
    """Keeps a patch and tells the account's other devices about it; its phone reads it at once."""
    version = account.app_state.append(name, patch)
    world.log.add("app_state", number=account.number, device=sender.number, collection=name, version=version)
    for device in account.companions.values():
        if device is not sender:
            attrs: dict[str, Value] = {
                "from": SERVER_JID,
                "type": "server_sync",
                "id": world.message_id(),
                "t": world.timestamp(),
            }
            changed = Node("collection", {"name": name, "version": str(version)})
            device.deliver(Node("notification", attrs, [changed]), None)
    if sender is not account.phone:
        account.phone.settings.catch_up(name)
