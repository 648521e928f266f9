"""The connector's settings: environment variables, checked once at the start."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keepline.adapters.media_settings import BadMediaSetting, MediaSettings, read_media_settings
from keepline.domain.cell_recycling import RecycleLimits
from keepline.domain.compaction import RestorePolicy
from keepline.domain.errors import InvalidInput
from keepline.domain.lease import NORMAL, PROFILES, LeaseProfile
from keepline.domain.link_settings import Proxy
from keepline.records.accounts import DEVICES_PER_CONNECTOR_MAX

_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
# How many devices a connector and a cell take if nothing else is said. One process, one fate: few devices share a cell.
DEVICES_DEFAULT = 200
DEVICES_PER_CELL_DEFAULT = 25
_DEVICES_PER_CELL_MAX = 100
CELL_DEVICE_MB_DEFAULT = 12
_CELL_DEVICE_MB_MAX = 1_000
CELL_AGE_S_DEFAULT = 86_400
_CELL_AGE_S_LEAST = 10
_CELL_AGE_S_MAX = 30 * 86_400
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class BadSetting(Exception):
    """A setting is missing or wrong. The message names it and says what it should be."""


@dataclass(frozen=True)
class Settings:
    """What a connector needs to know."""

    project: str  # KEEPLINE_PROJECT: the Google Cloud project whose Firestore is used
    connector: str  # KEEPLINE_CONNECTOR_ID: this connector's name, the same after a restart
    region: str  # KEEPLINE_REGION: where it runs
    data_dir: Path  # KEEPLINE_DATA_DIR: where the WhatsApp stores and journals are kept
    health_port: int  # KEEPLINE_HEALTH_PORT: loopback port of the health page; 0 takes a free one
    kms_key: str | None  # KEEPLINE_KMS_KEY: the Cloud KMS key that wraps the keys of the stored sessions, or …
    key_file: Path | None  # KEEPLINE_KEY_FILE: … the file with the wrapping keys; one of the two is set
    restore_policy: RestorePolicy  # KEEPLINE_RESTORE_POLICY: what to do about a stored session that is not whole
    devices_max: int  # KEEPLINE_DEVICES_MAX: how many linked devices it may hold
    devices_per_cell_max: int  # KEEPLINE_DEVICES_PER_CELL_MAX: how many of them share a process
    recycle: RecycleLimits  # KEEPLINE_CELL_DEVICE_MB_MAX and KEEPLINE_CELL_AGE_S_MAX: when a process is replaced
    profile: LeaseProfile  # KEEPLINE_PROFILE: the pace of its lease, `normal` or `extreme`
    upstream_proxy: Proxy | None  # KEEPLINE_UPSTREAM_PROXY: a proxy to WhatsApp, for sessions without their own
    private_proxies: bool  # KEEPLINE_PRIVATE_ADDRESSES: whether sessions may name proxies that have private addresses
    media: MediaSettings  # KEEPLINE_MEDIA_BUCKET or KEEPLINE_MEDIA_DIR, KEEPLINE_MEDIA_DAYS: where files are kept


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises BadSetting for the first one that is wrong."""
    kms_key, key_file = _wrapping_key(environment)
    return Settings(
        project=read_project(environment),
        connector=_name(environment, "KEEPLINE_CONNECTOR_ID"),
        region=_name(environment, "KEEPLINE_REGION"),
        data_dir=Path(_required(environment, "KEEPLINE_DATA_DIR")).resolve(),
        health_port=_port(environment, "KEEPLINE_HEALTH_PORT"),
        kms_key=kms_key,
        key_file=key_file,
        restore_policy=_policy(environment, "KEEPLINE_RESTORE_POLICY"),
        devices_max=_number(environment, "KEEPLINE_DEVICES_MAX", DEVICES_DEFAULT, 1, DEVICES_PER_CONNECTOR_MAX),
        devices_per_cell_max=_number(
            environment, "KEEPLINE_DEVICES_PER_CELL_MAX", DEVICES_PER_CELL_DEFAULT, 1, _DEVICES_PER_CELL_MAX
        ),
        recycle=RecycleLimits(
            _number(environment, "KEEPLINE_CELL_DEVICE_MB_MAX", CELL_DEVICE_MB_DEFAULT, 1, _CELL_DEVICE_MB_MAX),
            _number(environment, "KEEPLINE_CELL_AGE_S_MAX", CELL_AGE_S_DEFAULT, _CELL_AGE_S_LEAST, _CELL_AGE_S_MAX),
        ),
        profile=_profile(environment, "KEEPLINE_PROFILE"),
        upstream_proxy=_proxy(environment, "KEEPLINE_UPSTREAM_PROXY"),
        private_proxies=_allowed(environment, "KEEPLINE_PRIVATE_ADDRESSES"),
        media=_media(environment),
    )


