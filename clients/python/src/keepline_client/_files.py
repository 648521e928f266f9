"""Files here: those to upload, however they are named, and those to write what was fetched. Shared by both clients."""

from __future__ import annotations

import io
import mimetypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from keepline_client._calls import Upload
from keepline_client.types import Source

PIECE_BYTES = 64 * 1024


@contextmanager
def to_upload(source: Source, file_name: str, mime_type: str | None) -> Iterator[Upload]:
    """A file as it is sent. What cannot be gone back in (a pipe) is copied to a temporary file first.

    Raises OSError for a file that cannot be read and TypeError for one that was opened as text.
    """
    with _opened(source) as file:
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        declared = mime_type or mimetypes.guess_type(file_name)[0] or "application/octet-stream"
        yield Upload(file, start, size, declared)


def name_of(source: Source) -> str:
    """The name of a file without its folders, empty where there is none."""
    named = source if isinstance(source, str | os.PathLike) else getattr(source, "name", "")
    return Path(named).name if isinstance(named, str | os.PathLike) else ""


@contextmanager
def whole(to: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file that takes its place when it is complete, and never when something goes wrong on the way."""
    place = Path(to)
    with tempfile.TemporaryDirectory(prefix=".keepline-", dir=place.parent) as beside:
        part = Path(beside) / "part"
        with part.open("wb") as file:
            yield file
        part.replace(place)


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            yield file
    elif isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
    elif isinstance(source, io.TextIOBase):
        raise TypeError('the file was opened as text: open it with "rb"')
    elif source.seekable():
        yield source
    else:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(source, copy)
            copy.seek(0)
            yield cast("BinaryIO", copy)
