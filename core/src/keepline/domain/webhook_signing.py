"""Signatures of webhooks after Standard Webhooks (its specification, version 1: symmetric signatures, `v1`).

Twenty lines of HMAC, shown right by the specification's own vector, are less than a dependency that must be kept up to date.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

PREFIX = "whsec_"
SECRET_BYTES = 32  # the specification asks for 24 to 64
# How long a receiver has to take over a new secret: until then each event carries a signature by either.
ROTATION_S = 24 * 3600.0


@dataclass(frozen=True)
class Secret:
    """A secret as its receiver has it. `ends_at`: it was replaced and signs until then; None for the current one."""

    text: str = field(repr=False)
    ends_at: datetime | None = None


def new_secret(entropy: bytes) -> Secret:
    """A secret from `SECRET_BYTES` random bytes."""
    return Secret(PREFIX + b64encode(entropy).decode())


def rotated(secrets: Sequence[Secret], fresh: Secret, now: datetime) -> list[Secret]:
    """The secrets once `fresh` is the current one. Only the last one before it goes on signing for a while."""
    current = secrets[0]
    return [fresh, Secret(current.text, now + timedelta(seconds=ROTATION_S))]


def headers(secrets: Sequence[Secret], event_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a delivery, signed by every secret that has not ended."""
    timestamp = int(now.timestamp())
    signing = [secret for secret in secrets if secret.ends_at is None or now < secret.ends_at]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, event_id, timestamp, body) for secret in signing),
    }


def _signature(secret: Secret, event_id: str, timestamp: int, body: bytes) -> str:
    key = b64decode(secret.text.removeprefix(PREFIX))
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
