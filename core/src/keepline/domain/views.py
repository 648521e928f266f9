"""What people are told: how old the proof of life behind a state is, and what a message's error code means in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from keepline.domain.message import MessageState
from keepline.domain.session import Reason, SessionStatus, shown_status

# A connector whose lease should have run out this long ago is called silent, also while no other connector is there to say so.
SILENT_AFTER_TTL_MS = 3_000
# WhatsApp is heard at least this often on a link that works: a question after 10 s of silence (lease.py, `normal`), its answer,
# and the heartbeat that tells of it 5 s later.
EVIDENCE_AGE_MS_MAX = 20_000


@dataclass(frozen=True)
class Proof:
    """The newest sign of life from WhatsApp on a device's link. `quality`: how good that link was then, 0 to 100, if known."""

    at: datetime
    kind: str
    age_ms: int
    quality: int | None


@dataclass(frozen=True)
class Outlook:
    """What a connector's heartbeat lets us say about a device, or about the account that its devices make up."""

    silent: bool
    proof: Proof | None


UNHELD = Outlook(silent=True, proof=None)


def outlook(
    now: datetime,
    *,
    beat_at: datetime,
    ttl_s: float,
    over: bool,
    evidence_kind: str | None,
    evidence_age_ms: int | None,
    quality: int | None,
) -> Outlook:
    """The outlook of a device whose connector beat at `beat_at` and said then how old its evidence was.

    `over`: nobody holds that connector's lease any more.
    """
    # The clocks of the store and of this machine may differ by a little; nothing is younger than now.
    beat_age_ms = max(0, round((now - beat_at) / timedelta(milliseconds=1)))
    silent = over or beat_age_ms > ttl_s * 1000 + SILENT_AFTER_TTL_MS
    if evidence_kind is None or evidence_age_ms is None:
        return Outlook(silent, None)
    age_ms = evidence_age_ms + beat_age_ms
    return Outlook(silent, Proof(now - timedelta(milliseconds=age_ms), evidence_kind, age_ms, quality))


def best(outlooks: Iterable[Outlook]) -> Outlook:
    """An account is as alive as the liveliest of its devices."""

    def liveliness(one: Outlook) -> tuple[bool, bool, int]:
        return (one.silent, one.proof is None, one.proof.age_ms if one.proof else 0)

    return min(outlooks, key=liveliness, default=UNHELD)


def told_status(status: SessionStatus, seen: Outlook) -> SessionStatus:
    """The state that may be claimed for a session or a device with this outlook."""
    return shown_status(
        status,
        evidence_age_ms=seen.proof.age_ms if seen.proof else None,
        connector_silent=seen.silent,
        evidence_age_ms_max=EVIDENCE_AGE_MS_MAX,
    )


# A standby is mended without touching the session.
_STANDBY_REASONS = {
    "logged_out": Reason(
        "logged_out", "The phone removed the standby device.", "Delete the standby, ask for it again and scan its code."
    )
}


def standby_reason(status: SessionStatus) -> Reason:
    """Why a standby device is in its state, with the step that mends the standby."""
    return _STANDBY_REASONS.get(status.code, status.reason)


@dataclass(frozen=True)
class MessageError:
    """Why a message is not where its sender wants it: a stable code, a sentence, the next step."""

    code: str
    message: str
    hint: str


_MEDIA_ERRORS: dict[str, MessageError] = {
    error.code: error
    for error in (
        MessageError(
            "media_lost",
            "The device that had the file's key lost it before the file was fetched.",
            "Ask its sender to send it again; with a standby device there is a second key.",
        ),
        MessageError(
            "media_not_set_up",
            "The connector has no store of files.",
            "Its operator gives it the same KEEPLINE_MEDIA_BUCKET or KEEPLINE_MEDIA_DIR as the functions.",
        ),
        MessageError(
            "media_unavailable",
            "The store of files did not take the file for days.",
            "Look at the media store and at the connector's right to write there; ask its sender to send it again.",
        ),
        MessageError("media_gone", "WhatsApp no longer has the file.", "Ask its sender to send it again."),
        MessageError(
            "media_damaged",
            "What WhatsApp has is not the file that the message names: its hash or its authenticator is wrong.",
            "Ask its sender to send it again.",
        ),
        MessageError("media_too_large", "The file is larger than is fetched (100 MiB).", "Look at it on the phone."),
        MessageError(
            "media_unreachable",
            "WhatsApp's media server could not be reached for days.",
            "Look at the connector's way out; ask its sender to send it again.",
        ),
    )
}


def media_error(code: str | None) -> MessageError | None:
    """Why a heard file cannot be had; None for none."""
    if code is None:
        return None
    return _MEDIA_ERRORS.get(code) or MessageError(
        code, "The file could not be fetched.", "Ask its sender for it again."
    )


