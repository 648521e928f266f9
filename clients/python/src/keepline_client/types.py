"""The API's JSON, shape by shape. docs/api.md says what each field means.

They are dictionaries as they came: a newer Keepline may send fields and states that are not here yet, and nothing breaks.
Times are texts like 2026-11-21T10:47:45.437Z; what ends in `_s` is in seconds, in `_ms` in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from typing_extensions import NotRequired

Slot = Literal["a", "b"]
OnDoubt = Literal["resend", "hold"]
Pacing = Literal["careful", "normal", "off"]
Presence = Literal["available", "unavailable"]
StandbySetting = Literal["offer", "off"]
Priority = Literal["high", "normal", "low"]
Scope = Literal["read", "send", "admin"]
Typing = Literal["composing", "recording", "paused"]
DeliveryState = Literal["pending", "delivered", "dead"]
SessionState = Literal[
    "starting",
    "pairing",
    "connected",
    "degraded",
    "reconnecting",
    "stopped",
    "logged_out",
    "banned",
    "outdated",
    "failed",
]
MessageState = Literal[
    "scheduled",
    "queued",
    "sending",
    "in_doubt",
    "sent",
    "delivered",
    "read",
    "played",
    "failed",
    "expired",
    "cancelled",
]
# How far a message can be waited for.
Reached = Literal["sent", "delivered", "read", "played"]


# Sessions.


class SessionSettings(TypedDict, total=False):
    """What a session's owner chooses. None is the default."""

    on_doubt: OnDoubt | None
    pacing: Pacing | None
    presence: Presence | None
    proxy: str | None
    standby: StandbySetting | None


class Reason(TypedDict):
    """Why something is as it is, and what a person can do."""

    code: str
    sentence: str
    next_step: str


class Evidence(TypedDict):
    """The newest proof of life."""

    at: str
    kind: str
    age_ms: int
    quality: int | None


class Activity(TypedDict):
    """What was last heard."""

    at: str
    kind: str


class Device(TypedDict):
    """A linked device of a session. Diagnostics have its `evidence` too."""

    slot: Slot
    state: SessionState
    reason: Reason
    connector: str | None
    region: str | None
    reconnect_attempts: int
    breaker: Literal["closed", "open", "half_open"]
    last_activity: Activity | None
    evidence: NotRequired[Evidence | None]


class Standby(TypedDict):
    """How the second device is."""

    state: Literal["none", "offered", "linking", "ready", "away"]
    setting: StandbySetting
    offered_at: str | None
    sentence: str
    next_step: str


class Held(Reason):
    """Why all that waits is held back, and until when."""

    until: str


class Queue(TypedDict):
    """What waits."""

    queued: int
    oldest_s: float | None
    held: Held | None


class Proxy(TypedDict):
    """A session's own way to WhatsApp."""

    scheme: str
    host: str
    port: int
    has_credentials: bool


class Session(TypedDict):
    """One WhatsApp number's connection."""

    session_id: str
    user_id: str
    phone: str | None
    lid: str | None
    state: SessionState
    reason: Reason
    evidence: Evidence | None
    devices: list[Device]
    standby: Standby
    on_doubt: OnDoubt
    pacing: Pacing
    presence: Presence
    proxy: Proxy | None
    queue: Queue
    created_at: str


class QrCode(TypedDict):
    """A code to scan: `qr` is its text."""

    qr: str
    offered_at: str
    expires_in_s: float


class ShownQrCode(QrCode):
    """A code to scan with its picture for a terminal: light text on a dark ground."""

    art: str


class PairingCode(TypedDict):
    """A code to type into the phone."""

    code: str
    phone: str
    slot: Slot
    expires_in_s: float


class SessionHealth(TypedDict):
    """A session that can send and hear."""

    status: Literal["ok", "degraded"]
    session_id: str
    state: SessionState
    reason: Reason
    evidence: Evidence | None
    queue: Queue


class Connector(TypedDict):
    """Who holds a device."""

    connector: str
    region: str
    heartbeat_age_s: float
    silent: bool
    stopped: bool
    draining: bool


StateChange = TypedDict(
    "StateChange", {"at": str, "from": "str | None", "to": str, "code": str, "sentence": str}, total=True
)


class Places(TypedDict):
    """A limit of how many."""

    limit: int
    used: int


class Rate(TypedDict):
    """A limit of how often: `count` in `period_s` in the long run, `burst` at once."""

    count: int
    period_s: float
    burst: int
    remaining: int
    reset_s: float


class Limits(TypedDict):
    """A user's limits and what is left of them."""

    queue: Places
    user_sessions: Places
    messages: Rate
    sessions: Rate
    codes: Rate
    reconnects: Rate


class Diagnosis(TypedDict):
    """All that is known of a session."""

    session: Session
    connectors: list[Connector]
    events: list[StateChange]
    limits: Limits
    recommendations: list[Reason]


# Messages: what is sent.


class SendOptions(TypedDict, total=False):
    """What can be said of any send.

    A time is an aware datetime or RFC 3339 text. Without an `idempotency_key` the client makes one for each send.
    """

    send_at: datetime | str | None
    expires_at: datetime | str | None
    priority: Priority | None
    on_doubt: OnDoubt | None
    idempotency_key: str


class AnswerOptions(SendOptions, total=False):
    """What can be said of a send that may answer a message: `quote` is that message's id."""

    quote: str | None


class Preview(TypedDict):
    """The box under a link."""

    url: str
    title: str
    description: NotRequired[str]


class ContactCard(TypedDict):
    """A contact to send: with `phones`, or with a whole `vcard`."""

    name: str
    phones: NotRequired[Sequence[str]]
    vcard: NotRequired[str]


