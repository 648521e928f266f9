"""A file on its way out: uploaded to WhatsApp's media server by the library, and what a phone shows before it has fetched it."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neonize.client import NewClient
from neonize.exc import UploadError
from neonize.utils.enum import MediaType
from PIL import Image as Pictures

from keepline.domain.content.durations import seconds_of
from keepline.domain.content.files import Audio, Document, Image, Media, Sticker, Video
from keepline.domain.content.waveforms import opus_waveform
from keepline.domain.link_events import SendOutcome
from keepline_connector.cell.outcomes import outcome_of

_TYPES = {
    Image: MediaType.MediaImage,
    Video: MediaType.MediaVideo,
    Audio: MediaType.MediaAudio,
    Document: MediaType.MediaDocument,
    Sticker: MediaType.MediaImage,
}
# The library holds a file and its sealed copy in memory: so many at a time, for all devices of a cell.
_TURNS = threading.BoundedSemaphore(2)
# As WhatsApp's apps make them: a blur to look at while the picture comes.
_THUMBNAIL_PIXELS = 100
_THUMBNAIL_QUALITY = 60
# What is taken into memory to make one, three bytes for each; a phone's camera makes 50 million.
_PIXELS_MAX = 60_000_000


@dataclass(frozen=True)
class Uploaded:
    """What WhatsApp's media server said of a file, and what it looks like."""

    response: Any  # neonize's UploadResponse
    seconds: int | None = None
    width: int | None = None
    height: int | None = None
    thumbnail: bytes | None = None
    animated: bool = False
    waveform: bytes | None = None


def upload(client: NewClient, body: Media, file: Path) -> Uploaded | SendOutcome:
    """Upload a message's file. What could not be uploaded has not been sent."""
    with _TURNS:
        data = file.read_bytes()
        try:
            response = client.upload(data, _TYPES[type(body)])
        except UploadError as error:
            outcome = outcome_of(str(error))
            return outcome if outcome.result == "not_sent" else SendOutcome("not_sent", error_code="upload_failed")
        if isinstance(body, Image | Sticker):
            return _picture(response, body, data)
        drawn = opus_waveform(data) if isinstance(body, Audio) and body.voice else None
        return Uploaded(response, seconds=seconds_of(body.file.mime_type, data), waveform=drawn)


def _picture(response: Any, body: Image | Sticker, data: bytes) -> Uploaded:
    try:
        with Pictures.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            if isinstance(body, Sticker):
                return Uploaded(response, None, width, height, animated=getattr(picture, "n_frames", 1) > 1)
            return Uploaded(response, None, width, height, _thumbnail(picture))
    except (OSError, ValueError, SyntaxError, Pictures.DecompressionBombError):
        return Uploaded(response)  # Phones look for themselves.


def _thumbnail(picture: Pictures.Image) -> bytes | None:
    if picture.width * picture.height > _PIXELS_MAX:
        return None
    picture.draft("RGB", (_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
    small = picture.convert("RGB")
    small.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
    written = io.BytesIO()
    small.save(written, "JPEG", quality=_THUMBNAIL_QUALITY)
    return written.getvalue()
