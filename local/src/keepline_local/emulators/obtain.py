"""Find an emulator or fetch it, saying each step."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from keepline_local.emulators import discovery
from keepline_local.emulators.catalog import Emulator
from keepline_local.emulators.download import Progress, fetch

MEBIBYTE_BYTES = 1024 * 1024
PROGRESS_STEP_PERCENT = 10


def obtain(emulator: Emulator, say: Callable[[str], None] = lambda line: None) -> Path:
    """The emulator's jar, from this machine if it is there, else fetched. `say` gets one line per step."""
    name = emulator.kind.value
    found = discovery.find(emulator)
    if found is not None:
        say(f"{name} emulator: from {found.source} ({found.jar.name})")
        return found.jar
    size_mib = emulator.download.size_bytes // MEBIBYTE_BYTES
    cache = discovery.own_cache(os.environ)
    say(
        f"{name} emulator: neither the Google Cloud CLI nor firebase-tools has it here; "
        f"fetching {emulator.download.version} once ({size_mib} MiB, kept in {cache})"
    )
    jar = fetch(emulator, cache, _progress(name, say))
    say(f"{name} emulator: fetched, SHA-256 as expected")
    return jar


def _progress(name: str, say: Callable[[str], None]) -> Progress:
    """On a terminal one line that moves; elsewhere a line at every tenth."""
    live = sys.stderr.isatty()
    said = -1

    def progress(done_bytes: int, all_bytes: int) -> None:
        nonlocal said
        percent = done_bytes * 100 // all_bytes
        step = percent if live else percent // PROGRESS_STEP_PERCENT * PROGRESS_STEP_PERCENT
        if step == said:
            return
        said = step
        line = f"{name} emulator: {done_bytes // MEBIBYTE_BYTES} of {all_bytes // MEBIBYTE_BYTES} MiB ({percent} %)"
        if live:
            sys.stderr.write(f"\r{line}" + ("\n" if done_bytes == all_bytes else ""))
            sys.stderr.flush()
        else:
            say(line)

    return progress
