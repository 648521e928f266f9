"""How long a film or a sound lasts, as its file says. Files of other types say it nowhere in particular."""

from __future__ import annotations

import struct

from keepline.domain.content.file_types import VOICE

_OPUS_HZ = 48_000  # of the positions in an Ogg page, whatever was recorded (RFC 7845, 4)
_OGG_PAGE = b"OggS"


def seconds_of(mime_type: str, data: bytes) -> int | None:
    """Whole seconds, one at least; None where the file does not say."""
    if mime_type in ("video/mp4", "video/3gpp", "audio/mp4"):
        seconds = _mp4_seconds(data)
    elif mime_type == VOICE:
        seconds = _opus_seconds(data)
    else:
        seconds = None
    return None if seconds is None else max(1, round(seconds))


def _mp4_seconds(data: bytes) -> float | None:
    """From the movie header box (ISO 14496-12, 8.2.2)."""
    at = data.find(b"mvhd")
    if at < 0:
        return None
    try:
        if data[at + 4] == 1:
            scale, duration = struct.unpack_from(">IQ", data, at + 24)
        else:
            scale, duration = struct.unpack_from(">II", data, at + 16)
    except (struct.error, IndexError):
        return None
    return duration / scale if scale else None


def _opus_seconds(data: bytes) -> float | None:
    """From the position at the end of the last page (RFC 3533, 6)."""
    at = data.rfind(_OGG_PAGE)
    if at < 0 or len(data) < at + 14:
        return None
    (position,) = struct.unpack_from("<q", data, at + 6)
    return position / _OPUS_HZ if position > 0 else None
