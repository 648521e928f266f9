"""The Firestore emulator's data on disk: exports that a later start takes up again.

The emulator keeps everything in memory. An export is a folder of its own, and counts only once its name is written to `latest`
in one step, so a run that ends in the middle of an export leaves the one before. Create and update times do not survive.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from keepline_local import loopback_http
from keepline_local.errors import LocalError

EXPORT_TIMEOUT_S = 60.0
EXPORTS_KEPT = 2
_LATEST = "latest"


def export(host: str, project: str, folder: Path) -> Path:
    """Write all documents into a new export under `folder`, make it the latest, and drop old ones. Returns its metadata file."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"export-{time.time_ns()}"
    body = {
        "database": f"projects/{project}/databases/(default)",
        "export_directory": str(folder.resolve()),
        "export_name": name,
    }
    try:
        answer = loopback_http.request(
            "POST", f"http://{host}/emulator/v1/projects/{project}:export", body, timeout_s=EXPORT_TIMEOUT_S
        )
    except loopback_http.NoAnswerError as error:
        raise LocalError(f"The Firestore emulator did not export its data: {error}.") from error
    if answer.status != 200:
        raise LocalError(f"The Firestore emulator did not export its data: {answer.status} {answer.text}.")
    metadata = folder / name / f"{name}.overall_export_metadata"
    if not metadata.is_file():
        raise LocalError(f"The Firestore emulator answered an export but {metadata} is not there.")
    tmp = folder / f"{_LATEST}.tmp"
    tmp.write_text(name)
    tmp.replace(folder / _LATEST)
    _drop_old(folder, keep=name)
    return metadata


def latest(folder: Path) -> Path | None:
    """The metadata file of the latest complete export under `folder`, or None."""
    try:
        name = (folder / _LATEST).read_text().strip()
    except OSError:
        return None
    metadata = folder / name / f"{name}.overall_export_metadata"
    return metadata if name and metadata.is_file() else None


def _drop_old(folder: Path, keep: str) -> None:
    exports = sorted((path for path in folder.glob("export-*") if path.is_dir()), key=lambda path: path.name)
    for old in exports[:-EXPORTS_KEPT]:
        if old.name != keep:
            with contextlib.suppress(OSError):
                shutil.rmtree(old)
