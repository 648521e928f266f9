"""Composes and reads messages as a cell does, in a process of its own: neonize must not be in one that forks later."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message

from keepline.domain.content import maps
from keepline.domain.content.bodies import Vote
from keepline_connector.cell.compose import compose
from keepline_connector.cell.reading import Reader, Surroundings
from keepline_connector.cell.store import OwnNumber
from keepline_connector.cell.voting import seal

OWN = OwnNumber("14155550100", "99887766", 7)
FRIEND = "14155550123"


class Store:
    """What a device's store knows."""

    def own_number(self) -> OwnNumber:
        return OWN

    def secrets_of(self, wa_message_id: str) -> list[tuple[str, bytes]]:
        return [("5544@lid", b"f" * 32), ("99887766:7@lid", b"t" * 32)]

    def both_of(self, address: str) -> tuple[str | None, str | None]:
        known = [(FRIEND, "5544"), (OWN.phone, OWN.lid)]
        name = address.partition("@")[0]
        return next((both for both in known if name in both), (None, None))


def read(message: Message, *, from_me: bool, by_admin: bool = False) -> Any:
    store: Any = Store()
    who = (OWN.phone, OWN.lid) if from_me else (FRIEND, "5544")
    found = Reader(store, Surroundings(f"{FRIEND}@s.whatsapp.net", from_me, *who, "lid", by_admin)).read(message)
    return vars(found) if found is not None else None


def composed(kind: str, content: dict[str, Any]) -> Any:
    """A content as our other device would read its copy, after the way over the wire; with the secret that it has."""
    tag = b"x" * 32
    said, store = maps.from_map(kind, content), Store()
    sealed = seal(said.body, OWN, store, b"n" * 12) if isinstance(said.body, Vote) else None  # type: ignore[arg-type]
    message = compose(said, OWN, tag, 1_000, sealed)
    assert message.messageContextInfo.messageSecret == tag
    return read(Message.FromString(message.SerializeToString()), from_me=True)


def crafted(build: dict[str, Any]) -> Any:
    """A message from a phone, by protobuf's own JSON."""
    from google.protobuf import json_format

    return read(json_format.ParseDict(build, Message()), from_me=False)


_DO: dict[str, Callable[..., Any]] = {"composed": composed, "crafted": crafted}

if __name__ == "__main__":
    print(json.dumps([_DO[name](*arguments) for name, *arguments in json.load(sys.stdin)]), flush=True)
    os._exit(0)  # The library's threads would wait for ever.
