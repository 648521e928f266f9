"""`run.json`: what a run offers and where, for programs beside it.

There from readiness until the stop, readable by its owner alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """The content of run.json."""

    api: str
    """The API's base URL."""
    api_key: str
    """A key with every scope, for the tenant `user_id`."""
    console: str
    """The console's URL."""
    simulator: str | None
    """URL of the simulator's control API; None in a run against the real WhatsApp."""
    firestore: str
    """host:port of the Firestore emulator, as FIRESTORE_EMULATOR_HOST takes it."""
    pids: dict[str, int]
    """Process id of each part, the runner's own as `runner`."""
    project: str
    """The Google Cloud project that the emulators are asked for."""
    user_id: str
    """The tenant whom the API key belongs to."""
    health: dict[str, str]
    """Health URL of each connector."""
    simulator_dir: str | None
    """Folder with the simulator's certificates, key and `simulator.json`."""


def write(path: Path, run: Run) -> None:
    """Put the file in place in one step, so that no reader sees half of it."""
    tmp = path.with_suffix(".tmp")
    with os.fdopen(os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump(asdict(run), out, indent=2)
        out.write("\n")
    tmp.replace(path)


def read(path: Path) -> Run | None:
    """The run that is ready, or None."""
    try:
        return Run(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def remove(path: Path) -> None:
    """Take the file away; harmless if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
