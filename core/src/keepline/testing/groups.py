"""People and groups of a WhatsApp in memory: what a device is answered when it asks about them or changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from keepline.domain.addresses import GROUP_SERVER, LID_SERVER
from keepline.domain.commands import Command, CommandOutcome
from keepline.domain.contact_commands import CheckContacts, SeeContact
from keepline.domain.group_commands import (
    GROUPS_LISTED_MAX,
    ChangeMembers,
    CreateGroup,
    LeaveGroup,
    ListGroups,
    MemberAction,
    RenameGroup,
    ResetInvite,
    SeeGroup,
    SeeInvite,
    member_error,
)

_FIRST_GROUP = 120_363_000_000_000_000


@dataclass
class FakePerson:
    """Somebody on WhatsApp. `asks_first`: only their contacts may put them into groups."""

    phone: str
    lid: str
    about: str | None = None
    picture: str | None = None  # its link
    asks_first: bool = False

    def named(self) -> dict[str, Any]:
        return {"phone": self.phone, "lid": self.lid}


@dataclass
class FakeGroup:
    """A group. Who made it is the first of its members for good."""

    chat: str
    subject: str
    members: dict[str, bool]  # phone → whether they run it
    links: int = 1

    @property
    def link(self) -> str:
        return f"https://chat.whatsapp.com/{self.chat.partition('@')[0]}{self.links}"


class _Refused(Exception):
    """WhatsApp answers with an error of this number."""

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass
class FakeGroups:
    """Everybody's groups, as the number `own` sees them."""

    own: str
    people: dict[str, FakePerson] = field(default_factory=dict)
    groups: dict[str, FakeGroup] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.add_person(self.own)

    def add_person(self, phone: str) -> FakePerson:
        """Somebody joins WhatsApp."""
        return self.people.setdefault(phone, FakePerson(phone, str(200_000_000_000 + len(self.people))))

    def add_group(self, by: str, subject: str, members: Sequence[str]) -> str:
        """Somebody makes a group. Returns its chat."""
        chat = f"{_FIRST_GROUP + len(self.groups)}@{GROUP_SERVER}"
        self.groups[chat] = FakeGroup(chat, subject, {by: True} | dict.fromkeys(members, False))
        return chat

    def carry_out(self, command: Command) -> CommandOutcome:
        """What WhatsApp makes of it, as a device tells it. What is about no group and nobody is done without a word."""
        try:
            return CommandOutcome(result=self._result(command))
        except _Refused as refused:
            return CommandOutcome(f"wa_{refused.code}")

    def _result(self, command: Command) -> dict[str, Any]:
        match command:
            case ListGroups():
                mine = [group for group in self.groups.values() if self.own in group.members]
                return {"groups": list(map(self._listed, mine[:GROUPS_LISTED_MAX])), "total": len(mine)}
            case SeeGroup(group=chat):
                return self._shown(self._mine(chat))
            case CreateGroup():
                return self._create(command)
            case ChangeMembers():
                return self._change(command)
            case RenameGroup(group=chat, subject=subject):
                self._mine(chat).subject = subject
            case SeeInvite(group=chat):
                return {"link": self._run_by_us(chat).link}
            case ResetInvite(group=chat):
                group = self._run_by_us(chat)
                group.links += 1
                return {"link": group.link}
            case LeaveGroup(group=chat):
                del self._mine(chat).members[self.own]
            case CheckContacts(people=people):
                return {"contacts": [{"asked": address, **self._checked(address)} for address in people]}
            case SeeContact(person=address):
                return self._seen(address)
        return {}

    def _mine(self, chat: str) -> FakeGroup:
        group = self.groups.get(chat)
        if group is None:
            raise _Refused(404)
        if self.own not in group.members:
            raise _Refused(403)
        return group

    def _run_by_us(self, chat: str) -> FakeGroup:
        group = self._mine(chat)
        if not group.members[self.own]:
            raise _Refused(403)
        return group

    def _listed(self, group: FakeGroup) -> dict[str, Any]:
        own = group.members[self.own]
        return {"chat": group.chat, "subject": group.subject, "members": len(group.members), "admin": own}

    def _shown(self, group: FakeGroup) -> dict[str, Any]:
        return {
            "chat": group.chat,
            "subject": group.subject,
            "owner": self.people[next(iter(group.members))].named(),
            "announcement": False,
            "locked": False,
            "members": [{**self.people[phone].named(), "admin": admin} for phone, admin in group.members.items()],
        }

    def _create(self, command: CreateGroup) -> dict[str, Any]:
        group = self.groups[self.add_group(self.own, command.subject, ())]
        _, refused = self._done(group, MemberAction.ADD, command.members)
        return {**self._shown(group), "refused": refused}

    def _change(self, command: ChangeMembers) -> dict[str, Any]:
        group = self._run_by_us(command.group)
        changed: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []
        for action, members in command.changes:
            done, not_done = self._done(group, action, members)
            changed += done
            refused += not_done
        return {"changed": changed, "refused": refused}

    def _done(
        self, group: FakeGroup, action: MemberAction, members: Sequence[str]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        done: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []
        for address in members:
            person = self._person(address)
            code = self._change_member(group, action, person)
            name, _, server = address.partition("@")
            asked = {"phone": None, "lid": name} if server == LID_SERVER else {"phone": name, "lid": None}
            named = {**(person.named() if person is not None else asked), "action": action.value}
            if code:
                refused.append({**named, "error": member_error(action, code)})
            else:
                done.append({**named, "error": None})
        return done, refused

    @staticmethod
    def _change_member(group: FakeGroup, action: MemberAction, person: FakePerson | None) -> int:
        if person is None or (action is not MemberAction.ADD and person.phone not in group.members):
            return 404
        if action is MemberAction.ADD:
            if person.phone in group.members:
                return 409
            if person.asks_first:
                return 403
        if action is MemberAction.REMOVE:
            del group.members[person.phone]
        else:
            group.members[person.phone] = action is MemberAction.PROMOTE
        return 0

    def _person(self, address: str) -> FakePerson | None:
        name, _, server = address.partition("@")
        if server == LID_SERVER:
            return next((person for person in self.people.values() if person.lid == name), None)
        return self.people.get(name)

    def _checked(self, address: str) -> dict[str, Any]:
        person = self._person(address)
        if person is not None:
            return {**person.named(), "on_whatsapp": True, "business_name": None}
        name, _, server = address.partition("@")
        if server == LID_SERVER:
            return {"phone": None, "lid": name, "on_whatsapp": None, "business_name": None}
        return {"phone": name, "lid": None, "on_whatsapp": False, "business_name": None}

    def _seen(self, address: str) -> dict[str, Any]:
        person = self._person(address)
        if person is None:
            name, _, server = address.partition("@")
            asked = {"phone": None, "lid": name} if server == LID_SERVER else {"phone": name, "lid": None}
            return {**asked, "about": None, "business_name": None, "picture": None, "picture_hidden": False}
        picture = {"id": "1", "url": person.picture} if person.picture is not None else None
        shown = {"about": person.about, "business_name": None, "picture": picture, "picture_hidden": False}
        return {**person.named(), **shown}
