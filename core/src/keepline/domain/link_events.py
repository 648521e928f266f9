"""What a linked device tells us, as plain values. The connector's cells make them from the WhatsApp library's callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keepline.domain.content.files import File
from keepline.domain.content.references import Addressing


@dataclass(frozen=True)
class PairingCode:
    """WhatsApp offers a QR text to scan. It is good for about 20 s (60 s for the first of a round)."""

    qr: str


@dataclass(frozen=True)
class PairingEnded:
    """A round of QR codes ran out unscanned (WhatsApp closes after 160 s)."""


@dataclass(frozen=True)
class Paired:
    """A phone linked this device. `phone` and `lid` are digits; `device` the companion's number."""

    phone: str
    lid: str | None
    device: int


@dataclass(frozen=True)
class Connected:
    """Logged in, keys uploaded, ready to send. `phone` and `lid` are digits, where the store knows them."""

    phone: str | None = None
    lid: str | None = None


@dataclass(frozen=True)
class CaughtUp:
    """The offline queue has been delivered: whatever WhatsApp kept for us while we were away is here."""


@dataclass(frozen=True)
class Disconnected:
    """The socket is gone, or another could not be made for this cause (a reason's code); the link is being re-made."""

    cause: str = "socket_closed"


@dataclass(frozen=True)
class LoggedOut:
    """The phone removed this device or WhatsApp refused its credentials. Only a person with the phone can mend it."""

    code: int = 0


@dataclass(frozen=True)
class Banned:
    """WhatsApp banned the number for a while. `code` is its reason, `expires_in_s` 0 when it did not say."""

    code: int
    expires_in_s: int


@dataclass(frozen=True)
class Outdated:
    """WhatsApp refuses this build of the client."""


@dataclass(frozen=True)
class Replaced:
    """Another socket of the same device took over. Ours is cut and must not fight."""


@dataclass(frozen=True)
class LinkFailed:
    """A connection attempt failed for a reason that may pass. `cause` is a short stable word, `detail` the library's text."""

    cause: str
    detail: str = ""


@dataclass(frozen=True)
class Stalled:
    """The socket stands but WhatsApp has stopped answering."""


@dataclass(frozen=True)
class Resumed:
    """WhatsApp answers again on the same socket."""


@dataclass(frozen=True)
class QualityChanged:
    """The connection has become poor, or good again. Until this comes, one that stands is good.

    `because` is the code of what costs most of the `score` (link_quality.py), "" for nothing.
    """

    is_poor: bool
    score: int
    because: str


@dataclass(frozen=True)
class Evidence:
    """What WhatsApp was last heard to say, `age_ms` ago: `login`, `message`, `receipt` or `answer` (to what was sent or asked).

    All of them decrypted: bytes that come, or are acknowledged, prove nothing about who is to understand ours. `quality` is the
    connection's score at present, 0 to 100; None before anything is known.
    """

    kind: str
    age_ms: int
    quality: int | None = None


@dataclass(frozen=True)
class RateSignal:
    """WhatsApp says that this device does too much (429)."""


@dataclass(frozen=True)
class PhoneSeen:
    """The account's own phone wrote or read a message. WhatsApp tells nothing else of it."""

    at: datetime


@dataclass(frozen=True)
class MessageHeard:
    """A message that WhatsApp considers delivered to this device. `seq` numbers it in the device's journal.

    `content` has what its kind says besides the text (domain/content/heard.py); `addressing` is how its chat names its sender.
    """

    seq: int
    wa_message_id: str
    chat: str
    sender_phone: str | None
    sender_lid: str | None
    from_me: bool
    kind: str
    text: str | None
    at: datetime
    tag: bytes | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    addressing: Addressing = "phone"


@dataclass(frozen=True)
class MessageUnreadable:
    """A message that WhatsApp delivered and the library could not decrypt. It has asked for it again; mostly it comes."""

    seq: int
    wa_message_id: str
    chat: str
    sender_phone: str | None
    sender_lid: str | None
    from_me: bool
    at: datetime


@dataclass(frozen=True)
class ReceiptHeard:
    """A recipient's phone says what became of our messages. `status` is `delivered`, `read`, `played` or `unreadable`.

    `unreadable`: it asks for the message again, and the library no longer has it (it forgets at every restart).
    """

    seq: int
    wa_message_ids: tuple[str, ...]
    status: str
    at: datetime


@dataclass(frozen=True)
class NoticeHeard:
    """WhatsApp tells this device of something that is no message: a change of a group, or a call (domain/notices.py).

    `event` is the name of the event that it makes, and `said` what that tells. `name` stands for one notice of its kind. It is
    made of WhatsApp's own words, so that all devices of the account have the same, whatever they know of people. `at` is when
    it happened; of a group that we came into WhatsApp says no time, and it is when this device heard of it.
    """

    seq: int
    event: str
    chat: str
    name: str
    at: datetime
    said: Mapping[str, Any]


@dataclass(frozen=True)
class MediaWaiting:
    """A heard message has a file that this device can fetch: it has the key. Told again at every start, until it is forgotten.

    `since` is when it first did; `tag` is the message's secret. `mime_type` and `file_name` are what its sender calls the file,
    `size` what it should have.
    """

    chat: str
    wa_message_id: str
    since: datetime
    mime_type: str
    file_name: str
    size: int
    tag: bytes | None = None


@dataclass(frozen=True)
class CellLost:
    """The process that held the device died; another is being started."""


@dataclass(frozen=True)
class Moved:
    """The device was taken out of its process on purpose, and is offline until it is connected in another one, which is ready."""


StateEvent = (
    PairingCode
    | PairingEnded
    | Paired
    | Connected
    | CaughtUp
    | Disconnected
    | LoggedOut
    | Banned
    | Outdated
    | Replaced
    | LinkFailed
    | Stalled
    | Resumed
    | CellLost
    | Moved
)
# What a document is written of.
RecordedEvent = MessageHeard | MessageUnreadable | NoticeHeard
HeardEvent = RecordedEvent | ReceiptHeard
LinkEvent = StateEvent | HeardEvent | MediaWaiting | QualityChanged | Evidence | RateSignal | PhoneSeen


@dataclass(frozen=True)
class SendOutcome:
    """What became of one hand-over to the library.

    `result` is `sent` (WhatsApp acknowledged, `wa_message_id` is set), `not_sent` (certainly did not leave: try again),
    `refused` (WhatsApp or the library said no, `error_code` says why) or `unknown` (it may have left).
    """

    result: str
    wa_message_id: str | None = None
    error_code: str | None = None
    detail: str = field(default="", compare=False)
    to_phone: str | None = field(
        default=None, compare=False
    )  # its recipient by both names, where the device knows them
    to_lid: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class MediaOutcome:
    """What became of fetching the file of a heard message.

    It is `kept` in the media store until `kept_until`; or `error_code` says why not, for good if it is `final`.
    """

    kept: File | None = None
    kept_until: datetime | None = None
    error_code: str | None = None
    final: bool = False


@dataclass(frozen=True)
class Tried:
    """What a device knows of a tag. `acknowledged`: WhatsApp's answer to the send is in the device's journal."""

    wa_message_id: str
    acknowledged: bool
