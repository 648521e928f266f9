"""CloudEvents read into what the use cases take. Firestore's carry a protobuf with the document before and after the write."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from cloudevents.http import CloudEvent
from google.events.cloud.firestore import Document, DocumentEventData, Value
from google.protobuf.message import DecodeError

from keepline.records.accounts import ACCOUNTS
from keepline.records.monitoring import MessageTurn, StateChange

_ID = re.compile(r"[a-z0-9_]{1,64}")


class MalformedEvent(Exception):
    """The event is not what its trigger promises. The message says how, without what is in the document."""


def state_change(event: CloudEvent) -> StateChange | None:
    """The change of state that a written account document tells of; None when its state and reason stayed, or it was deleted."""
    data = _document_event(event)
    if "value" not in data:
        return None
    document = data.value
    account = _account_of(document)
    state, code = _text(document, "state"), _reason(document, "code")
    before = data.old_value if "old_value" in data else None
    if before is not None and (_text(before, "state"), _reason(before, "code")) == (state, code):
        return None
    return StateChange(
        told_as=f"{event['source']} {event['id']}",
        account=account,
        session_id=_text(document, "session_id"),
        tenant=_text(document, "tenant"),
        at=_written_at(document),
        state_before=_text(before, "state") if before is not None else None,
        state=state,
        code=code,
        sentence=_reason(document, "sentence"),
    )


@dataclass(frozen=True)
class WrittenDocument:
    """A message's or a notice's document was written: whose it is, and where it stands."""

    tenant: str
    path: str


def written_document(event: CloudEvent) -> WrittenDocument | None:
    """What an event of the outbox, of a chat's messages or of notices is about; None when the document was deleted."""
    data = _document_event(event)
    if "value" not in data:
        return None
    _, found, path = data.value.name.partition("/documents/")
    if not found or not path:
        raise MalformedEvent("its document has no path")
    return WrittenDocument(_text(data.value, "tenant"), path)


def message_turn(event: CloudEvent) -> MessageTurn | None:
    """What a written message of the outbox tells of: None when its state and its error stayed, or it was deleted."""
    data = _document_event(event)
    if "value" not in data:
        return None
    document = data.value
    before = data.old_value if "old_value" in data else None
    state, code = _text(document, "state"), _optional(document, "error_code")
    if before is not None and (_text(before, "state"), _optional(before, "error_code")) == (state, code):
        return None
    return MessageTurn(
        message_id=document.name.rpartition("/")[2],
        account=_text(document, "account"),
        session_id=_text(document, "session_id"),
        tenant=_text(document, "tenant"),
        at=_written_at(document),
        state=state,
        code=code,
    )


@dataclass(frozen=True)
class DueLane:
    """A lane of a webhook whose deliveries are to be looked at."""

    webhook: str
    lane: str


def due_lane(event: CloudEvent) -> DueLane:
    """What a message on the topic of deliveries names. Raises MalformedEvent."""
    try:
        named = json.loads(base64.b64decode(event.data["message"]["data"]))
        webhook, lane = named["webhook"], named["lane"]
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedEvent("its data names no lane") from error
    if not all(isinstance(one, str) and _ID.fullmatch(one) for one in (webhook, lane)):
        raise MalformedEvent("its data names no lane")
    return DueLane(webhook, lane)


def _document_event(event: CloudEvent) -> DocumentEventData:
    body = event.data
    if not isinstance(body, bytes):
        raise MalformedEvent(f"its data is {type(body).__name__} and not a protobuf")
    try:
        data: DocumentEventData = DocumentEventData.deserialize(body)
    except DecodeError as error:
        raise MalformedEvent(f"its data is no DocumentEventData: {error}") from error
    return data


def _account_of(document: Document) -> str:
    _, found, path = document.name.partition("/documents/")
    collection, _, account = path.partition("/")
    if not found or collection != ACCOUNTS or not account or "/" in account:
        raise MalformedEvent(f"its document is not in {ACCOUNTS}/")
    return account


def _written_at(document: Document) -> datetime:
    if "update_time" not in document:
        raise MalformedEvent("its document has no update time")
    return cast("datetime", document.update_time)  # declared as a Timestamp, given as a datetime


def _text(document: Document, name: str) -> str:
    return _string(document.fields.get(name), name)


def _optional(document: Document, name: str) -> str | None:
    value = document.fields.get(name)
    return _string(value, name) if value is not None and "string_value" in value else None


def _reason(document: Document, name: str) -> str:
    reason = document.fields.get("reason")
    if reason is None:
        raise MalformedEvent("its document has no field 'reason'")
    return _string(reason.map_value.fields.get(name), f"reason.{name}")


def _string(value: Value | None, name: str) -> str:
    if value is None or "string_value" not in value:
        raise MalformedEvent(f"its document has no text in the field {name!r}")
    text: str = value.string_value
    return text
