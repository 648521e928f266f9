"""`witness/{account}_{slot}`: what the sending device asks of the account's other device in `slot`, and its answer.

WhatsApp fans a send out to all devices of the account in the stanza that it takes or refuses as a whole, and the copy carries the
tag. So the other device knows what became of a send whose answer was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keepline.ports.documents import SERVER_TIME, Delete, Document, Put, Query, Update, Version, Where

WITNESS = "witness"
# One per device, at most four devices an account, and a query for 30 accounts.
QUESTIONS_MAX = 120


def witness_path(account: str, slot: str) -> str:
    return f"{WITNESS}/{account}_{slot}"


@dataclass(frozen=True)
class Question:
    """The newest question to a witness. `asked` has the tag of each doubtful try by message id; `name` names the question."""

    account: str
    slot: str
    name: str
    asked: Mapping[str, bytes]
    answered: str | None  # the name of the question that `seen` answers
    seen: Mapping[str, str]  # message id -> WhatsApp id
    version: Version

    @classmethod
    def read(cls, document: Document) -> Question:
        fields = document.fields
        return cls(
            account=fields["account"],
            slot=fields["slot"],
            name=fields["name"],
            asked=dict(fields["asked"]),
            answered=fields["answered"],
            seen=dict(fields["seen"]),
            version=document.version,
        )


def ask(account: str, slot: str, name: str, asked: Mapping[str, bytes]) -> Put:
    """Ask the device in `slot`, in place of whatever was asked before."""
    fields = {
        "account": account,
        "slot": slot,
        "name": name,
        "asked": dict(asked),
        "asked_at": SERVER_TIME,
        "answered": None,
        "seen": {},
    }
    return Put(witness_path(account, slot), fields)


def answer(question: Question, seen: Mapping[str, str]) -> Update:
    """Answer a question, unless a newer one has taken its place."""
    fields = {"answered": question.name, "seen": dict(seen), "answered_at": SERVER_TIME}
    return Update(witness_path(question.account, question.slot), fields, question.version)


def questions_to(accounts: tuple[str, ...]) -> Query:
    return Query(WITNESS, (Where("account", "in", list(accounts)),), limit=QUESTIONS_MAX)


def remove_questions(account: str, slot: str) -> Delete:
    return Delete(witness_path(account, slot))
