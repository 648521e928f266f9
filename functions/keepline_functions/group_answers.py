"""The shapes of the API's answers about groups and contacts. What holds for answers.py holds here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, with_config
from typing_extensions import TypedDict

from keepline.domain.group_commands import MemberAction
from keepline_functions.answers import At, shape
from keepline_functions.message_answers import PersonJson

_CHAT = "120363000000000000@g.us"
_ANNA = {"phone": "14155550100", "lid": "136169848115982"}
_BEA = {"phone": "14155550123", "lid": "287300554604365"}
_DAN = {"phone": "14155550177", "lid": "205130004475917"}
_GROUP = {
    "chat": _CHAT,
    "subject": "Walks",
    "announcement": False,
    "locked": False,
    "owner": _ANNA,
    "members": [{**_ANNA, "admin": True}, {**_BEA, "admin": False}],
}
_REFUSAL = {
    "code": "needs_invite",
    "message": "They let only their contacts add them to groups: send them the invite link.",
}
_REFUSED = {**_DAN, "action": "add", "error": _REFUSAL}
_CHECKED = {
    "asked": "+1 415 555 0123",
    **_BEA,
    "on_whatsapp": True,
    "business_name": None,
    "checked_at": "2026-11-21T10:47:45.437Z",
}


@with_config(shape(chat=_CHAT, subject="Walks", members=3, admin=True))
class ListedGroupJson(TypedDict):
    """A group that the number is in."""

    chat: str
    """What messages to it are sent to."""
    subject: str
    members: int
    """How many there are."""
    admin: bool
    """Whether the number runs it."""


@with_config(shape())
class GroupsJson(TypedDict):
    """The groups that the number is in: of more than 1,000, 1,000."""

    groups: list[ListedGroupJson]
    total: Annotated[int, Field(examples=[1])]
    """How many there are, those that are not listed included."""


@with_config(shape(**_ANNA, admin=True))
class GroupMemberJson(PersonJson):
    """Somebody in a group. Where WhatsApp hides numbers there is no `phone`."""

    admin: bool
    """Whether they run it."""


@with_config(shape(**_GROUP))
class GroupJson(TypedDict):
    """A group with its members."""

    chat: str
    """What messages to it are sent to."""
    subject: str
    announcement: bool
    """Only those who run it write."""
    locked: bool
    """Only those who run it change its settings."""
    owner: PersonJson | None
    """Who made it, where that is known."""
    members: list[GroupMemberJson]


@with_config(shape(**_REFUSAL))
class MemberRefusalJson(TypedDict):
    """Why something was not done with a member."""

    code: str
    """`needs_invite`, `left_lately`, `not_on_whatsapp`, `already_member`, `not_a_member`, `not_named`, `not_tried`,
    `outcome_unknown`, or `wa_…` for another number of WhatsApp's."""
    message: str
    """For people."""


@with_config(shape(**_BEA, action="promote"))
class ChangedMemberJson(PersonJson):
    """Somebody of a group, and what was done."""

    action: MemberAction


@with_config(shape(**_REFUSED))
class RefusedMemberJson(ChangedMemberJson):
    """Somebody of a group, and what was not done."""

    error: MemberRefusalJson


@with_config(shape(**_GROUP, refused=[_REFUSED]))
class MadeGroupJson(GroupJson):
    """A group that was made, and who could not be added."""

    refused: list[RefusedMemberJson]


@with_config(shape(chat=_CHAT, subject="Longer walks"))
class RenamedGroupJson(TypedDict):
    """A group's new name."""

    chat: str
    subject: str


@with_config(shape())
class ChangedMembersJson(TypedDict):
    """What was done with a group's members, and what was not."""

    changed: list[ChangedMemberJson]
    refused: list[RefusedMemberJson]


@with_config(shape(link="https://chat.whatsapp.com/BvsVJ2q0AbC3dEfGhIjKlM"))
class InviteJson(TypedDict):
    """The link by which people join a group."""

    link: str


@with_config(shape(**_CHECKED))
class CheckedContactJson(PersonJson):
    """Whether somebody is on WhatsApp."""

    asked: str
    """As it was asked. `phone` is the number that WhatsApp knows them by, which may be written otherwise."""
    on_whatsapp: bool | None
    """Null for a LID whose number is not known here: WhatsApp is asked about numbers only."""
    business_name: str | None
    """The verified name of a business."""
    checked_at: At
    """When WhatsApp said so; asked anew a day later."""


@with_config(shape())
class CheckedContactsJson(TypedDict):
    """Who is on WhatsApp, in the order asked."""

    contacts: list[CheckedContactJson]


@with_config(shape(id="1700000001", url="https://pps.whatsapp.net/v/1700000001"))
class PictureJson(TypedDict):
    """Somebody's picture."""

    id: str
    """WhatsApp's own."""
    url: str
    """WhatsApp's own as well, good for some days."""


@with_config(
    shape(
        **_BEA,
        about="At sea",
        business_name=None,
        picture={"id": "1700000001", "url": "https://pps.whatsapp.net/v/1700000001"},
        picture_hidden=False,
    )
)
class ContactJson(PersonJson):
    """What somebody shows of themselves to this number. What is not there or not shown is null."""

    about: str | None
    business_name: str | None
    """The verified name of a business."""
    picture: PictureJson | None
    picture_hidden: bool
    """There is a picture for others."""
