"""Files of messages: where they are kept, and how one comes in. Cloud Storage or a folder keeps them in production."""

from __future__ import annotations

import hashlib
from contextlib import AbstractAsyncContextManager
from typing import BinaryIO, Protocol

from keepline.domain.content.file_types import HEAD_BYTES, too_large

# How much of a file is moved at once.
CHUNK_BYTES = 256 * 1024


class MediaUnavailable(Exception):
    """The keeper of the files did not answer, or refused. It may pass."""


class MediaMissing(Exception):
    """There is no such file (any more)."""


class MediaStore(Protocol):
    """Files by their media id. Every method raises MediaUnavailable."""

    async def put(self, media_id: str, file: BinaryIO, mime_type: str) -> None:
        """Keep everything from the file's beginning to its end. What was there under this id is replaced, all or nothing."""
        ...

    async def fetch(self, media_id: str, target: BinaryIO) -> None:
        """Write a file's content to `target`. Raises MediaMissing."""
        ...

    async def link(self, media_id: str, good_for_s: int, mime_type: str, file_name: str) -> str:
        """An address by which whoever has it can fetch the file for so many seconds; it may be relative to our API's."""
        ...

    async def delete(self, media_id: str) -> None:
        """Forget a file, if it is there."""
        ...


class Intake:
    """A file that is coming in, bounded and hashed as it does. It ends up in `file`."""

    def __init__(self, file: BinaryIO, bytes_max: int) -> None:
        self.file = file
        self.size = 0
        self.head = b""
        self.declared: str | None = None  # the type that its sender says it has
        self.name = ""  # what its sender calls it
        self._bytes_max = bytes_max
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        """More of it. Raises TooLarge (`media_too_large`) when it is more than it may have."""
        self.size += len(chunk)
        if self.size > self._bytes_max:
            raise too_large(self._bytes_max)
        self._hash.update(chunk)
        self.head = (self.head + chunk[:HEAD_BYTES])[:HEAD_BYTES]
        self.file.write(chunk)


class VoiceMaker(Protocol):
    """Makes voice notes (Opus in Ogg) of other sound files."""

    def made_of(self, source: BinaryIO, mime_type: str) -> AbstractAsyncContextManager[Intake | None]:
        """The voice note, for as long as the context lasts; None if this is none that can be made one."""
        ...


class UrlFetcher(Protocol):
    """Fetches files from the internet for our users."""

    def fetch(self, url: str, bytes_max: int) -> AbstractAsyncContextManager[Intake]:
        """The file at an address, for as long as the context lasts.

        Raises InvalidInput (`bad_url`, `url_not_allowed`), TooLarge (`media_too_large`) and StateConflict (`url_not_fetched`)
        with what the other side answered.
        """
        ...
