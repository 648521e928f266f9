"""Emulators for tests: `with firestore_emulator() as host:`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keepline_local.emulators.catalog import FIRESTORE, PUBSUB, Emulator
from keepline_local.emulators.commands import READY_LIMIT_S, command, serves
from keepline_local.emulators.obtain import obtain
from keepline_local.ports import LOOPBACK, free_port
from keepline_local.processes import spawn, wait_ready

EMULATOR_GRACE_S = 3.0


@contextmanager
def firestore_emulator(
    *,
    port: int | None = None,
    rules: Path | None = None,
    functions: str | None = None,
    seed: Path | None = None,
) -> Iterator[str]:
    """A Firestore emulator of one's own, empty unless seeded; gives `127.0.0.1:PORT` for FIRESTORE_EMULATOR_HOST.

    `rules`: a security rules file. `functions`: host:port that triggers' events are posted to. `seed`: an export's metadata file.
    """
    port = free_port() if port is None else port
    with _running(FIRESTORE, port, rules=rules, functions=functions, seed=seed) as host:
        yield host


@contextmanager
def pubsub_emulator(*, port: int | None = None) -> Iterator[str]:
    """A Pub/Sub emulator of one's own; gives `127.0.0.1:PORT` for PUBSUB_EMULATOR_HOST."""
    port = free_port() if port is None else port
    with _running(PUBSUB, port) as host:
        yield host


@contextmanager
def _running(
    emulator: Emulator,
    port: int,
    *,
    rules: Path | None = None,
    functions: str | None = None,
    seed: Path | None = None,
) -> Iterator[str]:
    jar = obtain(emulator)
    line = command(emulator, jar, port, rules=rules, functions=functions, seed=seed)
    with tempfile.TemporaryDirectory(prefix="keepline-emulator-") as folder:
        # In the temporary folder, because the emulators leave files such as firestore-debug.log where they are started.
        child = spawn(f"{emulator.kind.value} emulator", line, Path(folder) / "log", cwd=Path(folder))
        try:
            wait_ready(child, lambda: serves(port), READY_LIMIT_S)
            yield f"{LOOPBACK}:{port}"
        finally:
            child.stop(EMULATOR_GRACE_S)
