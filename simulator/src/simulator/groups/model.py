"""A group: its members and settings, and the rules about who may change what."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from simulator.accounts import Account, Device
from simulator.errors import QueryError
from simulator.jid import GROUP_SERVER, LID_SERVER, Jid
from simulator.limits import GROUP_MEMBERS_MAX, GROUP_SUBJECT_CHARACTERS_MAX, GROUPS_MAX

INVITE_PREFIX = "https://chat.whatsapp.com/"


class Role(Enum):
    MEMBER = ""
    ADMIN = "admin"
    # Who made the group.
    OWNER = "superadmin"


class GroupError(QueryError):
    """A change of a group that WhatsApp refuses."""


def forbidden(why: str) -> GroupError:
    return GroupError("group_forbidden", why, status=403)


@dataclass(slots=True)
class Group:
    jid: Jid
    subject: str
    owner: Account
    created_at: float
    subject_at: float
    subject_by: Account
    # Which addresses its members have for each other: hidden identities, or phone numbers as in old groups.
    addressing: str = LID_SERVER
    description: str = ""
    description_id: str = ""
    # Only admins write; only admins change settings.
    announcement: bool = False
    locked: bool = False
    disappearing_seconds: int = 0
    members: dict[Account, Role] = field(default_factory=dict)
    invite_code: str = field(default_factory=lambda: _invite_code())
    # Counts removals: a sender key made before one is not used after it.
    removals: int = 0
    # Counts changes of the member list, for clients that compare (`p_v_id`).
    version: int = 1

    def devices(self) -> list[Device]:
        return [device for member in self.members for device in member.devices()]

    def role(self, account: Account) -> Role:
        if account not in self.members:
            raise forbidden(f"{account.number} is not in the group {self.jid}.")
        return self.members[account]

    def require_admin(self, account: Account) -> None:
        if self.role(account) is Role.MEMBER:
            raise forbidden(f"{account.number} is not an admin of {self.jid}.")

    def may_write(self, account: Account) -> bool:
        role = self.members.get(account)
        return role is not None and not (self.announcement and role is Role.MEMBER)

    def may_change_settings(self, account: Account) -> None:
        if self.role(account) is Role.MEMBER and self.locked:
            raise forbidden(f"Only admins change the settings of {self.jid}.")

    def link(self) -> str:
        return INVITE_PREFIX + self.invite_code

    def as_json(self) -> dict[str, Any]:
        return {
            "id": str(self.jid), "subject": self.subject, "owner": self.owner.number, "created_at": self.created_at,
            "description": self.description, "announcement": self.announcement, "locked": self.locked, "link": self.link(),
            "addressing": "lid" if self.addressing == LID_SERVER else "pn",
            "members": [
                {"number": account.number, "admin": role is not Role.MEMBER, "owner": role is Role.OWNER}
                for account, role in self.members.items()
            ],
        }  # fmt: skip


def _invite_code() -> str:
    return os.urandom(11).hex().upper()


class Groups:
    """All groups, by id and by invite code."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._groups: dict[str, Group] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def all(self) -> list[Group]:
        return list(self._groups.values())

    def of(self, account: Account) -> list[Group]:
        return [group for group in self._groups.values() if account in group.members]

    def get(self, jid: Jid | None) -> Group | None:
        return self._groups.get(jid.user) if jid is not None and jid.server == GROUP_SERVER else None

    def require(self, jid: Jid | None) -> Group:
        group = self.get(jid)
        if group is None:
            raise GroupError("no_such_group", f"There is no group {jid}.", "GET /groups lists them.", status=404)
        return group

    def by_code(self, code: str) -> Group:
        """The group that an invite link or its code leads to; 410 for one that was replaced or never was."""
        code = code.removeprefix(INVITE_PREFIX).partition("?")[0]
        for group in self._groups.values():
            if group.invite_code == code:
                return group
        raise GroupError("invite_gone", "That invite link leads nowhere (any more).", status=410)

    def create(self, owner: Account, subject: str, members: list[Account], now: float, addressing: str) -> Group:
        check_subject(subject)
        if len(self._groups) >= GROUPS_MAX:
            raise GroupError("group_limit", f"There are {GROUPS_MAX} groups already.", status=409)
        group = Group(self._new_jid(), subject, owner, now, now, owner, addressing)
        group.members[owner] = Role.OWNER
        for member in members:
            group.members.setdefault(member, Role.MEMBER)
        check_size(len(group.members))
        self._groups[group.jid.user] = group
        return group

    def _new_jid(self) -> Jid:
        """Ids of new groups begin with 120363; the rest depends on the seed, so that a run can be repeated."""
        digest = hashlib.sha256(f"group:{self._seed}:{len(self._groups)}".encode()).digest()
        return Jid(f"120363{int.from_bytes(digest[:8], 'big') % 10**12:012d}", GROUP_SERVER)

    def new_code(self, group: Group) -> None:
        group.invite_code = _invite_code()


def check_subject(subject: str) -> None:
    if not subject or len(subject) > GROUP_SUBJECT_CHARACTERS_MAX:
        raise GroupError(
            "bad_subject", f"The subject of a group has 1 to {GROUP_SUBJECT_CHARACTERS_MAX} characters.", query_code=406
        )


def check_size(count: int) -> None:
    if count > GROUP_MEMBERS_MAX:
        raise GroupError("group_full", f"A group has at most {GROUP_MEMBERS_MAX} members.", status=409, query_code=419)
