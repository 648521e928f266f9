"""The tag: 32 bytes in a message's `messageSecret` by which a send is recognised wherever it shows up.

WhatsApp lets a client choose the secret freely and copies it to every linked device of the sender; whatsmeow stores it
beside the WhatsApp id before the stanza leaves. So the tag finds the WhatsApp id of a send that was cut off in the middle.
"""

from __future__ import annotations

import hashlib
import hmac

TAG_BYTES = 32


def message_tag(account_key: bytes, message_id: str) -> bytes:
    """The 32-byte tag of a message under its account's key (32 random bytes that never leave our documents)."""
    return hmac.new(account_key, b"keepline tag 1:" + message_id.encode(), hashlib.sha256).digest()
