"""Linking a device by a code that is typed into the phone: what WhatsApp's answer to the request for one means. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from keepline.domain.errors import KeeplineError, NotReady, StateConflict, TooMany

# WhatsApp closes a connection on which nobody links after 160 s (60 s for the first QR code and 20 s for each of five more, in
# whatsmeow's pair-code.go and qrchan.go). A code dies with the connection that it was asked on.
ROUND_S = 160.0
# After WhatsApp has said that codes are asked for too often nobody asks for one, for this device, for so long. (Ours: WhatsApp
# does not say how long.)
RATE_LIMIT_REST_S = 60

RATE_LIMITED = "rate_limited"  # WhatsApp: codes are asked for too often
NUMBER_REFUSED = "number_refused"  # WhatsApp has no account with this number, or does not let it link this way
UNREACHABLE = "unreachable"  # WhatsApp could not be asked
LINKED = "already_linked"  # meanwhile, by another code


@dataclass(frozen=True)
class CodeAnswer:
    """What became of a request for a code: the code, good for `good_for_s` from now on, or an `error_code` of those above."""

    code: str | None = field(default=None, repr=False)
    good_for_s: float = 0.0
    error_code: str | None = None


def code_error(error_code: str, age_s: float) -> KeeplineError:
    """What a caller is told of a request for a code that ended so, `age_s` ago."""
    match error_code:
        case "rate_limited":
            return TooMany(
                "pairing_rate_limited",
                "WhatsApp says that pairing codes are being asked for too often.",
                "Wait some minutes before asking again, or scan the QR code.",
                max(1, round(RATE_LIMIT_REST_S - age_s)),
            )
        case "number_refused":
            return StateConflict(
                "number_refused",
                "WhatsApp gives no pairing code for this number.",
                "Check the number and its country code, and that WhatsApp is in use on it; or scan the QR code.",
            )
        case "already_linked":
            return already_linked()
    return NotReady("pairing_code_not_ready", "WhatsApp could not be asked for a code.", "Ask again in 5 seconds.", 5)


def already_linked() -> StateConflict:
    """The answer to whoever wants to link a device that is linked."""
    return StateConflict(
        "already_linked", "A phone has linked this device already.", "Nothing to scan: look at the session's status."
    )
