"""The kinds of message that have a file, and the file as they name it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

FILE_NAME_CHARACTERS_MAX = 240  # documented: Cloud API, document messages


@dataclass(frozen=True)
class File:
    """A file that a message has.

    The API accepts one that has nothing but a `url` or a `media_id`; it is resolved before anything is written, so that what a
    row says is what will be sent, to the byte.
    """

    media_id: str | None = None
    url: str | None = None
    mime_type: str = ""
    size: int = 0  # in bytes
    sha256: str = ""  # of its content, as hex
    name: str = ""

    @property
    def is_resolved(self) -> bool:
        return bool(self.sha256)

    def to_map(self) -> dict[str, Any]:
        if not self.is_resolved:
            return {"media_id": self.media_id, "url": self.url, "file_name": self.name}
        return {
            "media_id": self.media_id,
            "mime_type": self.mime_type,
            "size": self.size,
            "sha256": self.sha256,
            "file_name": self.name,
        }

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> File:
        return cls(
            fields["media_id"],
            fields.get("url"),
            fields.get("mime_type", ""),
            fields.get("size", 0),
            fields.get("sha256", ""),
            fields["file_name"],
        )


@dataclass(frozen=True)
class Image:
    """A picture. `view_once`: its reader's phone shows it one time only."""

    kind: ClassVar = "image"

    file: File
    caption: str = ""
    view_once: bool = False


@dataclass(frozen=True)
class Video:
    """A film."""

    kind: ClassVar = "video"

    file: File
    caption: str = ""
    view_once: bool = False


@dataclass(frozen=True)
class Audio:
    """Something to listen to. `voice`: shown as a voice note, with its sender's face and a receipt when it was played."""

    kind: ClassVar = "audio"

    file: File
    voice: bool = False


@dataclass(frozen=True)
class Document:
    """A file of whatever type, shown by its name."""

    kind: ClassVar = "document"

    file: File
    caption: str = ""


@dataclass(frozen=True)
class Sticker:
    """A sticker (WebP)."""

    kind: ClassVar = "sticker"

    file: File


Media = Image | Video | Audio | Document | Sticker


def plain_name(name: str) -> str:
    """A file's name without folders and without what cannot be shown."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in last if char.isprintable())[:FILE_NAME_CHARACTERS_MAX].strip()
