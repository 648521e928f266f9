"""What can be told of a document: the events of a message, of a session or a notice, and the text in which each is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keepline.domain.alerts import Alert, Notice
from keepline.domain.message import MessageState
from keepline.domain.session import REASONS
from keepline.domain.webhook_events import (
    ALERT_CLOSED,
    ALERT_OPENED,
    EventType,
    Happening,
    MessageFacts,
    envelope,
    event_id,
    of_message,
    of_notice,
    of_session,
)
from keepline.ports.documents import Document
from keepline.records.monitoring import StateChange
from keepline.usecases.message_views import MessageView, is_row

# What is on record of a message from its beginning, and not of a later change.
FIRST_WORDS = frozenset({EventType.MESSAGE, EventType.MESSAGE_ANY, EventType.MESSAGE_REACTION})


@dataclass(frozen=True)
class Rendering:
    """How the API writes a message and a time: events are written the same."""

    message: Callable[[MessageView], Mapping[str, object]]
    time: Callable[[datetime], str]


@dataclass(frozen=True)
class Told:
    """An event, ready to be sent."""

    event: Mapping[str, Any]
    chat: str | None

    @property
    def event_id(self) -> str:
        return str(self.event["id"])

    @property
    def body(self) -> str:
        return json.dumps(self.event, ensure_ascii=False, separators=(",", ":"))


def happenings(document: Document) -> list[Happening]:
    """The events of a message's document, in their order."""
    fields = document.fields
    from_api = is_row(document)
    times = {name: at for name, at in fields["times"].items() if at is not None}
    return of_message(
        MessageFacts(
            message_id=document.id if from_api else fields["message_id"],
            from_api=from_api,
            direction="out" if from_api else fields["direction"],
            kind=fields["kind"],
            at=fields["accepted_at"] if from_api else fields["at"],
            state=MessageState(fields["state"]),
            times=times,
            edits={name: edit["at"] for name, edit in (fields.get("edits") or {}).items()},
            revoked_at=fields.get("revoked_at"),
        )
    )


def told_of_message(happening: Happening, view: MessageView, rendering: Rendering) -> Told:
    """The message as the API shows it, in the state that the event is about."""
    data = dict(rendering.message(view))
    if happening.state is not None:
        data["state"] = happening.state.value
    return Told(_envelope(happening, view.session_id, rendering, data), view.chat)


def told_of_session(change: StateChange, rendering: Rendering) -> Told:
    reason = REASONS.get(change.code)
    data = {
        "session_id": change.session_id,
        "state": change.state,
        "state_before": change.state_before,
        "reason": {
            "code": change.code,
            "sentence": change.sentence,
            "next_step": reason.next_step if reason is not None else "",
        },
    }
    return Told(_envelope(of_session(change.account, change.at), change.session_id, rendering, data), None)


def told_of_notice(document: Document, rendering: Rendering) -> Told:
    fields = document.fields
    happening = of_notice(EventType(fields["type"]), document.id, fields["at"])
    data = {"chat": fields["chat"], "at": rendering.time(fields["at"]), **fields["said"]}
    return Told(_envelope(happening, fields["session_id"], rendering, data), fields["chat"])


def told_of_alert(alert: Alert, notice: Notice, shown: Mapping[str, object], rendering: Rendering) -> Told:
    """That an alert was opened, or is over, with the alert as the API shows it."""
    kind = ALERT_CLOSED if notice is Notice.CLOSED else ALERT_OPENED
    at = rendering.time(alert.closed_at or alert.opened_at)
    return Told(envelope(event_id(kind, alert.id, ""), kind, at, alert.condition.session_id, shown), None)


def _envelope(happening: Happening, session_id: str, rendering: Rendering, data: object) -> dict[str, object]:
    return envelope(happening.event_id, happening.type.value, rendering.time(happening.at), session_id, data)
