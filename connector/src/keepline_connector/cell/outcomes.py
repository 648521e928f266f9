"""What the library's words for a failed send mean."""

from __future__ import annotations

import re

from keepline.domain.link_events import SendOutcome

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
