"""Groups as programs see and change them. Changes are carried out once, also where an answer was lost: see ADR 28."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keepline.domain.addresses import parse_group, parse_person
from keepline.domain.errors import InvalidInput, KeeplineError, NotFound, StateConflict
from keepline.domain.group_commands import (
    ChangeMembers,
    CreateGroup,
    GroupCommand,
    LeaveGroup,
    ListGroups,
    MemberAction,
    RenameGroup,
    ResetInvite,
    SeeGroup,
    SeeInvite,
)
from keepline.usecases.commanding import Commands, Cost, refusal
from keepline.usecases.limiting import GROUP_CHANGES, QUESTIONS, Charged

SUBJECT_CHARACTERS_MAX = 100  # facts: the apps' own field
# Ours, in one request. A group takes 1,024, and a number that puts many strangers into groups is banned for it (ban code 103).
MEMBERS_MAX = 100


@dataclass(frozen=True)
class GroupAnswer:
    """What a command about groups brought (the results are described at each command), and what is left of the limit.

    `replayed`: an earlier request with the same key brought it.
    """

    result: Mapping[str, Any]
    charged: Charged | None
    replayed: bool


class Groups:
    """The groups of all tenants' numbers.

    Every method raises InvalidInput, NotFound (`session_not_found`, `group_not_found`), StateConflict (`not_connected`,
    `group_forbidden`, `group_full`, `idempotency_mismatch`), TooMany (`rate_limited`, `wa_rate_limited`) and Unavailable, whose
    code `outcome_unknown` alone leaves open whether something was done.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def listed(self, tenant: str, session_id: str) -> GroupAnswer:
        return await self._ask(tenant, session_id, ListGroups())

    async def see(self, tenant: str, session_id: str, group: str) -> GroupAnswer:
        return await self._ask(tenant, session_id, SeeGroup(parse_group(group)))

    async def create(
        self, tenant: str, session_id: str, subject: str, members: Sequence[str], key: str | None
    ) -> GroupAnswer:
        command = CreateGroup(_checked_subject(subject), _people(members))
        return await self._change(tenant, session_id, command, key)

    async def change_members(
        self, tenant: str, session_id: str, group: str, changes: Mapping[MemberAction, Sequence[str]], key: str | None
    ) -> GroupAnswer:
        asked = tuple((action, _people(changes[action])) for action in MemberAction if changes.get(action))
        if not asked:
            raise InvalidInput(
                "no_members", "Nobody is named.", "Name people in add, promote, demote or remove; one at least."
            )
        return await self._change(tenant, session_id, ChangeMembers(parse_group(group), asked), key)

    async def rename(self, tenant: str, session_id: str, group: str, subject: str, key: str | None) -> GroupAnswer:
        command = RenameGroup(parse_group(group), _checked_subject(subject))
        return await self._change(tenant, session_id, command, key)

    async def invite(self, tenant: str, session_id: str, group: str) -> GroupAnswer:
        return await self._ask(tenant, session_id, SeeInvite(parse_group(group)))

    async def reset_invite(self, tenant: str, session_id: str, group: str, key: str | None) -> GroupAnswer:
        return await self._change(tenant, session_id, ResetInvite(parse_group(group)), key)

    async def leave(self, tenant: str, session_id: str, group: str, key: str | None) -> GroupAnswer:
        return await self._change(tenant, session_id, LeaveGroup(parse_group(group)), key)

    async def _ask(self, tenant: str, session_id: str, command: GroupCommand) -> GroupAnswer:
        return await self._carry_out(tenant, session_id, command, Cost(QUESTIONS), None)

    async def _change(self, tenant: str, session_id: str, command: GroupCommand, key: str | None) -> GroupAnswer:
        return await self._carry_out(tenant, session_id, command, Cost(GROUP_CHANGES), key)

    async def _carry_out(
        self, tenant: str, session_id: str, command: GroupCommand, cost: Cost, key: str | None
    ) -> GroupAnswer:
        carried = await self._commands.carry_out(tenant, session_id, command, cost, key)
        if carried.outcome.error_code is not None:
            raise _refusal(carried.outcome.error_code)
        return GroupAnswer(carried.outcome.result, carried.charged, carried.replayed)


def _people(members: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(parse_person, members)))


def _checked_subject(subject: str) -> str:
    if not subject.strip() or len(subject) > SUBJECT_CHARACTERS_MAX or not subject.replace("\u200d", "").isprintable():
        raise InvalidInput(
            "bad_subject",
            f"A group's subject has 1 to {SUBJECT_CHARACTERS_MAX} characters on one line.",
            "Write a short name that can be seen.",
        )
    return subject


def _refusal(code: str) -> KeeplineError:
    """WhatsApp's own refusals, which it gives by the numbers of HTTP; and those of any command."""
    match code:
        case "wa_401" | "wa_403":
            return StateConflict(
                "group_forbidden",
                "WhatsApp does not let this number do that: it is not in the group, or does not run it.",
                "Look at the group; have one of its admins do it, or make this number one.",
            )
        case "wa_404" | "wa_410":
            return NotFound(
                "group_not_found", "WhatsApp knows no such group.", "GET /api/groups lists those that the number is in."
            )
        case "wa_406":
            return InvalidInput("group_refused", "WhatsApp does not take this for a group.", "Try a shorter subject.")
        case "wa_419":
            return StateConflict("group_full", "The group takes no more members.", "Remove somebody first.")
    return refusal(code)
