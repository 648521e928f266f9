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
TargetState = Literal["unknown", "up", "degraded", "down"]
TargetMethod = Literal["GET", "HEAD", "POST"]
TargetPreset = Literal["conservative", "balanced", "aggressive"]
Severity = Literal["info", "warning", "critical"]
AlertState = Literal["open", "closed"]
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


# Events and alerts.


class Event(TypedDict):
    """Something that happened. `user_id` is None for the installation's."""

    event_id: str
    kind: str
    at: str
    severity: Severity
    user_id: str | None
    session_id: str | None
    subject: str
    code: str
    sentence: str
    next_step: str
    details: dict[str, object]


class EventPage(TypedDict):
    """Events, newest first; `next_before` is for the next page, None on the last."""

    events: list[Event]
    next_before: str | None


class Alert(TypedDict):
    """A condition that somebody should know of. `count`: in how many rounds, one a minute, it was seen."""

    alert_id: str
    rule: str
    subject: str
    user_id: str | None
    session_id: str | None
    severity: Severity
    state: AlertState
    code: str
    sentence: str
    next_step: str
    details: dict[str, object]
    opened_at: str
    last_seen_at: str
    closed_at: str | None
    count: int
    acknowledged_at: str | None
    acknowledged_by: str | None


class AlertPage(TypedDict):
    """Alerts, newest first; `next_before` is for the next page, None on the last."""

    alerts: list[Alert]
    next_before: str | None


class Threshold(TypedDict):
    """What holds, what holds when nobody says another, and what it may be."""

    value: float
    usual: float
    least: float
    most: float


class QuietHours(TypedDict):
    """From one time of the day (like 22:00) to another, by the clocks of a place (like Europe/Bucharest)."""

    begins: str
    ends: str
    time_zone: str


class AlertSettings(TypedDict):
    """The thresholds of the rules by their names, and the quiet hours."""

    thresholds: dict[str, Threshold]
    quiet_hours: QuietHours | None


class AlertChannel(TypedDict):
    """Somebody who is told of alerts. Of the address only its way is shown."""

    channel_id: str
    name: str
    kind: Literal["address", "webhook"]
    shown: str
    webhook_id: str | None
    least: Severity
    state: Literal["good", "failing"]
    failures: int
    failing_since: str | None
    error: str | None
    told_at: str | None
    created_at: str


class ChannelTest(TypedDict):
    """Whether a channel took a test, and why not."""

    told: bool
    error: str | None
    duration_ms: int


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


# Daily reports.


class ReportUptime(TypedDict):
    """How long sessions were connected, of the time in which they were linked; `share` is None when none was."""

    share: float | None
    watched_s: float
    downtime_s: float
    longest_s: float
    degraded_s: float
    disconnects: int
    reconnects: int


class MessageCounts(TypedDict):
    """Messages accepted on a day by where they stood: `sent` includes `delivered`, which includes `read`; and those received."""

    accepted: int
    sent: int
    delivered: int
    read: int
    failed: int
    expired: int
    cancelled: int
    in_doubt: int
    waiting: int
    received: int


class Delays(TypedDict):
    """Seconds from a message's turn to WhatsApp's acknowledgement, of so many that were measured."""

    measured: int
    p50_s: float
    p95_s: float
    max_s: float


class WebhookCounts(TypedDict):
    """Events for webhooks by where they stood."""

    delivered: int
    failed: int
    waiting: int


class CostPart(TypedDict):
    """One line of an estimate."""

    name: str
    quantity: float
    unit: str
    usd: float


class Cost(TypedDict):
    """What a day cost by Google's price lists, as an estimate."""

    usd: float
    parts: list[CostPart]
    prices_of: str


# `from` is a word of Python's own.
ReportHour = TypedDict("ReportHour", {"from": str, "accepted": int, "received": int, "downtime_s": float})


class SessionDay(TypedDict):
    """What one session did on a day."""

    session_id: str
    user_id: str
    uptime: ReportUptime
    messages: MessageCounts
    delays: Delays | None
    doubts: int
    bans: int
    rate_signals: int
    dead_letters: int


class ReportTold(TypedDict):
    """Whether a report was sent to the channels."""

    state: Literal["pending", "telling", "told", "off", "failed"]
    at: str | None
    attempts: int


_ReportBounds = TypedDict("_ReportBounds", {"from": str, "to": str})


class Report(_ReportBounds):
    """What a day was like. `user_id` is None for the installation's; lists leave out `hours` and `sessions`."""

    report_id: str
    user_id: str | None
    date: str
    time_zone: str
    made_at: str
    sessions_total: int
    uptime: ReportUptime
    messages: MessageCounts
    delays: Delays | None
    doubts: int
    bans: int
    rate_signals: int
    dead_letters: int
    limit_minutes: dict[str, int]
    webhooks: WebhookCounts
    cost: Cost
    hours: NotRequired[list[ReportHour]]
    sessions: NotRequired[list[SessionDay]]
    told: ReportTold


class ReportPage(TypedDict):
    """Reports, newest first; `next_before` is for the next page, None on the last."""

    reports: list[Report]
    next_before: str | None


class ReportSettings(TypedDict):
    """How reports are wanted, and when the next one can be there."""

    enabled: bool
    time_zone: str
    next_report_at: str


