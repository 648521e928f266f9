"""The shapes of answers about sessions, keys, health and live events: what views.py promises, and what the description shows.

mypy holds views.py to them, and every test of the API holds the answers themselves. The text under a field is its description;
those of a class's own fields alone are read, so a shape that extends another one takes the rest from there (openapi.py).
"""

from __future__ import annotations

from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic takes typing's own from Python 3.12 on
)

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from keepline.domain.link_settings import Presence
from keepline.domain.message import OnDoubt
from keepline.domain.session import SessionState
from keepline.domain.standby import Standby, StandbySetting

At = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A time in UTC with milliseconds."""

Slot = Literal["a", "b"]


def shape(**example: Any) -> ConfigDict:
    """How an answer's TypedDict is described: by the texts under its fields, with an example if one is given."""
    extra: Any = {"examples": [example]} if example else None
    return ConfigDict(use_attribute_docstrings=True, json_schema_extra=extra)


@with_config(shape(code="connected", sentence="WhatsApp answers.", next_step="Nothing to do."))
class ReasonJson(TypedDict):
    """Why something is so, and what a person can do."""

    code: str
    """Stable, for programs."""
    sentence: str
    """For people."""
    next_step: str
    """What to do now, if anything."""


@with_config(shape(at="2026-11-21T10:47:45.437Z", kind="answer", age_ms=1295, quality=100))
class EvidenceJson(TypedDict):
    """The newest proof of life from WhatsApp, decrypted."""

    at: At
    kind: str
    """`login`, `message`, `receipt` or `answer` (to what was sent or asked)."""
    age_ms: int
    """How old it is, in milliseconds."""
    quality: int | None
    """How good the connection is, 0 to 100; null while that is not known."""


@with_config(shape())
class HeldJson(TypedDict):
    """Why pacing holds back all that waits, and until when."""

    code: str
    """`spacing`, `chat`, `first_contacts`, `time_lock`, `rate_limit` or `banned`."""
    sentence: str
    """For people."""
    next_step: str
    """What to do now, if anything."""
    until: At


@with_config(shape(queued=0, oldest_s=None, held=None))
class QueueJson(TypedDict):
    """What waits of a session."""

    queued: int
    """How many messages wait, those for later included; beyond 10,000 the number stops there."""
    oldest_s: float | None
    """How long the first one that is due has waited, in seconds; null when none is due."""
    held: HeldJson | None
    """Null when pacing does not hold it back."""


@with_config(shape(at="2026-11-21T10:47:45.437Z", kind="answer"))
class ActivityJson(TypedDict):
    """What was last heard from WhatsApp on a device."""

    at: At
    kind: str | None
    """As in the session's evidence."""


@with_config(
    shape(
        slot="a",
        state="connected",
        reason={"code": "connected", "sentence": "WhatsApp answers.", "next_step": "Nothing to do."},
        connector="connector-2",
        region="europe-west1",
        reconnect_attempts=0,
        breaker="closed",
        last_activity={"at": "2026-11-21T10:47:45.437Z", "kind": "answer"},
    )
)
class DeviceJson(TypedDict):
    """One of a session's linked devices."""

    slot: str
    """`a` is the first device, `b` the standby."""
    state: SessionState
    reason: ReasonJson
    connector: str | None
    """Who holds it; null while nobody does."""
    region: str | None
    """Where that is."""
    reconnect_attempts: int
    """Tries to connect that failed in a row."""
    breaker: Annotated[str, Field(json_schema_extra={"enum": ["closed", "open", "half_open"]})]
    """Whether it is tried fast (`closed`), now and then (`open`), or has come back and must prove itself (`half_open`)."""
    last_activity: ActivityJson | None
    """Null before anything was heard."""
    evidence: NotRequired[EvidenceJson | None]
    """In diagnostics alone."""


@with_config(
    shape(
        state="offered",
        setting="offer",
        offered_at="2026-11-21T10:48:12.412Z",
        sentence="The session works with one device and has no standby; one can be linked at once.",
        next_step="Show its QR code (slot b) or ask for its pairing code, and link it with the same phone.",
    )
)
class SessionStandbyJson(TypedDict):
    """How a session's second device is."""

    state: Standby
    setting: StandbySetting
    offered_at: At | None
    """When one was offered; or null."""
    sentence: str
    """For people."""
    next_step: str
    """What to do now, if anything."""


