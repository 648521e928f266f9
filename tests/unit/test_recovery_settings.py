"""Who restarts a target: its own settings first, then the installation's for its own parts."""

from __future__ import annotations

from typing import Any

import pytest

from keepline.domain.recovery_settings import InstallationRecovery

CONNECTOR = {"kind": "connector", "connector": "connector-1", "region": "europe-west1", "recovery": None}
API = {"kind": "api", "connector": None, "region": None, "recovery": None}
SHOP = {"kind": "url", "connector": None, "region": None, "recovery": None}
POOL = "projects/p/locations/europe-west1/workerPools/keepline-connector-1"
HOOK = "http://127.0.0.1:1/recoveries"


@pytest.mark.parametrize(
    ("who", "target", "settings"),
    [
        ("off", CONNECTOR, None),
        ("cloud_run", CONNECTOR, {"provider": "cloud_run", "resource": POOL}),
        ("cloud_run", API, None),
        ("cloud_run", SHOP, None),
        (HOOK, CONNECTOR, {"provider": "webhook", "url": HOOK}),
        (HOOK, API, {"provider": "webhook", "url": HOOK}),
        (HOOK, SHOP, None),
        ("cloud_run", CONNECTOR | {"recovery": {"provider": "off"}}, None),
        ("cloud_run", CONNECTOR | {"recovery": "typed wrongly"}, None),
        ("off", SHOP | {"recovery": {"provider": "webhook", "url": "u"}}, {"provider": "webhook", "url": "u"}),
    ],
)
def test_who_restarts_a_target(who: str, target: dict[str, Any], settings: dict[str, Any] | None) -> None:
    assert InstallationRecovery(who, "p").of(target) == settings
