"""Voice notes made by ffmpeg, where it is installed.

What it reads is somebody's: so it is told which format to read, instead of finding out (a playlist would have it open other files
and addresses), gets no network, no standard input and no environment, and has a limit of time.
"""

from __future__ import annotations

import asyncio
import io
import logging
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from keepline.domain.content.file_types import VOICE_BYTES_MAX
from keepline.ports.media import CHUNK_BYTES, Intake

LIMIT_S = 20.0
# ffmpeg's names for what our types are read with.
_READERS = {
    "audio/aac": "aac",
    "audio/amr": "amr",
    "audio/mp4": "mov",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
}
# As WhatsApp's apps record: one channel at 48 kHz; speech is as good as it gets at this rate.
_OPUS = ("-vn", "-map_metadata", "-1", "-ac", "1", "-ar", "48000", "-c:a", "libopus", "-b:a", "32k", "-f", "ogg")

log = logging.getLogger(__name__)


def find_ffmpeg() -> Ffmpeg | None:
    """The one of this machine, if it has one."""
    program = shutil.which("ffmpeg")
    return Ffmpeg(program) if program is not None else None


class Ffmpeg:
    """The program at a path."""

    def __init__(self, program: str, limit_s: float = LIMIT_S) -> None:
        self._program = program
        self._limit_s = limit_s

    @asynccontextmanager
    async def made_of(self, source: BinaryIO, mime_type: str) -> AsyncIterator[Intake | None]:
        reader = _READERS.get(mime_type)
        if reader is None:
            yield None
            return
        with TemporaryDirectory() as name:
            made = await asyncio.to_thread(self._make, source, reader, Path(name))
            if made is None:
                yield None
                return
            intake = Intake(io.BytesIO(), VOICE_BYTES_MAX)
            intake.write(made)
            yield intake

    def _make(self, source: BinaryIO, reader: str, folder: Path) -> bytes | None:
        given, made = folder / "given", folder / "voice.ogg"
        source.seek(0)
        with given.open("wb") as file:
            shutil.copyfileobj(source, file, CHUNK_BYTES)
        line = [self._program, "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-f", reader, "-i", str(given)]
        try:
            subprocess.run([*line, *_OPUS, str(made)], check=True, timeout=self._limit_s, capture_output=True, env={})
            return made.read_bytes() or None
        except (subprocess.SubprocessError, OSError) as error:
            log.warning("ffmpeg made no voice note of a file: %s", type(error).__name__)
            return None
