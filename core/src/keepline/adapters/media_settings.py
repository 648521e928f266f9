"""Where files of messages are kept, and for how long: settings that functions and connectors share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from keepline.adapters.media_folder import MediaFolder
from keepline.ports.media import MediaStore

KEPT_DAYS = 30
_KEPT_DAYS_MAX = 3_650
# Google's alphabet for the names of buckets ("Bucket names"), without its finer rules.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


class BadMediaSetting(Exception):
    """A setting is wrong. The message names it and says what it should be."""


@dataclass(frozen=True)
class MediaSettings:
    """A bucket of Cloud Storage or a folder; with neither, no files are kept."""

    bucket: str | None
    folder: Path | None
    kept_for: timedelta


DEFAULT_MEDIA = MediaSettings(None, None, timedelta(days=KEPT_DAYS))


def read_media_settings(environment: Mapping[str, str]) -> MediaSettings:
    """From KEEPLINE_MEDIA_BUCKET, KEEPLINE_MEDIA_DIR and KEEPLINE_MEDIA_DAYS. Raises BadMediaSetting."""
    bucket = environment.get("KEEPLINE_MEDIA_BUCKET", "").strip()
    folder = environment.get("KEEPLINE_MEDIA_DIR", "").strip()
    days = environment.get("KEEPLINE_MEDIA_DAYS", "").strip() or str(KEPT_DAYS)
    if bucket and folder:
        raise BadMediaSetting("Set KEEPLINE_MEDIA_BUCKET or KEEPLINE_MEDIA_DIR, not both.")
    if bucket and not _BUCKET.fullmatch(bucket):
        raise BadMediaSetting("KEEPLINE_MEDIA_BUCKET must be the name of a bucket, without gs://.")
    if not re.fullmatch(r"[1-9][0-9]{0,3}", days) or int(days) > _KEPT_DAYS_MAX:
        raise BadMediaSetting(f"KEEPLINE_MEDIA_DAYS must be a whole number from 1 to {_KEPT_DAYS_MAX}.")
    return MediaSettings(bucket or None, Path(folder).absolute() if folder else None, timedelta(days=int(days)))


def open_media_store(settings: MediaSettings, project: str) -> MediaStore | None:
    """Where files are kept by these settings; None where they are not."""
    if settings.folder is not None:
        return MediaFolder(settings.folder)
    if settings.bucket is None:
        return None
    from keepline.adapters.cloud_storage import CloudStorage  # Its client takes a while to load.

    return CloudStorage(settings.bucket, project)
