"""The environment is checked before anything is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepline.domain.pool_limits import PoolLimits
from keepline.domain.webhook_signing import Secret
from keepline_functions.settings import Settings, SettingsError, read_settings

RECOVERY_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KMS_KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k"


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({"KEEPLINE_PROJECT": "demo-keepline"}, Settings("demo-keepline", False)),
        ({"GOOGLE_CLOUD_PROJECT": "demo-keepline"}, Settings("demo-keepline", False)),
        ({"KEEPLINE_PROJECT": "ours-1", "GOOGLE_CLOUD_PROJECT": "theirs"}, Settings("ours-1", False)),
        ({"KEEPLINE_PROJECT": "example.com:old-1"}, Settings("example.com:old-1", False)),
        ({"KEEPLINE_PROJECT": "real-project", "K_SERVICE": "api"}, Settings("real-project", True)),
        ({"KEEPLINE_PROJECT": "demo-keepline", "FIREBASE_AUTH_EMULATOR_HOST": "x:1"}, Settings("demo-keepline", False)),
        (
            {
                "KEEPLINE_PROJECT": "demo-keepline",
                "KEEPLINE_KEY_FILE": "/keys.json",
                "KEEPLINE_PRIVATE_ADDRESSES": "allow",
            },
            Settings("demo-keepline", False, key_file=Path("/keys.json"), private_addresses=True),
        ),
        (
            {"KEEPLINE_PROJECT": "demo-keepline", "KEEPLINE_KMS_KEY": KMS_KEY, "KEEPLINE_PRIVATE_ADDRESSES": "refuse"},
            Settings("demo-keepline", False, kms_key=KMS_KEY),
        ),
        (
            {"KEEPLINE_PROJECT": "p1", "KEEPLINE_KMS_KEY": KMS_KEY, "KEEPLINE_WEBHOOK_KMS_KEY": f"{KMS_KEY}2"},
            Settings("p1", False, kms_key=KMS_KEY, webhook_kms_key=f"{KMS_KEY}2"),
        ),
        (
            {"KEEPLINE_PROJECT": "p1", "KEEPLINE_SESSIONS_PER_USER_MAX": "200", "KEEPLINE_SESSIONS_MAX": "1000"},
            Settings("p1", False, limits=PoolLimits(200, 1000)),
        ),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_METRICS_TOKEN": "f" * 32}, Settings("p1", False, metrics_token="f" * 32)),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_METRICS_TOKEN": " "}, Settings("p1", False)),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_APP_CHECK": "require"}, Settings("p1", False, app_check=True)),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_APP_CHECK": "off"}, Settings("p1", False)),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_RECOVERY": "cloud_run"}, Settings("p1", False, recovery="cloud_run")),
        (
            {
                "KEEPLINE_PROJECT": "p1",
                "KEEPLINE_RECOVERY": "https://r.example",
                "KEEPLINE_RECOVERY_SECRET": RECOVERY_SECRET,
            },
            Settings("p1", False, recovery="https://r.example", recovery_secret=Secret(RECOVERY_SECRET)),
        ),
    ],
)
def test_good_ones(environment: dict[str, str], settings: Settings) -> None:
    assert read_settings(environment) == settings


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "KEEPLINE_PROJECT"),
        ({"KEEPLINE_PROJECT": ""}, "KEEPLINE_PROJECT"),
        ({"KEEPLINE_PROJECT": "My Project"}, "My Project"),
        ({"KEEPLINE_PROJECT": "123456"}, "123456"),
        ({"KEEPLINE_PROJECT": "demo-keepline", "KEEPLINE_KMS_KEY": "sessions"}, "KEEPLINE_KMS_KEY"),
        ({"KEEPLINE_PROJECT": "demo-keepline", "KEEPLINE_KMS_KEY": KMS_KEY, "KEEPLINE_KEY_FILE": "/k"}, "not both"),
        ({"KEEPLINE_PROJECT": "demo-keepline", "KEEPLINE_PRIVATE_ADDRESSES": "yes"}, "KEEPLINE_PRIVATE_ADDRESSES"),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_WEBHOOK_KMS_KEY": "key"}, "KEEPLINE_WEBHOOK_KMS_KEY"),
        (
            {"KEEPLINE_PROJECT": "p1", "KEEPLINE_KMS_KEY": KMS_KEY, "KEEPLINE_WEBHOOK_KMS_KEY": KMS_KEY},
            "KEEPLINE_WEBHOOK_KMS_KEY",
        ),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_APP_CHECK": "on"}, "KEEPLINE_APP_CHECK"),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_METRICS_TOKEN": "f" * 31}, "KEEPLINE_METRICS_TOKEN"),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_RECOVERY": "maybe"}, "KEEPLINE_RECOVERY"),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_RECOVERY": "https://r.example"}, "KEEPLINE_RECOVERY_SECRET"),
        ({"KEEPLINE_PROJECT": "p1", "KEEPLINE_RECOVERY_SECRET": "whsec_short"}, "KEEPLINE_RECOVERY_SECRET"),
        (
            {"KEEPLINE_PROJECT": "real-project", "K_SERVICE": "api", "FIREBASE_AUTH_EMULATOR_HOST": "x:1"},
            "FIREBASE_AUTH_EMULATOR_HOST",
        ),
        *(
            ({"KEEPLINE_PROJECT": "p1", name: value}, name)
            for name, most in (("KEEPLINE_SESSIONS_PER_USER_MAX", 200), ("KEEPLINE_SESSIONS_MAX", 1_000))
            for value in ("0", "-1", "many", "5.0", " 5", "٥", str(most + 1))
        ),
    ],
)
def test_bad_ones_are_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        read_settings(environment)
