"""What the library's words for a failed send mean."""

from __future__ import annotations

import re

from keepline.domain.link_events import SendOutcome
from keepline.domain.pairing import NUMBER_REFUSED, RATE_LIMITED, UNREACHABLE

_SERVER_ERROR = re.compile(r"server returned error (\d+)")
# Before the socket is touched; the library says so in these words (whatsmeow, errors.go).
_NOT_SENT = ("websocket not connected", "the store doesn't contain a device JID")
_REFUSALS = {
    "no LID found": "no_lid",
    "recipient must be a user JID": "bad_recipient",
    "unknown server": "bad_recipient",
    "you're not participating in that group": "not_in_group",
    "that group does not exist": "no_such_group",
}


# IQs fail in these words when WhatsApp has answered them (whatsmeow, request.go and errors.go).
_ANSWERED = ("info query returned", "missing")
WA_RATE_LIMITED = "wa_429"
_RATE_LIMITED_QUERY = "status 429"


def is_answer(error: str) -> bool:
    """Whether a question failed with an answer of WhatsApp's: a refusal, or something that the library misses in it."""
    return any(words in error for words in _ANSWERED)


def is_rate_signal(error: str) -> bool:
    """Whether WhatsApp refused a question because it is too much."""
    return _RATE_LIMITED_QUERY in error


# An error of an IQ stanza (whatsmeow, errors.go), and what whatsmeow itself finds wrong with a number.
_IQ_ERROR = re.compile(r"status (\d+)")
_BAD_NUMBERS = ("phone number too short", "international phone number required")


# What whatsmeow says in its own words of errors of IQ stanzas (errors.go).
_REFUSED_QUERIES = {
    "you're not participating in that group": "wa_403",
    "that group does not exist": "wa_404",
    "you don't have the permission to get the group's invite link": "wa_401",
}
# Before anything is sent: what it needs of its own store for it.
_NOT_ASKED = ("failed to get phone number", "failed to get privacy token")


def query_error_of(error: str) -> str | None:
    """The code of a command that failed in these words, and was not carried out; None for one of which nobody can tell."""
    if any(words in error for words in _NOT_SENT):
        return "not_connected"
    if status := _IQ_ERROR.search(error):
        return f"wa_{status[1]}"
    if any(words in error for words in _NOT_ASKED):
        return "command_failed"
    return next((code for words, code in _REFUSED_QUERIES.items() if words in error), None)


def code_error_of(error: str) -> str:
    """The error code of a request for a pairing code that failed in these words (keepline.domain.pairing)."""
    status = int(found[1]) if (found := _IQ_ERROR.search(error)) else 0
    if status in (419, 429):
        return RATE_LIMITED
    if 400 <= status < 500 or any(words in error for words in _BAD_NUMBERS):
        return NUMBER_REFUSED
    return UNREACHABLE


def outcome_of(error: str) -> SendOutcome:
    """The outcome. Words that we do not know are a doubt, and the store's own row decides it."""
    if refused := _SERVER_ERROR.search(error):
        return SendOutcome("refused", error_code=f"wa_{refused[1]}", detail=error)
    for words, code in _REFUSALS.items():
        if words in error:
            return SendOutcome("refused", error_code=code, detail=error)
    if any(words in error for words in _NOT_SENT):
        return SendOutcome("not_sent", error_code="not_connected", detail=error)
    return SendOutcome("unknown", detail=error)
