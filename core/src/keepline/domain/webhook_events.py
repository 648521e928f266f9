"""What webhooks tell: the kinds of events, which changes of a message make which, and the envelope they travel in.

An event's id is made of what happened. However often and by whomever a change is noticed, it gets the same id.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from keepline.domain.message import MessageState


class EventType(StrEnum):
    """The names that a webhook's filter can have."""

    MESSAGE = "message"  # A message came in.
    MESSAGE_ANY = "message.any"  # A message came in or went out, also from the number's own phone.
    MESSAGE_ACK = (
        "message.ack"  # A message of the API was sent, delivered, read, played; or failed, expired, was cancelled.
    )
    MESSAGE_REACTION = "message.reaction"  # Somebody, or we on the phone, reacted to a message.
    MESSAGE_EDITED = "message.edited"  # A message says something else now.
    MESSAGE_REVOKED = "message.revoked"  # A message was deleted for everyone.
    GROUP_JOIN = "group.join"  # Our number is in a group now that it was not in.
    GROUP_LEAVE = "group.leave"  # Our number is not in a group any more.
    GROUP_PARTICIPANTS = "group.participants"  # Members joined, left, run the group now, or no longer.
    GROUP_UPDATE = "group.update"  # A group has another name, description or setting; or it was deleted.
    CALL_RECEIVED = "call.received"  # Somebody calls our number, or a group that it is in.
    SESSION_STATUS = "session.status"  # A session's state or its reason changed.


OF_MESSAGES = frozenset(
    {
        EventType.MESSAGE,
        EventType.MESSAGE_ANY,
        EventType.MESSAGE_ACK,
        EventType.MESSAGE_REACTION,
        EventType.MESSAGE_EDITED,
        EventType.MESSAGE_REVOKED,
    }
)
TEST = "test"  # What a test call sends; no filter names it.
# What a webhook is told as a channel of alerts; no filter names these either.
ALERT_OPENED = "alert.opened"
ALERT_CLOSED = "alert.closed"

_REACTION = "reaction"
# Sent by the API, they change another message, and are told of that one.
_CHANGES = frozenset({"edit", "revoke"})
# Nothing is known of what they say yet; a message that can be read after all is told of then.
_UNREADABLE = "unreadable"

# In the order in which a message goes through them. The times of receipts are phones', in whole seconds: they do not order them.
_ON_ITS_WAY = (MessageState.SENT, MessageState.DELIVERED, MessageState.READ, MessageState.PLAYED)
_ENDS = (MessageState.FAILED, MessageState.EXPIRED, MessageState.CANCELLED)


@dataclass(frozen=True)
class Happening:
    """Something to tell. `subject` and `detail` name it among all of its type; `state` is what a message.ack is about."""

    type: EventType
    subject: str
    detail: str
    at: datetime
    state: MessageState | None = None

    @property
    def event_id(self) -> str:
        """Always the same for the same happening."""
        return event_id(self.type.value, self.subject, self.detail)


@dataclass(frozen=True)
class MessageFacts:
    """What is on record of a message. `edits`: the time of each, by its name. `from_api`: it is a row of the outbox."""

    message_id: str
    from_api: bool
    direction: str
    kind: str
    at: datetime
    state: MessageState
    times: Mapping[str, datetime]
    edits: Mapping[str, datetime]
    revoked_at: datetime | None


def event_id(*parts: str) -> str:
    """The id of what these parts name."""
    # Length-prefixed, so that no two lists of parts run together into one text.
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return "evt_" + b32encode(hashlib.sha256(joined.encode()).digest()).decode().lower()[:26]


def of_message(facts: MessageFacts) -> list[Happening]:
    """Everything that can be told of a message by now, in its order."""
    if facts.kind == _UNREADABLE:
        return []
    return [*(_sent(facts) if facts.from_api else _heard(facts)), *_changed(facts)]


def of_session(account: str, at: datetime) -> Happening:
    """A change of a session's state, named by the time of the write that made it."""
    return Happening(EventType.SESSION_STATUS, account, at.isoformat(), at)


def of_notice(event_type: EventType, notice: str, at: datetime) -> Happening:
    """A change of a group, or a call, by the id of its record."""
    return Happening(event_type, notice, "", at)


def wants(filters: frozenset[str], event_type: str) -> bool:
    """Whether a webhook with these filters is told of events of this type."""
    return event_type in filters or "*" in filters


def envelope(event_id: str, event_type: str, at: str, session_id: str | None, data: object) -> dict[str, object]:
    """An event as it is sent. `at` is RFC 3339."""
    return {"id": event_id, "type": event_type, "timestamp": at, "session_id": session_id, "data": data}


def _heard(facts: MessageFacts) -> list[Happening]:
    if facts.kind == _REACTION:
        return [Happening(EventType.MESSAGE_REACTION, facts.message_id, "", facts.at)]
    told = [Happening(EventType.MESSAGE_ANY, facts.message_id, "", facts.at)]
    if facts.direction == "in":
        told.insert(0, Happening(EventType.MESSAGE, facts.message_id, "", facts.at))
    return told


def _sent(facts: MessageFacts) -> list[Happening]:
    """A message of the API is part of its chat once WhatsApp has it."""
    acks = [_ack(facts, state) for state in _ON_ITS_WAY if state.value in facts.times]
    if acks and facts.kind not in _CHANGES:
        told = EventType.MESSAGE_REACTION if facts.kind == _REACTION else EventType.MESSAGE_ANY
        acks.insert(0, Happening(told, facts.message_id, "", acks[0].at))
    ends = [_ack(facts, state) for state in _ENDS if state.value in facts.times]
    # One that was given up and turned out to be there has its end behind it.
    return [*acks, *ends] if facts.state in _ENDS else [*ends, *acks]


def _ack(facts: MessageFacts, state: MessageState) -> Happening:
    at = facts.times[state.value]
    # A dead letter that was replayed can fail again; what arrived arrives once.
    detail = f"{state.value} {at.isoformat()}" if state in _ENDS else state.value
    return Happening(EventType.MESSAGE_ACK, facts.message_id, detail, at, state)


def _changed(facts: MessageFacts) -> list[Happening]:
    edits = sorted(facts.edits.items(), key=lambda edit: (edit[1], edit[0]))
    told = [Happening(EventType.MESSAGE_EDITED, facts.message_id, name, at) for name, at in edits]
    if facts.revoked_at is not None:
        told.append(Happening(EventType.MESSAGE_REVOKED, facts.message_id, "", facts.revoked_at))
    return told