class MessageName(TypedDict):
    """Enough of a message to react to it, edit, revoke, forward it, or vote in it. A `Message` is one."""

    session_id: str
    message_id: str


class MessageInChat(MessageName):
    """Enough of a message to reply to it. A `Message` is one."""

    chat: str


# Messages: what is shown.


class Person(TypedDict):
    """Somebody, by both of WhatsApp's names, as digits."""

    phone: str | None
    lid: str | None


class MessageError(TypedDict):
    """Why a message is not where it should be."""

    code: str
    message: str
    hint: str


class Location(TypedDict):
    """A place, in degrees."""

    latitude: float
    longitude: float
    name: str
    address: str


class Contact(TypedDict):
    """A contact card."""

    name: str
    vcard: str
    phones: list[str]


class Poll(TypedDict):
    """A poll; 0 `selectable` is any number."""

    question: str
    options: list[str]
    selectable: int


_From = TypedDict("_From", {"from": "Person | None"})
_Sender = TypedDict("_Sender", {"from": Person}, total=False)


class Reference(_Sender):
    """A message that another one is about. Ours knows its `message_id` alone until the send finds the rest."""

    message_id: str | None
    wa_message_id: NotRequired[str]
    chat: NotRequired[str]
    from_me: NotRequired[bool]


class Quote(Reference):
    """The message that this one answers."""

    text: str | None


class Vote(TypedDict):
    """What somebody chose in a poll; None where the poll is not known."""

    message: Reference
    options: list[str] | None


class Reaction(TypedDict):
    """An emoji on a message, an empty one to take it back."""

    message: Reference
    emoji: str


class Edit(TypedDict):
    """New words for a message."""

    message: Reference
    text: str


class Revoke(TypedDict):
    """A message that is deleted for everyone."""

    message: Reference


class Message(_From):
    """A message, in or out. What it says besides `text` stands in the fields of its kind."""

    message_id: str
    session_id: str
    chat: str
    direction: Literal["in", "out"]
    to: Person | None
    kind: str
    text: str | None
    edited_at: str | None
    revoked_at: str | None
    state: MessageState
    wa_message_id: str | None
    times: dict[str, str]
    error: MessageError | None
    # By kind.
    mentions: NotRequired[list[Person]]
    preview: NotRequired[Preview]
    quote: NotRequired[Quote]
    forwarded: NotRequired[bool]
    location: NotRequired[Location]
    contacts: NotRequired[list[Contact]]
    poll: NotRequired[Poll]
    vote: NotRequired[Vote]
    reaction: NotRequired[Reaction]
    edit: NotRequired[Edit]
    revoke: NotRequired[Revoke]
    unsupported: NotRequired[str]
    # Of messages that the API sent.
    send_at: NotRequired[str | None]
    expires_at: NotRequired[str | None]
    priority: NotRequired[Priority]
    on_doubt: NotRequired[OnDoubt]
    attempts: NotRequired[int]
    repairs: NotRequired[int]


class MessagePage(TypedDict):
    """Messages, newest first; `next_before` is for the next page, None on the last."""

    messages: list[Message]
    next_before: str | None


class DeadLetterPage(TypedDict):
    """Dead letters, newest first; `next_before` is for the next page, None on the last."""

    dead_letters: list[Message]
    next_before: str | None


# Webhooks.


class WebhookChanges(TypedDict, total=False):
    """What can be changed of a webhook."""

    url: str
    events: Sequence[str]
    headers: Mapping[str, str]
    enabled: bool


class Endpoint(TypedDict):
    """How the address that is called fares."""

    state: Literal["good", "failing", "resting"]
    failures: int
    failures_before_rest: int
    rests_until: str | None


class Webhook(TypedDict):
    """A webhook; of its headers only the names are shown."""

    webhook_id: str
    session_id: str | None
    url: str
    events: list[str]
    headers: list[str]
    enabled: bool
    disabled: Reason | None
    endpoint: Endpoint
    created_at: str


class NewWebhook(Webhook):
    """A webhook with its secret, which is shown this once."""

    secret: str


class WebhookTest(TypedDict):
    """What became of a test call."""

    delivered: bool
    status: int | None
    error: str | None
    duration_ms: int


class DeliveryTry(TypedDict):
    """One call of a delivery."""

    at: str
    status: int | None
    error: str | None
    duration_ms: int


class Delivery(TypedDict):
    """An event on its way to a webhook, with its last tries."""

    event_id: str
    type: str
    session_id: str
    chat: str | None
    state: DeliveryState
    attempts: int
    queued_at: str
    settled_at: str | None
    tries: list[DeliveryTry]


class DeliveryPage(TypedDict):
    """Deliveries, newest first; `next_before` is for the next page, None on the last."""

    deliveries: list[Delivery]
    next_before: str | None


class WebhookEvent(TypedDict):
    """What a webhook is told. The same event always has the same id. `data` is by its type, a `Message` mostly."""

    id: str
    type: str
    timestamp: str
    session_id: NotRequired[str | None]
    data: dict[str, object]


# Keys, and the installation.


class ApiKey(TypedDict):
    """An API key, without the key itself."""

    key_id: str
    name: str
    scopes: list[Scope]
    sessions: list[str] | None
    created_at: str
    last_used_at: str | None


class NewApiKey(ApiKey):
    """An API key with the key itself, which is shown this once."""

    key: str


class ConnectorCounts(TypedDict):
    """How many connectors are how."""

    alive: int
    silent: int
    stopped: int


class Health(TypedDict):
    """Whether the API and its store answer; detailed also the connectors, and the sessions by state."""

    status: Literal["ok"]
    store: Literal["ok"]
    connectors: NotRequired[ConnectorCounts]
    sessions: NotRequired[dict[str, int]]
