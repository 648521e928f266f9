"""What becomes of a message after it was sent or heard: edited, or taken back. Written beside what it said, wherever that stands.

The change may be written by either device of the account, or twice, and the message written again after it: it comes to the same.
The texts of edits stand each under the edit's own name, and the latest counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keepline.domain.content.references import MessageRef
from keepline.domain.ids import wa_document_id
from keepline.ports.documents import DELETE, Merge
from keepline.records import outbox

MESSAGES = "messages"


def heard_path(account: str, chat: str, wa_message_id: str) -> str:
    """Where a message stands that WhatsApp brought."""
    return f"accounts/{account}/chats/{chat}/{MESSAGES}/{wa_document_id(wa_message_id)}"


def path_of(account: str, message: MessageRef) -> str:
    """Where a message stands: one of the API in the outbox, another one in its chat."""
    if message.message_id is not None and message.message_id.startswith("m_"):
        return outbox.row_path(message.message_id)
    return heard_path(account, message.chat, message.wa_message_id)


def edited(account: str, message: MessageRef, edit: str, text: str, at: datetime) -> Merge:
    """An edit of a message, by the name of the edit."""
    return Merge(path_of(account, message), {"edits": {wa_document_id(edit): {"text": text, "at": at}}})


def revoked(account: str, message: MessageRef, at: datetime) -> Merge:
    """A message was deleted for everyone. What it said goes, but for a row of the outbox, which is what was sent."""
    path = path_of(account, message)
    fields: dict[str, Any] = {"revoked_at": at, "edits": DELETE}
    if not path.startswith(outbox.OUTBOX):
        fields |= {"text": None, "content": DELETE}
    return Merge(path, fields)


def latest_edit(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The edit of a message that counts: its text and its time."""
    edits: Mapping[str, Mapping[str, Any]] = fields.get("edits") or {}
    return max(edits.items(), key=lambda edit: (edit[1]["at"], edit[0]))[1] if edits else None
