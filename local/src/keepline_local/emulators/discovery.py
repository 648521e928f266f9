"""Where an emulator's jar is on this machine: the Google Cloud CLI's components, firebase-tools' cache, or our own cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keepline_local.emulators.catalog import Emulator

GCLOUD_INFO_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Found:
    """A jar and, in words, where it comes from."""

    jar: Path
    source: str


def find(emulator: Emulator, environ: Mapping[str, str] | None = None) -> Found | None:
    """The first jar there is, in the order: Google Cloud CLI, firebase-tools' cache, our cache; None if it must be fetched."""
    environ = os.environ if environ is None else environ
    root = cloud_cli_root(environ)
    if root and (jar := _newest(root, emulator.cloud_cli_glob)):
        return Found(jar, "the Google Cloud CLI")
    if jar := _newest(firebase_cache(environ), emulator.firebase_glob):
        return Found(jar, "firebase-tools' cache")
    kept = own_cache(environ) / emulator.download.jar_name
    if kept.is_file():
        return Found(kept, "Keepline's cache")
    return None


def cloud_cli_root(environ: Mapping[str, str]) -> Path | None:
    """The installation root of the Google Cloud CLI, or None.

    The binary's real path tells it in most installations; asking gcloud takes about a second, so it is asked only where the
    path does not (a wrapper script, as some package managers make).
    """
    binary = shutil.which("gcloud", path=environ.get("PATH"))
    if binary is None:
        return None
    root = Path(binary).resolve().parent.parent
    if (root / "platform").is_dir() or (root / "lib" / "googlecloudsdk").is_dir():
        return root
    try:
        told = subprocess.run(
            [binary, "info", "--format=value(installation.sdk_root)"],
            check=False,
            capture_output=True,
            text=True,
            timeout=GCLOUD_INFO_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env=dict(environ),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # a broken gcloud is no reason to fail: the next source is tried
    path = told.stdout.strip()
    return Path(path) if told.returncode == 0 and path and Path(path).is_dir() else None


def firebase_cache(environ: Mapping[str, str]) -> Path:
    """Where firebase-tools keeps emulators (it honours the same variable)."""
    override = environ.get("FIREBASE_EMULATORS_PATH")
    return Path(override) if override else _home(environ) / ".cache" / "firebase" / "emulators"


def own_cache(environ: Mapping[str, str]) -> Path:
    """Where Keepline keeps the emulators that it fetched."""
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else _home(environ) / ".cache") / "keepline" / "emulators"


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    return Path(home) if home else Path.home()


def _newest(folder: Path, glob: str) -> Path | None:
    if not folder.is_dir():
        return None
    jars = [jar for jar in folder.glob(glob) if jar.is_file()]
    return max(jars, key=_version, default=None)


def _version(jar: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", jar.name))
