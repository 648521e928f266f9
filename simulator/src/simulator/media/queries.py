"""`w:m`: where clients upload and download, and with which token (whatsmeow mediaconn.go)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.accounts import Companion
from simulator.media.store import AUTH_TTL_SECONDS, CONNECTION_TTL_SECONDS, MEDIA_HOST
from simulator.nodes import Node

if TYPE_CHECKING:
    from simulator.world import World


def answer(world: World, device: Companion, query: Node) -> list[Node]:
    attrs = {
        "auth": world.media.auth_for(device.account.number), "ttl": str(CONNECTION_TTL_SECONDS),
        "auth_ttl": str(AUTH_TTL_SECONDS), "max_buckets": "12",
    }  # fmt: skip
    return [Node("media_conn", attrs, [Node("host", {"hostname": MEDIA_HOST, "type": "primary"})])]