def read_project(environment: Mapping[str, str] = os.environ) -> str:
    """The project alone, for commands that need nothing else. Raises BadSetting."""
    return _required(environment, "KEEPLINE_PROJECT")


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise BadSetting(f"{name} is not set.")
    return value


def _name(environment: Mapping[str, str], name: str) -> str:
    value = _required(environment, name)
    if not _NAME.fullmatch(value):
        raise BadSetting(f"{name} must be small letters, digits and hyphens, 63 at most.")
    return value


def _port(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "8081")
    if not value.isdigit() or int(value) > 65535:
        raise BadSetting(f"{name} must be a port number from 0 to 65535.")
    return int(value)


def _number(environment: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = environment.get(name, "").strip() or str(default)
    if not (value.isascii() and value.isdigit()) or not least <= int(value) <= most:
        raise BadSetting(f"{name} must be a whole number from {least} to {most}.")
    return int(value)


def _wrapping_key(environment: Mapping[str, str]) -> tuple[str | None, Path | None]:
    kms_key = environment.get("KEEPLINE_KMS_KEY", "").strip()
    key_file = environment.get("KEEPLINE_KEY_FILE", "").strip()
    if bool(kms_key) == bool(key_file):
        raise BadSetting(
            "Set either KEEPLINE_KMS_KEY, a Cloud KMS key, or KEEPLINE_KEY_FILE, a file that"
            " `python -m keepline_connector.key_file create PATH` has made: it protects the stored WhatsApp sessions."
        )
    if kms_key and not _KMS_KEY.fullmatch(kms_key):
        raise BadSetting("KEEPLINE_KMS_KEY must look like projects/P/locations/L/keyRings/R/cryptoKeys/K.")
    if key_file and not Path(key_file).is_file():
        raise BadSetting(
            f"KEEPLINE_KEY_FILE names {key_file}, where no file is; make one with"
            " `python -m keepline_connector.key_file create PATH`, once, and keep it: sessions cannot be read without it."
        )
    return kms_key or None, Path(key_file).resolve() if key_file else None


def _policy(environment: Mapping[str, str], name: str) -> RestorePolicy:
    try:
        return RestorePolicy(environment.get(name, "").strip() or RestorePolicy.REFUSE.value)
    except ValueError:
        raise BadSetting(f"{name} must be refuse or fallback.") from None


def _profile(environment: Mapping[str, str], name: str) -> LeaseProfile:
    profile = PROFILES.get(environment.get(name, "").strip() or NORMAL.name)
    if profile is None:
        raise BadSetting(f"{name} must be one of {', '.join(PROFILES)}.")
    return profile


def _proxy(environment: Mapping[str, str], name: str) -> Proxy | None:
    value = environment.get(name, "").strip()
    if not value:
        return None
    try:
        return Proxy.parse(value)
    except InvalidInput:
        raise BadSetting(f"{name} must look like http://name:password@host:port or socks5://host:port.") from None


def _media(environment: Mapping[str, str]) -> MediaSettings:
    try:
        return read_media_settings(environment)
    except BadMediaSetting as error:
        raise BadSetting(str(error)) from None


def _allowed(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "").strip() or "refuse"
    if value not in ("allow", "refuse"):
        raise BadSetting(f"{name} must be allow or refuse.")
    return value == "allow"
