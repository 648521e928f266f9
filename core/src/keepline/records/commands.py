"""`commands/{id}`: what a program asks of a session's device at once, and the answer. The one who asks waits for it.

The device that sends for the account carries it out. Whoever asked takes the document away; the minute round does what is left,
and what is kept for a caller who repeats an Idempotency-Key. A command that is to be carried out once is `begun` before it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keepline.domain.commands import Command, CommandOutcome
from keepline.ports.documents import SERVER_TIME, Create, Delete, Document, Query, Update, Version, Where

COMMANDS = "commands"
# A query's worth of open commands for a group of accounts; those beyond it follow as these are answered.
OPEN_COMMANDS_MAX = 200

# How long after its time a command that nobody took away stays; and one that a key names, for repeats.
_LEFT_S = 60.0
KEPT_S = 24 * 3600.0

_WAITING, _BEGUN, _ANSWERED = "waiting", "begun", "answered"


def command_path(command_id: str) -> str:
    return f"{COMMANDS}/{command_id}"


@dataclass(frozen=True)
class Order:
    """A command as it waits for its device, as that has begun it, or as it was answered."""

    id: str
    account: str
    kind: str
    arguments: Mapping[str, Any]
    expires_at: datetime
    begun: bool  # what is carried out once, and has no answer
    outcome: CommandOutcome | None
    version: Version

    @classmethod
    def read(cls, document: Document) -> Order:
        fields = document.fields
        answered = fields["state"] == _ANSWERED
        return cls(
            id=document.id,
            account=fields["account"],
            kind=fields["kind"],
            arguments=fields["arguments"],
            expires_at=fields["expires_at"],
            begun=fields["state"] == _BEGUN,
            outcome=CommandOutcome(fields["error_code"], fields["result"]) if answered else None,
            version=document.version,
        )


def new_command(
    command_id: str, tenant: str, account: str, command: Command, expires_at: datetime, *, kept: bool = False
) -> Create:
    """Ask for a command, which nobody begins after `expires_at`. One that is `kept` is there for a day after its answer."""
    fields = {
        "tenant": tenant,
        "account": account,
        "kind": command.kind,
        "arguments": command.to_map(),
        "state": _WAITING,
        "asked_at": SERVER_TIME,
        "expires_at": expires_at,
        "kept_until": expires_at + timedelta(seconds=KEPT_S if kept else _LEFT_S),
        "begun_at": None,
        "begun_by": None,
        "answered_at": None,
        "answered_by": None,
        "error_code": None,
        "result": {},
    }
    return Create(command_path(command_id), fields)


def begin(order: Order, slot: str) -> Update:
    """Say that it is being carried out, unless somebody has, or nobody waits any more. From now on nobody else does."""
    fields = {"state": _BEGUN, "begun_at": SERVER_TIME, "begun_by": slot}
    return Update(command_path(order.id), fields, order.version)


def answer(order: Order, slot: str, outcome: CommandOutcome) -> Update:
    """Say what came of it, unless somebody has, or nobody waits any more."""
    fields = {
        "state": _ANSWERED,
        "answered_at": SERVER_TIME,
        "answered_by": slot,
        "error_code": outcome.error_code,
        "result": dict(outcome.result),
    }
    return Update(command_path(order.id), fields, order.version)


def remove(order: Order) -> Delete:
    """Take a command away that was not answered since it was read."""
    return Delete(command_path(order.id), order.version)


def open_commands(accounts: tuple[str, ...]) -> Query:
    """What waits to be carried out by devices of these accounts."""
    where = (Where("account", "in", list(accounts)), Where("state", "==", _WAITING))
    return Query(COMMANDS, where, limit=OPEN_COMMANDS_MAX)


def left_over(kept_until: datetime, limit: int) -> Query:
    """Commands, answered or not, that nobody asks for any more."""
    return Query(COMMANDS, (Where("kept_until", "<", kept_until),), "kept_until", limit=limit)
