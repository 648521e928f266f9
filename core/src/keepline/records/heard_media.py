"""What became of the file of a heard message: the field `media` of its document, beside what it said of the file.

Only who fetches the file writes it. While nobody has, the file is on its way; so the second device that hears the message, and
writes it again, takes nothing back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from keepline.ports.documents import SERVER_TIME, Update
from keepline.records.changes import heard_path

# No device tries for longer; the one that had the key has lost its disk, if nothing was said until then.
FETCHED_WITHIN = timedelta(days=3)


class MediaState(StrEnum):
    """Where the file of a heard message is."""

    PENDING = "pending"  # Its device has the key, or had it, and fetches the file.
    STORED = "stored"  # In the media store, under the message's media id, for as long as files are kept.
    FAILED = "failed"  # It cannot be had (any more); the error says why.


@dataclass(frozen=True)
class MediaFate:
    """What became of a file. `error_code` of one that failed."""

    state: MediaState
    error_code: str | None = None


def fate_of(fields: Mapping[str, Any], now: datetime) -> MediaFate:
    """Of a heard message that has a file."""
    written = fields.get("media")
    if written is not None:
        return MediaFate(MediaState(written["state"]), written["error_code"])
    if now - fields["times"]["recorded"] > FETCHED_WITHIN:
        return MediaFate(MediaState.FAILED, "media_lost")
    return MediaFate(MediaState.PENDING)


def is_stored(fields: Mapping[str, Any]) -> bool:
    return bool((fields.get("media") or {}).get("state") == MediaState.STORED.value)


def settled(account: str, chat: str, wa_message_id: str, fate: MediaFate) -> Update:
    """The message has to be recorded before."""
    media = {"state": fate.state.value, "error_code": fate.error_code, "at": SERVER_TIME}
    return Update(heard_path(account, chat, wa_message_id), {"media": media})