@with_config(shape(scheme="socks5", host="proxy.example", port=1080, has_credentials=True))
class ProxyJson(TypedDict):
    """A session's own proxy, without its name and password."""

    scheme: str
    """`http` or `socks5`."""
    host: str
    port: int
    has_credentials: bool
    """Whether a name and a password were set."""


@with_config(shape())
class SessionJson(TypedDict):
    """One WhatsApp number's connection."""

    session_id: Annotated[str, Field(examples=["support"])]
    user_id: Annotated[str, Field(examples=["demo"])]
    """Whose it is."""
    phone: Annotated[str | None, Field(examples=["14155550100"])]
    """The linked number as digits; null until a phone has scanned."""
    lid: Annotated[str | None, Field(examples=["136169848115982"])]
    """WhatsApp's other name for the number, as digits."""
    state: SessionState
    reason: ReasonJson
    """Why it is in this state, and what a person can do."""
    evidence: EvidenceJson | None
    """Null when there is none."""
    devices: list[DeviceJson]
    standby: SessionStandbyJson
    on_doubt: OnDoubt
    """What holds for messages that do not say it themselves."""
    pacing: Annotated[str, Field(json_schema_extra={"enum": ["careful", "normal", "off"]}, examples=["normal"])]
    """How fast its messages leave."""
    presence: Presence
    """How contacts see the number."""
    proxy: ProxyJson | None
    """Null: the connector's own way."""
    queue: QueueJson
    created_at: At


@with_config(shape())
class SessionsJson(TypedDict):
    """All that a user has, the oldest first."""

    sessions: list[SessionJson]


@with_config(shape(code="1A2B-3C4D", phone="14155550100", slot="a", expires_in_s=158.4))
class PairingCodeJson(TypedDict):
    """A code to type into the phone."""

    code: str
    phone: str
    """The number that it is for."""
    slot: Slot
    expires_in_s: float
    """For how long it is good, in seconds."""


@with_config(shape(qr="2@kJ3…,AbC…", offered_at="2026-11-21T10:47:45.437Z", expires_in_s=18.2))
class QrCodeJson(TypedDict):
    """The code to scan now."""

    qr: str
    """What the QR code says."""
    offered_at: At
    expires_in_s: float
    """Ask again before this is over, in seconds."""


@with_config(
    shape(
        connector="connector-2",
        region="europe-west1",
        heartbeat_age_s=0.412,
        silent=False,
        stopped=False,
        draining=False,
    )
)
class ConnectorJson(TypedDict):
    """A connector as its newest heartbeat has it."""

    connector: str
    region: str
    heartbeat_age_s: float
    silent: bool
    """Its lease has run out."""
    stopped: bool
    """It said that it stops."""
    draining: bool
    """Its devices are being moved to others."""


_Change = TypedDict("_Change", {"from": Annotated[str | None, Field(description="The state before; null at first.")]})


@with_config(shape())
class SessionEventJson(_Change):
    """A change of a session's state."""

    at: At
    to: str
    """The state after it."""
    code: str
    """Of the reason."""
    sentence: str
    """The reason for people."""


@with_config(shape(limit=10000, used=3))
class PlacesJson(TypedDict):
    """How many places there are, and how many are taken."""

    limit: int
    used: int


@with_config(shape(count=60, period_s=60.0, burst=30, remaining=20, reset_s=10.0))
class LimitJson(TypedDict):
    """One of the user's limits: `count` uses in `period_s` seconds in the long run, `burst` at once."""

    count: int
    period_s: float
    burst: int
    remaining: int
    """How many can be used at once now."""
    reset_s: float
    """When all of the burst is there again, in seconds."""


@with_config(shape())
class DiagnosisJson(TypedDict):
    """A session with all that is known of it."""

    session: SessionJson
    """With the `evidence` of each device."""
    connectors: list[ConnectorJson]
    events: list[SessionEventJson]
    """Its last 20 changes of state, the newest first."""
    limits: Annotated[
        dict[str, PlacesJson | LimitJson],
        Field(
            examples=[
                {
                    "queue": {"limit": 10000, "used": 0},
                    "messages": {"count": 60, "period_s": 60.0, "burst": 30, "remaining": 30, "reset_s": 0.0},
                }
            ]
        ),
    ]
    """`queue` and `user_sessions` by their places; and each of the user's limits by its name."""
    recommendations: list[ReasonJson]
    """What is worth a look, the most urgent first; empty when all is well."""


