"""Why a stored session must not be used: stable codes, a sentence for people, and the next step."""

from __future__ import annotations

from keepline.domain.errors import KeeplineError


class SessionRefused(KeeplineError):
    """What is stored of a session must not be used. The code says what is wrong with it."""


def seal_broken(account: str, slot: str, what: str) -> SessionRefused:
    """Something of it was changed, or was sealed for another place."""
    return SessionRefused(
        "session_seal_broken",
        f"The stored session of {account}, device {slot}, was changed or belongs elsewhere: {what} does not open.",
        "Find out who can write to the store. Bring it back from a backup, allow an older version, or link the device again.",
    )


def gap(account: str, slot: str, what: str) -> SessionRefused:
    """Something of it is missing."""
    return SessionRefused(
        "session_gap",
        f"The stored session of {account}, device {slot}, is not whole: {what} is missing.",
        "Bring the store back from a backup, allow an older version, or link the device again.",
    )


def key_refused(account: str, slot: str) -> SessionRefused:
    """Its data key cannot be had."""
    return SessionRefused(
        "session_key_refused",
        f"The key of the stored session of {account}, device {slot}, cannot be wrapped or unwrapped.",
        "Give the connector the key file or the Cloud KMS key that the session is saved with, and the right to use it.",
    )


def invalid(account: str, slot: str) -> SessionRefused:
    """It opens, and is no usable store."""
    return SessionRefused(
        "session_invalid",
        f"The stored session of {account}, device {slot}, opens but is not a usable store of a linked device.",
        "Allow an older version, or link the device again.",
    )


def rolled_back(account: str, slot: str, sequence: int, acknowledged: int) -> SessionRefused:
    """It ends before something that was acknowledged."""
    return SessionRefused(
        "session_rolled_back",
        f"The stored session of {account}, device {slot}, ends at step {sequence}, but step {acknowledged} was acknowledged.",
        "An older state was put in its place. Bring the newer one back, or link the device again.",
    )
