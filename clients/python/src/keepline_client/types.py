"""The API's JSON, shape by shape. docs/api.md says what each field means.

They are dictionaries as they came: a newer Keepline may send fields and states that are not here yet, and nothing breaks.
Times are texts like 2026-11-21T10:47:45.437Z; what ends in `_s` is in seconds, in `_ms` in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO, Literal, TypedDict

if TYPE_CHECKING:
    from typing_extensions import NotRequired

Slot = Literal["a", "b"]
OnDoubt = Literal["resend", "hold"]
Pacing = Literal["careful", "normal", "off"]
Presence = Literal["available", "unavailable"]
StandbySetting = Literal["offer", "off"]
Priority = Literal["high", "normal", "low"]
Scope = Literal["read", "send", "admin", "operator"]
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
MemberAction = Literal["add", "remove", "promote", "demote"]
# A file to upload; a text is a path.
Source = bytes | str | PathLike[str] | BinaryIO
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


class HeldDevice(TypedDict):
    """A linked device where it lives."""

    user_id: str
    session_id: str
    slot: str
    queued: int
    quality: int | None


class ConnectorDetails(Connector):
    """A connector with the devices that it holds."""

    capacity: int
    queued: int
    devices: list[HeldDevice]


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
    files: Rate
    lookups: Rate
    groups: Rate
    questions: Rate


class SessionPlaces(TypedDict):
    """Places for sessions: one's own, and those of the whole installation."""

    user_sessions: Places
    installation_sessions: Places


class Allowance(TypedDict):
    """What a user may do and have. `limits` are by their names."""

    limits: dict[str, Rate]
    places: SessionPlaces


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


class FileOptions(AnswerOptions, total=False):
    """What can be said of any send with a file, and the file itself: one of `url`, `media_id` and `file`.

    `url` is fetched by Keepline, `media_id` is of a file that was uploaded or came in, and `file` is uploaded now: bytes, a
    path, or an open binary file. `file_name` is what the recipient sees of a document.
    """

    url: str | None
    media_id: str | None
    file: Source | None
    file_name: str


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


class MessageFile(TypedDict):
    """The file of a message. Of one that came in, `state` says whether it is here yet; until then there is no `media_id`."""

    media_id: str | None
    mime_type: str
    size: int
    sha256: str
    file_name: str
    state: NotRequired[Literal["pending", "stored", "failed"]]
    error: NotRequired[MessageError | None]
    seconds: NotRequired[int]
    width: NotRequired[int]
    height: NotRequired[int]


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
    media: NotRequired[MessageFile]
    voice: NotRequired[bool]
    view_once: NotRequired[bool]
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


# Files.


class KeptFile(TypedDict):
    """A file that is kept until `expires_at`. Whoever has the `url` can fetch it until `url_expires_at`."""

    media_id: str
    mime_type: str
    size: int
    sha256: str
    file_name: str
    source: Literal["upload", "url", "inbound"]
    expires_at: str
    url: str
    url_expires_at: str


# Groups and contacts.


class GroupSummary(TypedDict):
    """A group that the number is in: `members` is how many there are, `admin` whether the number runs it."""

    chat: str
    subject: str
    members: int
    admin: bool


class GroupMember(Person):
    """Somebody in a group; `admin` runs it."""

    admin: bool


class Group(TypedDict):
    """A group. `announcement`: only those who run it write; `locked`: only they change its settings."""

    chat: str
    subject: str
    announcement: bool
    locked: bool
    owner: Person | None
    members: list[GroupMember]


class MemberChange(Person):
    """What was done with somebody."""

    action: MemberAction


class Refusal(TypedDict):
    """Why something was not done with somebody."""

    code: str
    message: str


class RefusedChange(MemberChange):
    """What was not done with somebody."""

    error: Refusal


class NewGroup(Group):
    """A group that was made now, and who could not be added."""

    refused: list[RefusedChange]


class MemberChanges(TypedDict):
    """What was done with a group's members, and what was not."""

    changed: list[MemberChange]
    refused: list[RefusedChange]


class RenamedGroup(TypedDict):
    """A group's new name."""

    chat: str
    subject: str


class CheckedContact(Person):
    """Whether somebody is on WhatsApp; None where that cannot be asked. `asked` is as it was given."""

    asked: str
    on_whatsapp: bool | None
    business_name: str | None
    checked_at: str


class Picture(TypedDict):
    """A contact's picture, by WhatsApp's own link."""

    id: str
    url: str


class ContactProfile(Person):
    """What somebody shows of themselves; `picture_hidden` says that there is a picture for others."""

    about: str | None
    business_name: str | None
    picture: Picture | None
    picture_hidden: bool


# Webhooks and live events.


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
    """What webhooks and listeners are told. The same event always has the same id. `data` is by its type, mostly a `Message`."""

    id: str
    type: str
    timestamp: str
    session_id: NotRequired[str | None]
    data: dict[str, object]


class KeptEvents(TypedDict):
    """Where Firestore has a user's events, and until when they are written there."""

    collection: str
    kept_until: str


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
