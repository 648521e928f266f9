"""What a file is by its first bytes, and which kinds of message take it. What a sender says of its own file decides nothing.

Limits: *documented* is WhatsApp's Cloud API reference ("Supported media types"), where its apps' own are not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from keepline.domain.content.files import Audio, Document, Image, Media, Sticker, Video
from keepline.domain.errors import InvalidInput, TooLarge

MIB = 1 << 20
DOCUMENT_BYTES_MAX = 100 * MIB  # documented; the largest of all
# Documented, but for pictures: those end at 5 MiB there, and the apps take more.
_BYTES_MAX: Mapping[type[Media], int] = {
    Image: 16 * MIB,
    Video: 16 * MIB,
    Audio: 16 * MIB,
    Document: DOCUMENT_BYTES_MAX,
    Sticker: 500 * 1024,
}
VOICE = "audio/ogg; codecs=opus"
VOICE_BYTES_MAX = _BYTES_MAX[Audio]
UNKNOWN = "application/octet-stream"
# What the apps play and show (documented). A document may be anything.
_TYPES: Mapping[type[Media], tuple[str, ...]] = {
    Image: ("image/jpeg", "image/png"),
    Video: ("video/mp4", "video/3gpp"),
    Audio: ("audio/aac", "audio/mp4", "audio/mpeg", "audio/amr", VOICE),
    Sticker: ("image/webp",),
}
# How much of a file's beginning tells what it is: an Ogg page's header and the codec's name after it.
HEAD_BYTES = 64
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
# By the brand in the first box of an ISO file (ISO 14496-12); all others are taken for MP4.
_BRANDS = {
    b"M4A": "audio/mp4",
    b"M4B": "audio/mp4",
    b"qt ": "video/quicktime",
    b"3gp": "video/3gpp",
    b"3g2": "video/3gpp",
}
_PICTURE_BRANDS = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"avif": "image/avif"}
_MIME_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,127}")
# Containers of which the bytes say less than their sender: every office document is a zip archive.
_CONTAINERS = frozenset({"application/zip"})


def sniffed(head: bytes) -> str | None:
    """The type that a file's first `HEAD_BYTES` bytes show, or None where they show none that is known here."""
    for magic, mime_type in _MAGIC:
        if head.startswith(magic):
            return mime_type
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _PICTURE_BRANDS.get(head[8:12]) or _BRANDS.get(head[8:11], "video/mp4")
    if head[:4] == b"OggS":
        return VOICE if b"OpusHead" in head else "audio/ogg"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:
        return "audio/mpeg"
    return None


def type_of(head: bytes, declared: str | None) -> str:
    """The type of a file: what its bytes show. Where they show nothing, or a mere container, what was said counts."""
    shown = sniffed(head)
    said = (declared or "").partition(";")[0].strip().lower()
    if shown is not None and shown not in _CONTAINERS:
        return shown
    if not _MIME_TYPE.fullmatch(said) or said.partition("/")[0] in ("image", "video", "audio", "multipart"):
        return shown or UNKNOWN
    return said


def bytes_max(body: Media) -> int:
    """How large the file of a message of this kind may be."""
    return _BYTES_MAX[type(body)]


def check_file(body: Media) -> None:
    """Raise InvalidInput or TooLarge unless WhatsApp takes the resolved file of this message as one of its kind."""
    file, limit = body.file, bytes_max(body)
    if file.size > limit:
        raise too_large(limit)
    if isinstance(body, Audio) and body.voice and file.mime_type != VOICE:
        raise InvalidInput(
            "voice_needs_opus",
            f"A voice note is Opus in Ogg, and this file is {file.mime_type}.",
            "Convert it (ffmpeg -i FILE -c:a libopus -ac 1 voice.ogg), or send it as audio without `voice`.",
        )
    types = _TYPES.get(type(body))
    if types is not None and file.mime_type not in types:
        raise InvalidInput(
            "unsupported_media_kind",
            f"WhatsApp takes no {file.mime_type} as {body.kind}.",
            f"It takes: {', '.join(types)}. Convert it, or send it as a document.",
        )


def too_large(limit: int) -> TooLarge:
    """The refusal of a file of more than `limit` bytes."""
    shown = f"{limit // MIB} MiB" if limit >= MIB else f"{limit // 1024} KiB"
    return TooLarge(
        "media_too_large", f"The file is larger than {shown}.", "Make it smaller, or send it as a document."
    )
