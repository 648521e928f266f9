"""What the supervisor and its cells say to each other: one JSON object a line, over a socket pair that ends with either side.

A command is `{"id", "device", "do", …}` and is answered by `{"re": id, …}`; an event is `{"device", "event": {…}}`, and
what a cell says of its egress now and then `{"egress": {…}}`.
"""

from __future__ import annotations

import dataclasses
import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any

from keepline.domain import link_events
from keepline.domain.link_events import LinkEvent

# The longest thing that travels is a heard message: a text of 65,536 characters, each escaped in up to twelve bytes, beside half
# a mebibyte of what else it says (cell/reading.py).
FRAME_BYTES_MAX = 1 << 21

_EVENT_TYPES: dict[str, type[Any]] = {
    event.__name__: event
    for event in (
        link_events.PairingCode,
        link_events.PairingEnded,
        link_events.Paired,
        link_events.Connected,
        link_events.CaughtUp,
        link_events.Disconnected,
        link_events.LoggedOut,
        link_events.Banned,
        link_events.Outdated,
        link_events.Replaced,
        link_events.LinkFailed,
        link_events.Stalled,
        link_events.Resumed,
        link_events.QualityChanged,
        link_events.Evidence,
        link_events.RateSignal,
        link_events.PhoneSeen,
        link_events.MessageHeard,
        link_events.MessageUnreadable,
        link_events.ReceiptHeard,
        link_events.NoticeHeard,
        link_events.MediaWaiting,
    )
}


def encode(frame: dict[str, Any]) -> bytes:
    """One frame as a line."""
    return json.dumps(frame, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(line)
    return frame


def event_to_json(event: LinkEvent) -> dict[str, Any]:
    """An event as plain JSON values, with its type's name."""
    fields = {name: _to_json(value) for name, value in vars(event).items()}
    return {"type": type(event).__name__, **fields}


def event_from_json(fields: dict[str, Any]) -> LinkEvent:
    values = dict(fields)
    event_type = _EVENT_TYPES[values.pop("type")]
    hints = {field.name: str(field.type) for field in dataclasses.fields(event_type)}
    event: LinkEvent = event_type(**{name: _from_json(value, hints[name]) for name, value in values.items()})
    return event


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value


def _from_json(value: Any, hint: str) -> Any:
    if value is None:
        return None
    if hint == "datetime":
        return datetime.fromtimestamp(value, UTC)
    if hint.startswith("bytes"):
        return b64decode(value)
    if hint.startswith("tuple"):
        return tuple(value)
    return value
