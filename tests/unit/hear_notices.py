"""Takes events of groups and calls as a cell does, in a process of its own: neonize must not be in one that forks later."""

from __future__ import annotations

import json
import sys
from typing import Any

from google.protobuf import json_format
from neonize import events

from keepline_connector import frames
from keepline_connector.cell import notices
from keepline_connector.cell.store import OwnNumber

GROUP = {"User": "120363000000000000", "Server": "g.us"}
BEA = {"User": "5544", "Server": "lid"}
NOBODY = {"User": "", "Server": ""}
PEOPLE = {"5544": "14155550123", "99887766": "14155550100"}
NOON = 1772366400


class Store:
    """What a device's store has learned."""

    def __init__(self, people: dict[str, str]) -> None:
        self._people = people

    def own_number(self) -> OwnNumber:
        return OwnNumber("14155550100", "99887766", 7)

    def phone_of_lid(self, lid: str) -> str | None:
        return self._people.get(lid)

    def lid_of_phone(self, phone: str) -> str | None:
        return next((lid for lid, one in self._people.items() if one == phone), None)


def _event(scene: dict[str, Any]) -> Any:
    kind, tag = scene.pop("event"), scene.pop("Tag", "audio")
    call = {"timestamp": NOON, "callCreator": BEA, "callCreatorAlt": NOBODY, "callID": "CALL1", "from": BEA}
    fields: dict[str, Any]
    match kind:
        case "GroupInfoEv":
            fields = {"JID": GROUP, "Sender": BEA, "Timestamp": NOON, "ParticipantVersionID": "v1", **scene}
        case "JoinedGroupEv":
            group = {"JID": GROUP, "GroupName": {"Name": "Walks"}, "ParticipantVersionID": "v1"}
            fields = {"CreateKey": "k", "Sender": BEA, "GroupInfo": group}
        case "CallOfferEv":
            fields = {"basicCallMeta": call, "data": {"Tag": "offer", "Nodes": [{"Tag": "audio"}, {"Tag": tag}]}}
        case _:
            data = {"Tag": "offer_notice", "Attrs": [{"name": "group-jid", "jid": GROUP}]}
            fields = {
                "basicCallMeta": {**call, "callID": "CALL2"},
                "media": "audio",
                "type": "group",
                "data": data,
            }
    return json_format.ParseDict(fields, getattr(events, kind)())


def _heard(scenes: list[dict[str, Any]], people: dict[str, str]) -> list[list[dict[str, Any]]]:
    store: Any = Store(people)
    made = [_event(dict(scene)) for scene in scenes]
    return [[frames.event_to_json(one) for one in notices.TRANSLATIONS[type(event)](event, store)] for event in made]


if __name__ == "__main__":
    given = json.load(sys.stdin)
    json.dump({"knows": _heard(given, PEOPLE), "knows_nobody": _heard(given, {})}, sys.stdout)
