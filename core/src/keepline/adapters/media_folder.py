"""Files of messages in a folder, for one machine. Links lead to our own API and carry a signature and the time of their end."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import urlencode

from keepline.ports.media import CHUNK_BYTES, MediaMissing, MediaUnavailable

_KEY_BYTES = 32

_T = TypeVar("_T")


class MediaFolder:
    """Files in `folder`, each under its media id. `now_s` is the time since 1970."""

    def __init__(self, folder: Path, now_s: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now_s = now_s

    async def put(self, media_id: str, file: BinaryIO, mime_type: str) -> None:
        await _in_thread(lambda: self._put(media_id, file))

    async def fetch(self, media_id: str, target: BinaryIO) -> None:
        def copy() -> None:
            with self.open(media_id) as source:
                shutil.copyfileobj(source, target, CHUNK_BYTES)

        await _in_thread(copy)

    async def link(self, media_id: str, good_for_s: int, mime_type: str, file_name: str) -> str:
        expires = int(self._now_s()) + good_for_s
        signature = await _in_thread(lambda: self._signature(media_id, expires))
        return f"/api/media/{media_id}/file?{urlencode({'expires': expires, 'signature': signature})}"

    async def delete(self, media_id: str) -> None:
        await _in_thread(lambda: self._path(media_id).unlink(missing_ok=True))

    def is_good(self, media_id: str, expires: int, signature: str) -> bool:
        """Whether a link of ours says this, and has not ended."""
        known = self._signature(media_id, expires)
        return hmac.compare_digest(known.encode(), signature.encode()) and self._now_s() < expires

    def open(self, media_id: str) -> BinaryIO:
        """A file to read from. Raises MediaMissing."""
        try:
            return self._path(media_id).open("rb")
        except FileNotFoundError:
            raise MediaMissing(media_id) from None

    def _put(self, media_id: str, file: BinaryIO) -> None:
        path = self._path(media_id)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.seek(0)
        # In the same folder, so that the name changes hands at once.
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as written:
            try:
                shutil.copyfileobj(file, written, CHUNK_BYTES)
                written.flush()
                os.fsync(written.fileno())
                Path(written.name).replace(path)
            except BaseException:
                Path(written.name).unlink(missing_ok=True)
                raise

    def _path(self, media_id: str) -> Path:
        return self._folder / "files" / media_id

    def _signature(self, media_id: str, expires: int) -> str:
        return hmac.new(self._key(), f"{media_id}\n{expires}".encode(), "sha256").hexdigest()

    def _key(self) -> bytes:
        """What links are signed with: made once, and shared by all processes of the machine."""
        path = self._folder / "links.key"
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=self._folder)  # Readable by its owner alone.
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(_KEY_BYTES))
            with contextlib.suppress(FileExistsError):  # Another process was faster, and its key counts.
                os.link(name, path)
        finally:
            Path(name).unlink()
        return path.read_bytes()


async def _in_thread(work: Callable[[], _T]) -> _T:
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise MediaUnavailable(str(error)) from error
