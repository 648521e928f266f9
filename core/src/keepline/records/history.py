"""`accounts/{account}/chats/{chat}/messages/{wa_id}`: what WhatsApp brought, one document per message whoever heard it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keepline.domain.content.references import MessageRef
from keepline.domain.ids import inbound_media_id, inbound_message_id
from keepline.domain.link_events import MessageHeard, MessageUnreadable
from keepline.domain.message import MessageState
from keepline.ports.documents import SERVER_TIME, Create, Document, Merge, Query, Where
from keepline.records.changes import MESSAGES, heard_path


def heard_message(
    account: str, tenant: str, session_id: str, heard: MessageHeard, content: Mapping[str, Any] | None = None
) -> Merge:
    """The document of a message; hearing it again writes the same, and heals one that could not be read before.

    `content` is what it says besides the text, with its references resolved.
    """
    fields = _fields(account, tenant, session_id, heard, heard.kind, heard.text)
    said = dict(content or {})
    if "media" in said:
        said["media"] = {**said["media"], "media_id": inbound_media_id(account, heard.chat, heard.wa_message_id)}
    return Merge(_path(account, heard), fields | {"content": said, "addressing": heard.addressing})


def unreadable_message(account: str, tenant: str, session_id: str, heard: MessageUnreadable) -> Create:
    """The document of a message that could not be decrypted: visible, and never in the place of one that could."""
    return Create(_path(account, heard), _fields(account, tenant, session_id, heard, "unreadable", None))


def _path(account: str, heard: MessageHeard | MessageUnreadable) -> str:
    return heard_path(account, heard.chat, heard.wa_message_id)


def _fields(
    account: str,
    tenant: str,
    session_id: str,
    heard: MessageHeard | MessageUnreadable,
    kind: str,
    text: str | None,
) -> dict[str, Any]:
    # A message that the user's own phone sent is part of the chat, in the direction it went.
    direction, state = ("out", MessageState.SENT) if heard.from_me else ("in", MessageState.DELIVERED)
    return {
        "message_id": inbound_message_id(account, heard.chat, heard.wa_message_id),
        "tenant": tenant,
        "account": account,
        "session_id": session_id,
        "chat": heard.chat,
        "direction": direction,
        "kind": kind,
        "text": text,
        "state": state.value,
        "wa_message_id": heard.wa_message_id,
        "from": {"phone": heard.sender_phone, "lid": heard.sender_lid},
        "times": {state.value: heard.at, "recorded": SERVER_TIME},
        "at": heard.at,
        # WhatsApp's times are whole seconds; this tells what came first of what one commit brought.
        "seq": heard.seq,
    }


def reference(document: Document) -> MessageRef:
    """The name that WhatsApp knows a recorded message by."""
    fields = document.fields
    from_me, phone, lid = author(document)
    addressing = fields.get("addressing", "phone")
    return MessageRef(fields["message_id"], fields["wa_message_id"], fields["chat"], from_me, phone, lid, addressing)


def marked_read(document: Document) -> Merge:
    """We have told a message's sender that it was read."""
    return Merge(document.path, {"read_at": SERVER_TIME})


def author(document: Document) -> tuple[bool, str | None, str | None]:
    """Who wrote a message, heard or of the outbox: whether it was our number, and their phone and LID."""
    fields = document.fields
    if "from" not in fields:
        return (True, None, None)
    return (fields["direction"] == "out", fields["from"]["phone"], fields["from"]["lid"])


def message_by_id(account_tenant: str, message_id: str) -> Query:
    where = (Where("tenant", "==", account_tenant), Where("message_id", "==", message_id))
    return Query(MESSAGES, where, limit=1, group=True)


def newest_in_chat(account: str, chat: str, limit: int, before: datetime | None) -> Query:
    where = (Where("at", "<", before),) if before else ()
    return Query(f"accounts/{account}/chats/{chat}/{MESSAGES}", where, "at", descending=True, limit=limit)


def heard_since(account: str, chat: str, since: datetime, limit: int) -> Query:
    """A chat's messages from a time on, the oldest first."""
    where = (Where("at", ">=", since),)
    return Query(f"accounts/{account}/chats/{chat}/{MESSAGES}", where, "at", limit=limit)


def newest_of_account(account: str, limit: int, before: datetime | None) -> Query:
    where = [Where("account", "==", account)]
    if before:
        where.append(Where("at", "<", before))
    return Query(MESSAGES, tuple(where), "at", descending=True, limit=limit, group=True)


def heard_between(account: str, begin: datetime, end: datetime, limit: int) -> Query:
    """An account's messages that came from others in a time, by WhatsApp's clock."""
    where = (
        Where("account", "==", account),
        Where("direction", "==", "in"),
        Where("at", ">=", begin),
        Where("at", "<", end),
    )
    return Query(MESSAGES, where, "at", descending=True, limit=limit, group=True)
