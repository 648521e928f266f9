"""What the functions are told by their environment, checked before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keepline.adapters.media_settings import DEFAULT_MEDIA, BadMediaSetting, MediaSettings, read_media_settings
from keepline.domain.pool_limits import DEFAULT_LIMITS, SESSIONS_MAX, SESSIONS_OF_USER_MAX, PoolLimits
from keepline.domain.recovery_settings import CLOUD_RUN, OFF
from keepline.domain.webhook_signing import Secret
from keepline.records.accounts import ACCOUNTS_LISTED_MAX, ACCOUNTS_MAX

# Above these the lists of sessions and of devices would be cut short.
_OF_USER_MAX = ACCOUNTS_LISTED_MAX
_OF_ALL_MAX = ACCOUNTS_MAX
# Google's alphabet for project ids, with the domain-scoped form of old ones; its least length is left to Google.
_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?")

# 128 bits, written in hex.
_METRICS_TOKEN_CHARACTERS_MIN = 32
_RECOVERY_SECRET = re.compile(r"whsec_(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_API_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[!-~]*)?")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")


class SettingsError(Exception):
    """The environment does not say what it must. The message names the variable and the remedy."""


@dataclass(frozen=True)
class Settings:
    """`project` is the Google Cloud project. `in_cloud` is true on Cloud Run.

    What seals a proxy's address: the Cloud KMS key `kms_key` or the `key_file`, or nothing, and then no proxy can be set.
    A webhook's secrets: `webhook_kms_key`, or the same `key_file`; with neither no webhook can be made.
    `private_addresses`: proxies of sessions and webhooks may have addresses that are not public. `limits`: how many sessions
    there may be.
    `app_check`: people sign in from the installation's own app only.
    `metrics_token`: who knows it may read `/metrics`; None: nobody may.
    `media`: where files are kept.
    `api_url`: where this installation's API answers, so that it is watched; None: it is not.
    `recovery`: who restarts what is down (`off`, `cloud_run` or a URL); `recovery_secret` signs what is asked of a webhook.
    """

    project: str
    in_cloud: bool
    kms_key: str | None = None
    key_file: Path | None = None
    webhook_kms_key: str | None = None
    private_addresses: bool = False
    limits: PoolLimits = DEFAULT_LIMITS
    metrics_token: str | None = field(default=None, repr=False)
    app_check: bool = False
    media: MediaSettings = DEFAULT_MEDIA
    api_url: str | None = None
    recovery: str = OFF
    recovery_secret: Secret | None = field(default=None, repr=False)


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
    limits = PoolLimits(
        of_user=_count(environment, "KEEPLINE_SESSIONS_PER_USER_MAX", SESSIONS_OF_USER_MAX, _OF_USER_MAX),
        of_all=_count(environment, "KEEPLINE_SESSIONS_MAX", SESSIONS_MAX, _OF_ALL_MAX),
    )
    kms_key, key_file = _wrapping_key(environment)
    webhook_kms_key = _kms_key(environment, "KEEPLINE_WEBHOOK_KMS_KEY")
    if webhook_kms_key and (key_file or webhook_kms_key == kms_key):
        raise SettingsError(
            "KEEPLINE_WEBHOOK_KMS_KEY goes with KEEPLINE_KMS_KEY, and must be another key: the functions decrypt with it."
        )
    private = environment.get("KEEPLINE_PRIVATE_ADDRESSES", "").strip() or "refuse"
    if private not in ("allow", "refuse"):
        raise SettingsError("KEEPLINE_PRIVATE_ADDRESSES must be allow or refuse.")
    metrics_token = environment.get("KEEPLINE_METRICS_TOKEN", "").strip() or None
    if metrics_token is not None and len(metrics_token) < _METRICS_TOKEN_CHARACTERS_MIN:
        raise SettingsError("KEEPLINE_METRICS_TOKEN is too short: make one with `openssl rand -hex 32`.")
    app_check = environment.get("KEEPLINE_APP_CHECK", "").strip() or "off"
    if app_check not in ("off", "require"):
        raise SettingsError("KEEPLINE_APP_CHECK must be off or require.")
    try:
        media = read_media_settings(environment)
    except BadMediaSetting as error:
        raise SettingsError(str(error)) from None
    return Settings(
        project,
        in_cloud,
        kms_key,
        key_file,
        webhook_kms_key,
        private == "allow",
        limits,
        metrics_token,
        app_check == "require",
        media,
        _api_url(environment),
        *_recovery(environment),
    )


def _api_url(environment: Mapping[str, str]) -> str | None:
    url = environment.get("KEEPLINE_API_URL", "").strip()
    if url and not _API_URL.fullmatch(url):
        raise SettingsError("KEEPLINE_API_URL must look like https://host, where the API's /health is.")
    return url or None


def _recovery(environment: Mapping[str, str]) -> tuple[str, Secret | None]:
    who = environment.get("KEEPLINE_RECOVERY", "").strip() or OFF
    webhook = who.startswith(("https://", "http://"))
    if who not in (OFF, CLOUD_RUN) and not webhook:
        raise SettingsError("KEEPLINE_RECOVERY must be off, cloud_run, or the URL of what restarts a part.")
    text = environment.get("KEEPLINE_RECOVERY_SECRET", "").strip()
    if text and not _RECOVERY_SECRET.fullmatch(text):
        raise SettingsError("KEEPLINE_RECOVERY_SECRET must be whsec_ and 24 to 64 random bytes in base64.")
    if webhook and not text:
        raise SettingsError(
            "KEEPLINE_RECOVERY is a URL: give KEEPLINE_RECOVERY_SECRET, which signs what is sent there."
        )
    return who, Secret(text) if text else None


def _wrapping_key(environment: Mapping[str, str]) -> tuple[str | None, Path | None]:
    kms_key = _kms_key(environment, "KEEPLINE_KMS_KEY")
    key_file = environment.get("KEEPLINE_KEY_FILE", "").strip()
    if kms_key and key_file:
        raise SettingsError("Set KEEPLINE_KMS_KEY or KEEPLINE_KEY_FILE, not both: the one that the connectors have.")
    return kms_key, Path(key_file) if key_file else None


def _kms_key(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name, "").strip()
    if text and not _KMS_KEY.fullmatch(text):
        raise SettingsError(f"{name} must look like projects/P/locations/L/keyRings/R/cryptoKeys/K.")
    return text or None


def _count(environment: Mapping[str, str], name: str, usual: int, most: int) -> int:
    text = environment.get(name) or str(usual)
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text) or int(text) > most:
        raise SettingsError(f"{name} is {text[:20]!r}: give a number from 1 to {most}.")
    return int(text)
