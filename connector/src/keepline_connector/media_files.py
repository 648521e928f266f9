"""Files between the media store and the cells: each lies on this machine's disk while it is being moved, and no longer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

from keepline.domain.content.file_types import HEAD_BYTES, type_of
from keepline.domain.content.files import File, plain_name
from keepline.domain.link_events import MediaOutcome, MediaWaiting, SendOutcome
from keepline.ports.clock import Clock
from keepline.ports.media import CHUNK_BYTES, MediaMissing, MediaStore, MediaUnavailable

# At the same time on the disk, in each direction: with files of the largest size, 800 MiB.
_OUT_MAX = 4
_IN_MAX = 4
_STORE_LIMIT_S = 120.0

log = logging.getLogger(__name__)


class NotHere(Exception):
    """A file cannot be sent now, or at all: `outcome` says which."""

    def __init__(self, outcome: SendOutcome) -> None:
        super().__init__(outcome.error_code)
        self.outcome = outcome


class MediaFiles:
    """For all devices of a connector. Without a `store` no file can be sent or kept."""

    def __init__(self, store: MediaStore | None, clock: Clock, kept_for: timedelta, folder: Path) -> None:
        self._store = store
        self._clock = clock
        self._kept_for = kept_for
        self._folder = folder
        self._out = asyncio.Semaphore(_OUT_MAX)
        self._in = asyncio.Semaphore(_IN_MAX)
        # What an earlier life of this connector left in the middle of its way.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)

    @asynccontextmanager
    async def to_send(self, file: File) -> AsyncIterator[Path]:
        """The file that a message names, on the disk, proven to be what was accepted. Raises NotHere."""
        if self._store is None:
            raise NotHere(SendOutcome("refused", error_code="media_not_set_up"))
        async with self._out, self._place() as path:
            try:
                async with asyncio.timeout(_STORE_LIMIT_S):
                    with path.open("wb") as target:
                        await self._store.fetch(file.media_id or "", target)
            except MediaMissing:
                raise NotHere(SendOutcome("refused", error_code="media_missing")) from None
            except (MediaUnavailable, TimeoutError) as error:
                log.warning("a file to be sent could not be had: %r", error)
                raise NotHere(SendOutcome("not_sent", error_code="media_unavailable")) from None
            size, sha256, _ = await asyncio.to_thread(_proven, path)
            if (size, sha256) != (file.size, file.sha256):
                raise NotHere(SendOutcome("refused", error_code="media_changed"))
            yield path

    @asynccontextmanager
    async def to_receive(self) -> AsyncIterator[Path]:
        """A place for a file that a cell fetches. Raises NotHere."""
        if self._store is None:
            raise NotHere(SendOutcome("refused", error_code="media_not_set_up"))
        async with self._in, self._place() as path:
            yield path

    async def keep(self, path: Path, media_id: str, waiting: MediaWaiting) -> MediaOutcome:
        """Put what a cell has fetched into the store."""
        assert self._store is not None, "only then there is a place for it"
        size, sha256, head = await asyncio.to_thread(_proven, path)
        kept = File(media_id, None, type_of(head, waiting.mime_type), size, sha256, plain_name(waiting.file_name))
        try:
            async with asyncio.timeout(_STORE_LIMIT_S):
                with path.open("rb") as file:
                    await self._store.put(media_id, file, kept.mime_type)
        except (MediaUnavailable, TimeoutError) as error:
            log.warning("a file that came in could not be kept: %r", error)
            return MediaOutcome(error_code="media_unavailable")
        return MediaOutcome(kept, self._until())

    def _until(self) -> datetime:
        return self._clock.now() + self._kept_for

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[Path]:
        folder = Path(mkdtemp(dir=self._folder))
        try:
            yield folder / "file"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _proven(path: Path) -> tuple[int, str, bytes]:
    """A file's size, its hash and its beginning."""
    digest, size, head = hashlib.sha256(), 0, b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            head = head or chunk[:HEAD_BYTES]
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest(), head
