"""Events on their way to a function: what the emulators send, made into what the cloud would deliver."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_PUBSUB_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"


class UnreadableEventError(ValueError):
    """The request is not an event as an emulator sends it."""


@dataclass(frozen=True)
class Event:
    """A binary-mode CloudEvent for one function: its headers (`ce-…` and the content type, lower case) and its body."""

    function: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def id(self) -> str:
        return dict(self.headers)["ce-id"]


def from_firestore_emulator(function: str, headers: Iterable[tuple[str, str]], body: bytes) -> Event:
    """The event that Eventarc would deliver, from a trigger request of the Firestore emulator.

    The emulator differs in two things: the protobuf body is base64 text, and the source says `projects/projects/`.
    """
    kept = {}
    for name, value in headers:
        name = name.lower()
        if name.startswith("ce-") or name == "content-type":
            kept[name] = value
    if "ce-id" not in kept or "ce-type" not in kept:
        raise UnreadableEventError("the request carries no CloudEvent")
    kept["ce-source"] = kept.get("ce-source", "").replace("/projects/projects/", "/projects/", 1)
    try:
        decoded = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise UnreadableEventError(f"the body is not base64: {error}") from error
    return Event(function, tuple(kept.items()), decoded)


def from_pubsub_push(function: str, project: str, topic: str, body: bytes) -> Event:
    """The event that Eventarc would deliver for a Pub/Sub push request (its JSON body, message and subscription, goes along)."""
    try:
        push: dict[str, Any] = json.loads(body)
        message = push["message"]
        message_id, published = message["messageId"], message["publishTime"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableEventError(f"the body is no Pub/Sub push: {error!r}") from error
    headers = {
        "ce-specversion": "1.0",
        "ce-id": str(message_id),
        "ce-type": _PUBSUB_TYPE,
        "ce-source": f"//pubsub.googleapis.com/projects/{project}/topics/{topic}",
        "ce-time": str(published),
        "content-type": "application/json",
    }
    return Event(function, tuple(headers.items()), body)
