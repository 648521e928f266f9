"""Fetch a pinned emulator: resumed where a try broke off, checked by SHA-256, put in place in one step."""

from __future__ import annotations

import fcntl
import hashlib
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO

from keepline_local.emulators.catalog import Download, Emulator
from keepline_local.errors import LocalError

DOWNLOAD_TRIES_MAX = 3
SOCKET_TIMEOUT_S = 30.0
CHUNK_BYTES = 256 * 1024
OTHER_DOWNLOAD_WAIT_S = 1800.0
_POLL_S = 0.5

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all)."""

Opener = Callable[[urllib.request.Request, float], IO[bytes]]


def _open(request: urllib.request.Request, timeout_s: float) -> IO[bytes]:
    response: IO[bytes] = urllib.request.urlopen(request, timeout=timeout_s)  # noqa: S310 - a pinned https address
    return response


def fetch(emulator: Emulator, cache: Path, progress: Progress, opener: Opener = _open) -> Path:
    """Download, check and unpack into `cache`; returns the jar. Raises `LocalError` when it cannot be had."""
    download = emulator.download
    jar = cache / download.jar_name
    cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache):
        if jar.is_file():  # fetched by another process while this one waited
            return jar
        part = cache / (download.url.rsplit("/", 1)[1] + ".part")
        try:
            _download(download, part, progress, opener)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise LocalError(
                f"The {emulator.kind.value} emulator could not be fetched from {download.url}: {reason}.",
                hint=(
                    "Go online and start again (what has arrived is kept), or install it another way: "
                    f"`gcloud components install {emulator.cloud_cli_component}` or `{emulator.firebase_setup}`."
                ),
            ) from error
        _check(download, part)
        if download.member_suffix is None:
            part.replace(jar)
        else:
            _unpack(part, download.member_suffix, jar)
            part.unlink()
        return jar


def _download(download: Download, part: Path, progress: Progress, opener: Opener) -> None:
    for attempt in range(1, DOWNLOAD_TRIES_MAX + 1):
        try:
            _continue(download, part, progress, opener)
            return
        except (OSError, HTTPException):
            if attempt == DOWNLOAD_TRIES_MAX:
                raise


def _continue(download: Download, part: Path, progress: Progress, opener: Opener) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have == download.size_bytes:
        return
    if have > download.size_bytes:
        part.unlink()
        have = 0
    request = urllib.request.Request(download.url)  # noqa: S310 - a pinned https address
    if have:
        request.add_header("Range", f"bytes={have}-")
    with opener(request, SOCKET_TIMEOUT_S) as response:
        resumed = getattr(response, "status", 200) == 206
        if not resumed:
            have = 0  # the server sends all of it again
        with part.open("ab" if resumed else "wb") as out:
            while chunk := response.read(CHUNK_BYTES):
                have += len(chunk)
                if have > download.size_bytes:
                    break
                out.write(chunk)
                progress(have, download.size_bytes)
    if have != download.size_bytes:
        raise OSError(f"{have} bytes of {download.size_bytes} arrived")


def _check(download: Download, part: Path) -> None:
    with part.open("rb") as whole:
        digest = hashlib.file_digest(whole, "sha256").hexdigest()
    if digest != download.sha256:
        part.unlink()
        raise LocalError(
            f"{download.url} is not the file that Keepline knows: its SHA-256 is {digest}, expected {download.sha256}.",
            hint="It was deleted. Start again; if it stays so, do not use it, and report it.",
        )


def _unpack(archive: Path, member_suffix: str, jar: Path) -> None:
    """Take the one jar out of the archive; nothing else of it is needed, and no path inside it is trusted."""
    tmp = jar.with_suffix(".tmp")
    with zipfile.ZipFile(archive) as zipped:
        names = [name for name in zipped.namelist() if name.endswith(member_suffix)]
        if len(names) != 1:
            raise LocalError(f"{archive.name} holds {len(names)} files that end in {member_suffix}, expected one.")
        with zipped.open(names[0]) as source, tmp.open("wb") as out:
            while chunk := source.read(CHUNK_BYTES):
                out.write(chunk)
    tmp.replace(jar)


@contextmanager
def _only_one(cache: Path) -> Iterator[None]:
    """One process fetches at a time; another that wants the same waits, and then finds it there."""
    with (cache / ".lock").open("w") as lock:
        deadline = time.monotonic() + OTHER_DOWNLOAD_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LocalError(
                        f"Another process has been fetching into {cache} for {OTHER_DOWNLOAD_WAIT_S:.0f} s."
                    ) from None
                time.sleep(_POLL_S)
        yield