@with_config(shape())
class LimitsJson(TypedDict):
    """What the caller may do and have."""

    limits: Annotated[
        dict[str, LimitJson],
        Field(examples=[{"messages": {"count": 60, "period_s": 60.0, "burst": 30, "remaining": 29, "reset_s": 1.0}}]),
    ]
    """By their names."""
    places: Annotated[
        dict[str, PlacesJson],
        Field(
            examples=[{"user_sessions": {"limit": 5, "used": 2}, "installation_sessions": {"limit": 100, "used": 14}}]
        ),
    ]
    """For sessions: the caller's own, and the whole installation's."""


@with_config(shape(user_id="demo", session_id="support", slot="a", queued=0, quality=100))
class HeldDeviceJson(TypedDict):
    """A linked device where it lives."""

    user_id: str
    session_id: str
    slot: str
    queued: int
    """How many messages of its session wait with it."""
    quality: int | None
    """How good its connection is, 0 to 100; null while that is not known."""


@with_config(
    shape(
        connector="connector-2",
        region="europe-west1",
        heartbeat_age_s=0.412,
        silent=False,
        stopped=False,
        draining=False,
        capacity=200,
        queued=0,
        devices=[{"user_id": "demo", "session_id": "support", "slot": "a", "queued": 0, "quality": 100}],
    )
)
class ConnectorDetailsJson(ConnectorJson):
    """A connector with the devices that it holds."""

    capacity: int
    """How many devices it may hold."""
    queued: int
    """How many messages wait with it."""
    devices: list[HeldDeviceJson]


@with_config(shape())
class ConnectorsJson(TypedDict):
    """Every connector that has ever run, by its name."""

    connectors: list[ConnectorDetailsJson]


@with_config(shape(alive=2, silent=0, stopped=0))
class ConnectorCountsJson(TypedDict):
    """How many connectors are how."""

    alive: int
    silent: int
    stopped: int


@with_config(shape())
class HealthJson(TypedDict):
    """The API and Firestore answer. With `detailed` there is more."""

    status: Literal["ok"]
    store: Literal["ok"]
    connectors: NotRequired[ConnectorCountsJson]
    sessions: NotRequired[Annotated[dict[str, int], Field(examples=[{"connected": 3, "degraded": 0}])]]
    """How many of the caller's sessions are in which state."""


@with_config(shape())
class SessionHealthJson(TypedDict):
    """The session can send and hear."""

    status: Literal["ok", "degraded"]
    """`degraded`: the connection works badly."""
    session_id: Annotated[str, Field(examples=["support"])]
    state: SessionState
    reason: ReasonJson
    evidence: EvidenceJson | None
    queue: QueueJson


@with_config(
    shape(
        key_id="3f1c0a9be27d4c55",
        name="the till",
        scopes=["read", "send"],
        sessions=["support"],
        created_at="2026-11-21T10:47:45.437Z",
        last_used_at=None,
    )
)
class KeyJson(TypedDict):
    """An API key, without the key itself."""

    key_id: str
    name: str
    scopes: list[str]
    sessions: list[str] | None
    """Those that it is for; null: all, also those that come later."""
    created_at: At
    last_used_at: At | None
    """Right to the hour; null before the first use."""


@with_config(shape())
class MadeKeyJson(KeyJson):
    """A new API key. No other answer has the key itself."""

    key: Annotated[str, Field(examples=["kl_…"])]
    """Keepline keeps its hash alone."""


@with_config(shape())
class KeysJson(TypedDict):
    """The caller's keys, the oldest first."""

    keys: list[KeyJson]


@with_config(shape(collection="live/demo/events", kept_until="2026-11-24T10:47:45.437Z"))
class KeptEventsJson(TypedDict):
    """Where the user's events are written down in Firestore."""

    collection: str
    kept_until: At
    """Until when they are; ask again each day."""
