"""What a heard message says, as a map: the shapes of `maps`, and what only comes in.

Beside the kinds that can be sent there is `unsupported` (the name of WhatsApp's field, for what we do not read). A cell knows
messages by WhatsApp's names alone, so it writes references without `message_id`, with the secret of the message where its store
has it. From that the supervisor, who has the account's key, tells which message it is.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from keepline.domain.content.references import MessageRef
from keepline.domain.ids import inbound_message_id
from keepline.domain.tag import read_tag

# Kinds that change an earlier message instead of being one.
CHANGES = frozenset({"edit", "revoke"})

Fields = Mapping[str, Any]


def cells_reference(reference: MessageRef, secret: bytes | None) -> dict[str, Any]:
    """A reference as a cell writes it."""
    return {**reference.to_map(), "secret": b64encode(secret).decode() if secret else None}


def resolved(content: Fields, account: str, tag_key: bytes) -> dict[str, Any]:
    """The content with our ids in its references, and without secrets."""
    fields: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping) and "secret" in value:
            words = {part: value[part] for part in ("text",) if part in value}
            fields[name] = {**_resolved(value, account, tag_key).to_map(), **words}
        elif isinstance(value, Mapping):
            fields[name] = resolved(value, account, tag_key)
        else:
            fields[name] = value
    return fields


def reference_in(kind: str, content: Fields) -> MessageRef:
    """The message that an edit, a revocation, a reaction or a vote is about."""
    return MessageRef.from_map(content[kind]["message"])


def option_names(hashes: Sequence[str], options: Sequence[str]) -> list[str] | None:
    """The options with these hashes (SHA-256, hex), in the poll's order; None unless the poll has them all."""
    named = [option for option in options if hashlib.sha256(option.encode()).hexdigest() in hashes]
    return named if len(named) == len(set(hashes)) else None


def _resolved(fields: Fields, account: str, tag_key: bytes) -> MessageRef:
    reference = MessageRef.from_map(fields)
    secret = b64decode(fields["secret"]) if fields["secret"] else None
    tagged = read_tag(tag_key, secret) if secret is not None else None
    if tagged is not None:
        return replace(reference, message_id=tagged.message_id)
    if reference.from_me and secret is None:
        return reference  # From the API or from a phone: nobody here knows which.
    return replace(reference, message_id=inbound_message_id(account, reference.chat, reference.wa_message_id))
