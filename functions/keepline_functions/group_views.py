"""Groups and contacts as clients see them, of what a device told. What is not named here is not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keepline.records.contacts import CheckedContact
from keepline_functions.group_answers import (
    ChangedMemberJson,
    ChangedMembersJson,
    CheckedContactJson,
    ContactJson,
    GroupJson,
    GroupsJson,
    ListedGroupJson,
    MadeGroupJson,
    RefusedMemberJson,
)
from keepline_functions.message_answers import PersonJson
from keepline_functions.views import rfc3339

# Why something was not done with a member, for people. A code that is not here is `wa_` and a number of WhatsApp's.
REFUSALS = {
    "needs_invite": "They let only their contacts add them to groups: send them the invite link.",
    "not_on_whatsapp": "WhatsApp knows nobody of this number.",
    "left_lately": "They left the group a short while ago: send them the invite link.",
    "already_member": "They are in the group already.",
    "not_a_member": "They are not in the group.",
    "not_named": "WhatsApp's answer does not name them, so nothing was done.",
    "not_tried": "It was not tried, because what was asked before failed.",
    "outcome_unknown": "WhatsApp's answer did not come; look at the group's members.",
}


def group_list_json(result: Mapping[str, Any]) -> GroupsJson:
    """The groups of a number."""
    return {"groups": [_listed_json(group) for group in result["groups"]], "total": result["total"]}


def group_json(result: Mapping[str, Any]) -> GroupJson:
    """A group with its members."""
    owner = result["owner"]
    return {
        "chat": result["chat"],
        "subject": result["subject"],
        "announcement": result["announcement"],
        "locked": result["locked"],
        "owner": _person_json(owner) if owner is not None else None,
        "members": [{**_person_json(member), "admin": member["admin"]} for member in result["members"]],
    }


def made_group_json(result: Mapping[str, Any]) -> MadeGroupJson:
    """A group that was made now, and who could not be added."""
    return {**group_json(result), "refused": _refused_json(result["refused"])}


def changed_members_json(result: Mapping[str, Any]) -> ChangedMembersJson:
    """What was done with members, and what was not, and why."""
    changed: list[ChangedMemberJson] = [{**_person_json(one), "action": one["action"]} for one in result["changed"]]
    return {"changed": changed, "refused": _refused_json(result["refused"])}


def checked_json(asked: str, contact: CheckedContact) -> CheckedContactJson:
    """Whether somebody is on WhatsApp."""
    return {
        "asked": asked,
        "phone": contact.phone,
        "lid": contact.lid,
        "on_whatsapp": contact.on_whatsapp,
        "business_name": contact.business_name,
        "checked_at": rfc3339(contact.checked_at),
    }


def contact_json(result: Mapping[str, Any]) -> ContactJson:
    """What somebody shows of themselves."""
    picture = result["picture"]
    return {
        **_person_json(result),
        "about": result["about"],
        "business_name": result["business_name"],
        "picture": {"id": picture["id"], "url": picture["url"]} if picture is not None else None,
        "picture_hidden": result["picture_hidden"],
    }


def _listed_json(group: Mapping[str, Any]) -> ListedGroupJson:
    return {
        "chat": group["chat"],
        "subject": group["subject"],
        "members": group["members"],
        "admin": group["admin"],
    }


def _refused_json(changes: Sequence[Mapping[str, Any]]) -> list[RefusedMemberJson]:
    return [
        {
            **_person_json(one),
            "action": one["action"],
            "error": {"code": one["error"], "message": _sentence(one["error"])},
        }
        for one in changes
    ]


def _person_json(person: Mapping[str, Any]) -> PersonJson:
    return {"phone": person["phone"], "lid": person["lid"]}


def _sentence(code: str) -> str:
    return REFUSALS.get(code, f"WhatsApp refused it ({code.removeprefix('wa_')}).")
