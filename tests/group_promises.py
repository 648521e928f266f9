"""What holds for groups and contacts whoever answers: the shipped fake, or the real library on the simulator.

Each promise takes a `Side`: the use cases, and the other people's phones. The fake runs them in tests/unit/test_groups.py, the
real parts in tests/integration/test_groups.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from keepline.domain.errors import KeeplineError, NotFound, StateConflict
from keepline.domain.group_commands import MemberAction
from keepline.usecases.contacts import Contacts
from keepline.usecases.groups import Groups

TENANT, SESSION = "demo", "s1"
OWN, BEA, CAROL, DAN, NOBODY = "14155550100", "14155550123", "14155550199", "14155550177", "14155550666"
ABOUT = "At sea"


class Side(Protocol):
    """One installation with OWN linked. BEA, CAROL and DAN are on WhatsApp; DAN wants to be invited; NOBODY is not there."""

    groups: Groups
    contacts: Contacts

    async def lid(self, phone: str) -> str: ...

    async def members(self, group: str) -> dict[str, bool]:
        """Who is in a group, by phone, and whether they run it, as WhatsApp knows it."""
        ...

    async def made_by(self, phone: str, subject: str, members: list[str]) -> str:
        """A group that somebody else makes; its chat."""
        ...

    async def subject(self, group: str) -> str: ...

    async def link_of(self, group: str) -> str: ...

    async def show(self, phone: str, about: str) -> None:
        """Somebody shows this about themselves, and a picture."""
        ...


Promise = Callable[[Side], Awaitable[None]]


def names(people: Any) -> list[tuple[str, str]]:
    return [(one["phone"], one.get("error") or one["action"]) for one in people]


async def make(side: Side, *members: str, subject: str = "Walks") -> str:
    made = await side.groups.create(TENANT, SESSION, subject, list(members), None)
    return str(made.result["chat"])


async def refused(doing: Awaitable[object], kind: type[KeeplineError], code: str) -> None:
    with pytest.raises(kind) as error:
        await doing
    assert error.value.code == code


async def a_group_is_made_and_says_who_could_not_be_added(side: Side) -> None:
    bea = await side.lid(BEA)
    made = (await side.groups.create(TENANT, SESSION, "Walks", [f"+{BEA}", f"{CAROL}@c.us", DAN, NOBODY], None)).result
    assert made["subject"] == "Walks"
    assert await side.members(made["chat"]) == {OWN: True, BEA: False, CAROL: False}
    told = {member["phone"]: member for member in made["members"]}
    assert told[BEA] == {"phone": BEA, "lid": bea, "admin": False}
    assert (told.keys(), told[OWN]["admin"]) == ({OWN, BEA, CAROL}, True)
    assert names(made["refused"]) == [(DAN, "needs_invite"), (NOBODY, "not_on_whatsapp")]
    seen = (await side.groups.see(TENANT, SESSION, made["chat"])).result
    assert (seen["subject"], seen["owner"]["phone"], len(seen["members"])) == ("Walks", OWN, 3)


async def groups_are_listed_with_whether_the_number_runs_them(side: Side) -> None:
    ours = await make(side, BEA)
    theirs = await side.made_by(BEA, "Theirs", [OWN, CAROL])
    await side.made_by(BEA, "Without us", [CAROL])
    listed = (await side.groups.listed(TENANT, SESSION)).result
    assert listed["total"] == 2
    assert {(one["chat"], one["subject"], one["members"], one["admin"]) for one in listed["groups"]} == {
        (ours, "Walks", 2, True),
        (theirs, "Theirs", 3, False),
    }


async def members_are_added_promoted_demoted_and_removed(side: Side) -> None:
    group = await make(side, BEA)
    asked = {MemberAction.ADD: [CAROL, DAN, NOBODY, BEA], MemberAction.PROMOTE: [BEA], MemberAction.REMOVE: [NOBODY]}
    done = (await side.groups.change_members(TENANT, SESSION, group, asked, None)).result
    assert names(done["changed"]) == [(CAROL, "add"), (BEA, "promote")]
    assert done["changed"][0]["lid"] == await side.lid(CAROL)
    assert names(done["refused"]) == [
        (DAN, "needs_invite"),
        (NOBODY, "not_on_whatsapp"),
        (BEA, "already_member"),
        (NOBODY, "not_a_member"),
    ]
    assert await side.members(group) == {OWN: True, BEA: True, CAROL: False}
    lid = f"{await side.lid(CAROL)}@lid"
    asked = {MemberAction.DEMOTE: [BEA], MemberAction.REMOVE: [lid]}
    done = (await side.groups.change_members(TENANT, SESSION, group, asked, None)).result
    assert names(done["changed"]) == [(BEA, "demote"), (CAROL, "remove")]
    assert await side.members(group) == {OWN: True, BEA: False}


async def a_group_is_renamed_invited_to_and_left(side: Side) -> None:
    group = await make(side, BEA)
    await side.groups.rename(TENANT, SESSION, group, "Längere Wege 🥾", None)
    assert await side.subject(group) == "Längere Wege 🥾"
    link = (await side.groups.invite(TENANT, SESSION, group)).result["link"]
    assert link == await side.link_of(group)
    assert link.startswith("https://chat.whatsapp.com/")
    fresh = (await side.groups.reset_invite(TENANT, SESSION, group, None)).result["link"]
    assert fresh == await side.link_of(group) != link
    await side.groups.leave(TENANT, SESSION, group, None)
    assert await side.members(group) == {BEA: False}
    assert (await side.groups.listed(TENANT, SESSION)).result["total"] == 0


async def what_whatsapp_refuses_is_said_by_name(side: Side) -> None:
    group = await side.made_by(BEA, "Theirs", [OWN])
    ask = side.groups
    not_ours = await side.made_by(BEA, "Without us", [CAROL])
    asked = {MemberAction.ADD: [CAROL]}
    await refused(ask.change_members(TENANT, SESSION, group, asked, None), StateConflict, "group_forbidden")
    await refused(ask.invite(TENANT, SESSION, group), StateConflict, "group_forbidden")
    await refused(ask.reset_invite(TENANT, SESSION, group, None), StateConflict, "group_forbidden")
    await refused(ask.see(TENANT, SESSION, not_ours), StateConflict, "group_forbidden")
    await refused(ask.rename(TENANT, SESSION, not_ours, "Mine", None), StateConflict, "group_forbidden")
    await refused(ask.leave(TENANT, SESSION, not_ours, None), StateConflict, "group_forbidden")
    await refused(ask.see(TENANT, SESSION, "120363999999999999@g.us"), NotFound, "group_not_found")
    assert await side.members(group) == {BEA: True, OWN: False}


async def who_is_on_whatsapp_is_told_by_both_names(side: Side) -> None:
    checked = (await side.contacts.check(TENANT, SESSION, [f"+{BEA}", NOBODY, f"{CAROL}@c.us", BEA])).contacts
    told = [(one.phone, one.lid, one.on_whatsapp) for one in checked]
    bea, carol = await side.lid(BEA), await side.lid(CAROL)
    assert told == [(BEA, bea, True), (NOBODY, None, False), (CAROL, carol, True), (BEA, bea, True)]
    # Of a LID that the device has learned, and of one that nobody knows.
    checked = (await side.contacts.check(TENANT, SESSION, [f"{bea}@lid", "999999999999@lid"])).contacts
    assert [(one.phone, one.lid, one.on_whatsapp) for one in checked] == [
        (BEA, bea, True),
        (None, "999999999999", None),
    ]


async def what_people_show_of_themselves_is_told(side: Side) -> None:
    await side.show(BEA, ABOUT)
    seen, _ = await side.contacts.see(TENANT, SESSION, BEA)
    assert (seen["phone"], seen["lid"], seen["about"]) == (BEA, await side.lid(BEA), ABOUT)
    assert seen["picture"]["url"].startswith("https://pps.whatsapp.net/")
    other, _ = await side.contacts.see(TENANT, SESSION, CAROL)
    assert (other["picture"], other["picture_hidden"]) == (None, False)


PROMISES: tuple[Promise, ...] = (
    a_group_is_made_and_says_who_could_not_be_added,
    groups_are_listed_with_whether_the_number_runs_them,
    members_are_added_promoted_demoted_and_removed,
    a_group_is_renamed_invited_to_and_left,
    what_whatsapp_refuses_is_said_by_name,
    who_is_on_whatsapp_is_told_by_both_names,
    what_people_show_of_themselves_is_told,
)