class ConnectorCounts(TypedDict):
    """How many connectors are how."""

    alive: int
    silent: int
    stopped: int


class FleetQueue(TypedDict):
    """What waits with all connectors together."""

    queued: int
    oldest_queued_s: float


class FleetConnector(TypedDict):
    """A connector as its newest heartbeat has it."""

    id: str
    region: str
    state: Literal["alive", "silent", "stopped"]
    heartbeat_age_s: float
    draining: bool
    capacity: int
    devices: int
    poor_devices: int
    held_devices: int
    queued: int
    oldest_queued_s: float


class Fleet(TypedDict):
    """The whole installation: everybody's sessions by state, what waits, and each connector."""

    at: str
    sessions: dict[str, int]
    queue: FleetQueue
    connectors: list[FleetConnector]


class Health(TypedDict):
    """Whether the API and its store answer; detailed also the connectors, and the sessions by state."""

    status: Literal["ok"]
    store: Literal["ok"]
    connectors: NotRequired[ConnectorCounts]
    sessions: NotRequired[dict[str, int]]


# What is watched, for operators.


class Figures(TypedDict):
    """A period of a target. `uptime` is the share of the time that is known of; None when nobody watched."""

    uptime: float | None
    down_s: float
    watched_s: float
    not_watched_s: float
    outages: int


class Periods(TypedDict):
    """The last 24 hours, 7, 30 and 90 days."""

    day: Figures
    week: Figures
    month: Figures
    quarter: Figures


class Budget(TypedDict):
    """What a target may be down and keep its objective."""

    slo: float
    days: int
    allowed_s: float
    used_s: float
    left_s: float


class TargetSettings(TypedDict):
    """How a target is judged."""

    preset: TargetPreset
    interval_s: int
    failures_until_down: int
    successes_until_up: int
    slow_ms: int
    timeout_ms: int
    degradation_window_s: int
    slo: float


class TargetSettingsChanges(TypedDict, total=False):
    """What can be said of how a target is judged; None goes back to what it is without being said."""

    preset: TargetPreset | None
    interval_s: Literal[3, 5, 10] | None
    failures_until_down: int | None
    successes_until_up: int | None
    slow_ms: int | None
    timeout_ms: int | None
    degradation_window_s: int | None
    slo: float | None


class TargetCheck(TypedDict):
    """How a target by URL is asked; of its headers only the names are shown."""

    url: str
    method: TargetMethod
    expected_status: list[int]
    text: str | None
    headers: list[str]


class Target(TypedDict):
    """Something that is watched."""

    target_id: str
    name: str
    kind: Literal["connector", "api", "url"]
    enabled: bool
    state: TargetState
    since: str
    reason: Reason
    checked_at: str | None
    response_ms: int | None
    degrading_since: str | None
    outage_id: str | None
    check: TargetCheck | None
    settings: TargetSettings
    uptime: Periods
    budget: Budget


class UptimeOverview(TypedDict):
    """All that is watched, and until when somebody watched."""

    at: str
    watched_until: str | None
    targets: list[Target]


class ResponseTimes(TypedDict):
    """How long answers took; None without any."""

    average_ms: int | None
    p95_ms: int | None
    max_ms: int | None


class UptimeDay(Figures):
    """A day in UTC."""

    date: str
    checks: int
    failures: int
    response: ResponseTimes


class UptimeMonth(Figures):
    """A month in UTC, as far as the last 90 days go."""

    month: str


class Sample(TypedDict):
    """One of the last checks."""

    at: str
    response_ms: int | None
    ok: bool


class Incident(TypedDict):
    """An outage; `ended_at` is None while it lasts."""

    outage_id: str
    began_at: str
    ended_at: str | None
    down_s: float
    detected_at: str
    detected_by: str
    reason: Reason


class RecoveryStep(TypedDict):
    """What was done for a target. `ended_at` is None while it is under way."""

    way: Literal["drain", "restart", "redeploy", "undrain"]
    attempt: int
    state: Literal["under_way", "done", "failed", "not_offered", "called_off", "left_running"]
    at: str
    ended_at: str | None
    detail: str


class Recovery(TypedDict):
    """A recovery of a target. `winner`: what was done first when it was healthy again."""

    recovery_id: str
    reason: Literal["down", "degrading"]
    phase: Literal["cooling", "draining", "trying", "recovered", "failed", "advised"]
    began_at: str
    opened_at: str
    ended_at: str | None
    next_at: str | None
    attempts: int
    winner: Literal["restart", "redeploy"] | None
    code: str
    sentence: str
    steps: list[RecoveryStep]


class TargetStory(Target):
    """A target with all that is on record of it."""

    longest_outage_s: float | None
    mttr_s: float | None
    days: list[UptimeDay]
    months: list[UptimeMonth]
    recent: list[Sample]
    incidents: list[Incident]
    recoveries: list[Recovery]


class TargetChanges(TypedDict, total=False):
    """What can be changed of a target; of Keepline's own parts the name, the settings and whether they are watched."""

    name: str
    url: str
    method: TargetMethod
    expected_status: list[int]
    text: str | None
    headers: Mapping[str, str]
    settings: TargetSettingsChanges
    enabled: bool
