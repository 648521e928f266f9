"""Carries commands about groups and contacts out as a cell does, on a scripted client, in a process of its own: neonize must not
be in one that forks later."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from neonize.exc import NeonizeError
from neonize.proto.Neonize_pb2 import JID, GroupParticipant, IsOnWhatsAppResponse

from keepline.domain.commands import command_from_map
from keepline_connector.cell.commanding import carry_out
from keepline_connector.cell.people import People
from keepline_connector.cell.store import OwnNumber


def jid(address: str) -> JID:
    user, _, server = address.partition("@")
    return JID(User=user, Device=0, Integrator=0, RawAgent=0, IsEmpty=not user, Server=server)


class Client:
    """Answers calls in their order: `{"error": words}`, or what WhatsApp says of people."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self._answers = answers

    def _next(self) -> dict[str, Any]:
        answer = self._answers.pop(0)
        if "error" in answer:
            raise NeonizeError(answer["error"])
        return answer

    def update_group_participants(self, *_: Any) -> list[GroupParticipant]:
        nobody = jid("")
        return [
            GroupParticipant(
                JID=jid(one["jid"]), LID=nobody, PhoneNumber=jid(one.get("phone", "")), IsAdmin=False, IsSuperAdmin=False,
                DisplayName="", Error=one.get("error", 0),
            )
            for one in self._next()["people"]
        ]  # fmt: skip

    def set_group_name(self, *_: Any) -> None:
        self._next()

    def get_joined_groups(self) -> list[Any]:
        self._next()
        return []

    def is_on_whatsapp(self, *numbers: str) -> list[IsOnWhatsAppResponse]:
        return [
            IsOnWhatsAppResponse(Query=number, JID=jid(to), IsIn=True) for number, to in self._next()["found"].items()
        ]


def known(address: str) -> tuple[str | None, str | None]:
    """The device has met one person only."""
    name = address.partition("@")[0]
    return (
        ("14155550123", "5544")
        if name in ("14155550123", "5544")
        else (name, None)
        if "whatsapp" in address
        else (None, name)
    )


def outcome(kind: str, arguments: dict[str, Any], answers: list[dict[str, Any]]) -> Any:
    client: Any = Client(answers)
    people = People(known, OwnNumber("14155550100", "99887766", 7))
    return vars(carry_out(client, people, command_from_map(kind, arguments)))


if __name__ == "__main__":
    print(json.dumps([outcome(*case) for case in json.load(sys.stdin)]), flush=True)
    os._exit(0)  # The library's threads would wait for ever.
