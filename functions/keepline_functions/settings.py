"""What the functions are told by their environment, checked before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# Google's alphabet for project ids, with the domain-scoped form of old ones; its least length is left to Google.
_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?")


class SettingsError(Exception):
    """The environment does not say what it must. The message names the variable and the remedy."""


@dataclass(frozen=True)
class Settings:
    """`project` is the Google Cloud project. `in_cloud` is true on Cloud Run, where logs are read as JSON lines."""

    project: str
    in_cloud: bool


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings in these environment variables. Raises SettingsError."""
    in_cloud = bool(environment.get("K_SERVICE"))
    project = environment.get("KEEPLINE_PROJECT") or environment.get("GOOGLE_CLOUD_PROJECT") or ""
    if not project:
        raise SettingsError("Set KEEPLINE_PROJECT (or GOOGLE_CLOUD_PROJECT) to the id of the Google Cloud project.")
    if not _PROJECT.fullmatch(project):
        raise SettingsError(
            f"KEEPLINE_PROJECT is {project!r}, which is no project id: use the id, not the name or number."
        )
    # With this variable firebase-admin takes unsigned sign-in tokens: whoever writes one would be whoever they like.
    if in_cloud and environment.get("FIREBASE_AUTH_EMULATOR_HOST"):
        raise SettingsError(
            "FIREBASE_AUTH_EMULATOR_HOST is set in the cloud: remove it, sign-in tokens would go unchecked."
        )
    return Settings(project, in_cloud)
