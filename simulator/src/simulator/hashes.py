"""The hash with which WhatsApp's clients and servers compare device lists (whatsmeow `participantListHashV2`)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from simulator.jid import Jid


def devices_hash(devices: Iterable[Jid]) -> str:
    joined = "".join(sorted(jid.ad_string() for jid in devices))
    return "2:" + base64.b64encode(hashlib.sha256(joined.encode()).digest()[:6]).decode().rstrip("=")
