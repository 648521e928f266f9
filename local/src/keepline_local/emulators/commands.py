"""The command lines of the emulators, and how to see that one is ready."""

from __future__ import annotations

import zipfile
from pathlib import Path

from keepline_local import loopback_http
from keepline_local.emulators.catalog import Emulator, Kind
from keepline_local.emulators.java import find_java, required_major
from keepline_local.ports import LOOPBACK

HEAP_MAX = "-Xmx512m"
READY_LIMIT_S = 60.0

# One collector thread and only the quick compiler: on two cores shared with everything else this starts sooner and takes less.
_JAVA_FLAGS = (
    HEAP_MAX,
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Duser.language=en",
    "-Djava.awt.headless=true",
)


def command(
    emulator: Emulator,
    jar: Path,
    port: int,
    *,
    rules: Path | None = None,
    functions: str | None = None,
    seed: Path | None = None,
) -> list[str]:
    """The command that serves an emulator on a loopback port.

    `rules`, `functions` (host:port that gets the triggers' events) and `seed` (an `….overall_export_metadata` file) are
    Firestore's alone.
    """
    java = find_java(required_major(jar, emulator.main_class))
    start = [str(java), *_JAVA_FLAGS, "-cp", str(jar), _main_class(jar) or emulator.main_class]
    if emulator.kind is Kind.PUBSUB:
        return [*start, f"--host={LOOPBACK}", f"--port={port}"]  # this one wants flag and value in one word
    start += ["start", "--host", LOOPBACK, "--port", str(port)]
    if rules is not None:
        start += ["--rules", str(rules)]
    if functions is not None:
        start += ["--functions_emulator", functions]
    if seed is not None:
        start += ["--seed_from_export", str(seed)]
    return start


def serves(port: int) -> bool:
    """Does the emulator on this port answer `GET /`, which both do as soon as they serve?"""
    return loopback_http.answers(f"http://{LOOPBACK}:{port}/")


def _main_class(jar: Path) -> str | None:
    """The main class that the jar's manifest names (firebase-tools' jars do, the Cloud CLI's Firestore jar does not)."""
    try:
        with zipfile.ZipFile(jar) as archive:
            manifest = archive.read("META-INF/MANIFEST.MF").decode(errors="replace")
    except (KeyError, zipfile.BadZipFile, OSError):
        return None
    for line in manifest.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Main-Class":
            return value.strip() or None
    return None
