"""Accounts to work with: linked by the demo's phones, on request each with a standby in the other connector."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.e2e.keepline import Api, eventually

LINK_LIMIT_S = 60.0
# At once; a hundred new ones in the same second are more than a small machine can do beside its load.
BATCH = 20


def link(api: Api, count: int, *, standby: bool) -> dict[str, str]:
    """Sessions that are connected, with their numbers; with `standby` each with two devices that are."""
    names = [f"account-{number}" for number in range(1, count + 1)]
    phones: dict[str, str] = {}
    for start in range(0, len(names), BATCH):
        phones |= _link(api, names[start : start + BATCH], standby=standby)
    return phones


def _link(api: Api, names: list[str], *, standby: bool) -> dict[str, str]:
    for name in names:
        api.create(name)
    phones = {
        name: str(eventually(partial(_connected, api, name), f"{name} is connected", LINK_LIMIT_S)["phone"])
        for name in names
    }
    if standby:
        for name in names:
            api.json("POST", f"/api/sessions/{name}/standby", 202)
        for name in names:
            eventually(partial(_has_standby, api, name), f"{name} has a standby", LINK_LIMIT_S)
    return phones


def _status(api: Api, name: str) -> dict[str, Any] | None:
    """None while the database does not answer: a busy machine's emulator is late at times."""
    response = api.call("GET", f"/api/sessions/{name}/status")
    if response.status_code == 503:
        return None
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def _connected(api: Api, name: str) -> dict[str, Any] | None:
    status = _status(api, name)
    return status if status is not None and status["state"] == "connected" else None


def _has_standby(api: Api, name: str) -> bool:
    status = _status(api, name)
    if status is None:
        return False
    holders = {device["connector"] for device in status["devices"] if device["state"] == "connected"}
    return len(status["devices"]) == 2 and len(holders) == 2
