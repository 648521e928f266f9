"""Accounts to work with: linked by the demo's phones, on request each with a standby in the other connector."""

from __future__ import annotations

from functools import partial

from tests.e2e.keepline import Api, eventually

LINK_LIMIT_S = 60.0


def link(api: Api, count: int, *, standby: bool, beyond: int = 0) -> dict[str, str]:
    """Sessions that are connected, with their numbers; with `standby` each with two devices that are.

    `count` in all, of which the first `beyond` are linked already.
    """
    names = [f"account-{number}" for number in range(beyond + 1, count + 1)]
    for name in names:
        api.create(name)
    phones = {name: str(api.wait_for_state(name, "connected", LINK_LIMIT_S)["phone"]) for name in names}
    if standby:
        for name in names:
            api.json("POST", f"/api/sessions/{name}/standby", 202)
        for name in names:
            eventually(partial(_has_standby, api, name), f"{name} has a standby", LINK_LIMIT_S)
    return phones


def _has_standby(api: Api, name: str) -> bool:
    devices = api.status(name)["devices"]
    holders = {device["connector"] for device in devices if device["state"] == "connected"}
    return len(devices) == 2 and len(holders) == 2
