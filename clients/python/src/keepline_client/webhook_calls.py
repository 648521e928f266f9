"""For receivers of webhooks: whether a call is Keepline's. It needs no client, no key and no network.

Standard Webhooks' own library does the same for receivers; these lines spare a second dependency, and type the event.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping

from keepline_client.errors import KeeplineError
from keepline_client.types import WebhookEvent

# Older calls, and such from the future, are refused: somebody may have recorded them. Standard Webhooks' own figure.
AGE_S_MAX = 300
_PREFIX = "whsec_"


class BadSignature(KeeplineError):
    """The call was not signed with this secret, or not within the last 5 minutes. Answer 401 and forget it."""


def verify_webhook(headers: Mapping[str, str], body: bytes, secret: str) -> WebhookEvent:
    """The event of a call that somebody who knows the secret has made, not long ago.

    `body` is what came, byte for byte, and not JSON that was read and written again. Calls are repeated until they are
    answered, so remember the ids of a day. Raises BadSignature, and ValueError for a secret that cannot be one.
    """
    given = {name.lower(): value for name, value in headers.items()}
    event_id, timestamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    expected = _signature(secret, f"{event_id}.{timestamp}.".encode() + body)
    # Several while a secret is being replaced.
    signatures = given.get("webhook-signature", "").split(" ")
    if not any(hmac.compare_digest(one.encode(), expected) for one in signatures):
        raise BadSignature("bad_signature", "The call was not signed with this webhook's secret.")
    if not (timestamp.isascii() and timestamp.isdigit()) or abs(time.time() - int(timestamp)) > AGE_S_MAX:
        raise BadSignature("bad_timestamp", f"The call was not made within the last {AGE_S_MAX} s.", "Set the clock.")
    event: WebhookEvent = json.loads(body)
    return event


def _signature(secret: str, signed: bytes) -> bytes:
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("a webhook's secret is whsec_ and base64")
    return b"v1," + b64encode(hmac.new(key, signed, hashlib.sha256).digest())