_MESSAGE_ERRORS: dict[str, MessageError] = {
    error.code: error
    for error in (
        MessageError(
            "outcome_unknown",
            "The connection died while this message was on its way; whether WhatsApp took it is being found out.",
            "Nothing to do: proof settles it, or else what it says for this case (`on_doubt`).",
        ),
        MessageError(
            "not_connected",
            "The session was not connected to WhatsApp.",
            "Nothing to do while it is queued: it goes out when the session is connected.",
        ),
        MessageError(
            "not_handed_over",
            "The connection died before this message left, time and again.",
            "Look at the session's status, then send it again.",
        ),
        MessageError(
            "media_missing",
            "The file was removed before the message could be sent.",
            "Upload it again and send a new message; KEEPLINE_MEDIA_DAYS says how long files are kept.",
        ),
        MessageError(
            "media_changed",
            "The stored file is not the one that was accepted: its size or its hash is wrong.",
            "Upload it again and send a new message.",
        ),
        MessageError(
            "media_unavailable",
            "The store of files did not answer, time and again.",
            "Look at the media store, then replay the message.",
        ),
        MessageError(
            "media_not_set_up",
            "The connector has no store of files.",
            "Its operator gives it the same KEEPLINE_MEDIA_BUCKET or KEEPLINE_MEDIA_DIR as the functions.",
        ),
        MessageError(
            "upload_failed",
            "WhatsApp's media server did not take the file, time and again.",
            "Look at the session's status, then replay the message.",
        ),
        MessageError(
            "wa_400",
            "WhatsApp found the message malformed.",
            "Look at the recipient and the text; do not just repeat it.",
        ),
        MessageError(
            "wa_421",
            "WhatsApp could not route the message, time and again.",
            "Send it again later.",
        ),
        MessageError(
            "wa_429",
            "WhatsApp says that this number sends too much.",
            "Pause, then send more slowly: going on like this leads to a ban.",
        ),
        MessageError(
            "wa_463",
            "WhatsApp does not let this number write first to people it has not talked to, for now.",
            "Let the recipient write first, or wait until WhatsApp lifts the restriction.",
        ),
        MessageError(
            "wa_479",
            "WhatsApp refused the message for this recipient.",
            "Check that the recipient can be written to from the phone.",
        ),
        MessageError("wa_500", "WhatsApp had an error of its own, time and again.", "Send it again later."),
        MessageError("wa_503", "WhatsApp was not available for this message, time and again.", "Send it again later."),
        MessageError(
            "no_lid",
            "WhatsApp knows no account behind this number.",
            "Check the number and its country code.",
        ),
        MessageError(
            "not_in_group", "This number is not in the group.", "Have somebody add it, then replay the message."
        ),
        MessageError("no_such_group", "WhatsApp knows no such group.", "Look at the id of the group."),
        MessageError(
            "no_poll_secret",
            "The device that sends has no key for votes in this poll: it came before the device was linked, or was lost.",
            "Vote on the phone.",
        ),
        MessageError(
            "bad_recipient", "Messages cannot be sent to this address.", "Send to the phone number of a person."
        ),
        MessageError("not_on_whatsapp", "This number is not on WhatsApp.", "Check the number and its country code."),
        MessageError(
            "expired",
            "Its time ran out before it could be sent.",
            "Send it as a new message if it is still worth it; look at the session's status if this surprises you.",
        ),
        MessageError(
            "session_deleted",
            "The session was deleted while this message was queued.",
            "Create a session and send it from there.",
        ),
        MessageError(
            "refused", "WhatsApp refused the message.", "Look at the recipient and the text; do not just repeat it."
        ),
        MessageError(
            "send_failed", "The message could not be sent.", "Look at the session's status, then send it again."
        ),
    )
}


# The same code once nothing more is being found out.
_OUTCOME_STAYS_UNKNOWN = MessageError(
    "outcome_unknown",
    "It may have reached the recipient; nobody knows.",
    "Look at the chat on the phone, then replay the message or leave it.",
)


_HELD_REASONS = {
    reason.code: reason
    for reason in (
        Reason(
            "spacing",
            "Messages leave one by one, with pauses as a person makes them.",
            "Nothing to do. Who paces its own sending can set the session's pacing to off.",
        ),
        Reason(
            "chat",
            "This chat has had many messages in a short time.",
            "Nothing to do: they follow one every 6 s, which is WhatsApp's own measure.",
        ),
        Reason(
            "first_contacts",
            "All that waits is for people to whom this number has never written, and today's or this minute's share is used up.",
            "Nothing to do: the share grows while the number is new. Writing to many strangers gets numbers banned.",
        ),
        Reason(
            "time_lock",
            "WhatsApp does not let this number write to new people for some time.",
            "Wait; answers to people who write first go out. Let people write first where you can.",
        ),
        Reason(
            "rate_limit",
            "WhatsApp said that this number sends too fast.",
            "Nothing to do: sending rests for half a minute and goes on at half the pace.",
        ),
        Reason("banned", "WhatsApp has banned this number for a while.", "Wait until the ban ends, and send less."),
    )
}


def held_reason(because: str) -> Reason:
    """Why pacing holds messages back."""
    return _HELD_REASONS[because]


def message_error(code: str | None, state: MessageState) -> MessageError | None:
    """The words for the error code of a message; a code that is not in the table keeps its name and gets a general sentence."""
    if code is None:
        return None
    if code == _OUTCOME_STAYS_UNKNOWN.code and state is MessageState.FAILED:
        return _OUTCOME_STAYS_UNKNOWN
    return _MESSAGE_ERRORS.get(code) or MessageError(
        code,
        f"The message was not sent ({code}).",
        "Look at the session's status and the recipient, then decide about sending it again.",
    )
