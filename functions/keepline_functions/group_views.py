"""Groups and contacts as clients see them, of what a device told. What is not named here is not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keepline.records.contacts import CheckedContact
from keepline_functions.views import rfc3339

_REFUSALS = {
    "needs_invite": "They let only their contacts add them to groups: send them the invite link.",
    "not_on_whatsapp": "WhatsApp knows nobody of this number.",
    "left_lately": "They left the group a short while ago: send them the invite link.",
    "already_member": "They are in the group already.",
    "not_a_member": "They are not in the group.",
    "not_named": "WhatsApp's answer does not name them, so nothing was done.",
    "not_tried": "It was not tried, because what was asked before failed.",
    "outcome_unknown": "WhatsApp's answer did not come; look at the group's members.",
}


def group_list_json(result: Mapping[str, Any]) -> dict[str, Any]:
    """The groups of a number."""
    listed = [{name: group[name] for name in ("chat", "subject", "members", "admin")} for group in result["groups"]]
    return {"groups": listed, "total": result["total"]}


def group_json(result: Mapping[str, Any]) -> dict[str, Any]:
    """A group with its members; of one that was made now, also who could not be added."""
    shown = {name: result[name] for name in ("chat", "subject", "announcement", "locked")}
    members = [{**_person_json(member), "admin": member["admin"]} for member in result["members"]]
    owner = result["owner"]
    return {**shown, "owner": _person_json(owner) if owner is not None else None, "members": members}


def changes_json(changes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was done with members."""
    return [{**_person_json(one), "action": one["action"]} for one in changes]


def refused_json(changes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was not done with members, and why."""
    return [
        {
            **_person_json(one),
            "action": one["action"],
            "error": {"code": one["error"], "message": _sentence(one["error"])},
        }
        for one in changes
    ]


def checked_json(asked: str, contact: CheckedContact) -> dict[str, Any]:
    """Whether somebody is on WhatsApp."""
    return {
        "asked": asked,
        "phone": contact.phone,
        "lid": contact.lid,
        "on_whatsapp": contact.on_whatsapp,
        "business_name": contact.business_name,
        "checked_at": rfc3339(contact.checked_at),
    }


def contact_json(result: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody shows of themselves."""
    picture = result["picture"]
    return {
        **_person_json(result),
        "about": result["about"],
        "business_name": result["business_name"],
        "picture": {"id": picture["id"], "url": picture["url"]} if picture is not None else None,
        "picture_hidden": result["picture_hidden"],
    }


def _person_json(person: Mapping[str, Any]) -> dict[str, Any]:
    return {"phone": person["phone"], "lid": person["lid"]}


def _sentence(code: str) -> str:
    return _REFUSALS.get(code, f"WhatsApp refused it ({code.removeprefix('wa_')}).")
