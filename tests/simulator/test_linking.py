"""How links end, and what time does to codes and devices."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Callable

import pytest

from simulator import SimulatorError
from simulator.accounts import Keys
from simulator.client import wait_for
from simulator.nodes import Node
from simulator.pairing import Offer
from simulator.testing import NeonizeClient, RunningSimulator, link

Start = Callable[..., NeonizeClient]
MONTH_SECONDS = 30 * 86_400


def _is_logged_out(client: NeonizeClient) -> bool:
    """By its event, or by the device row that whatsmeow deletes."""
    if any(event["event"] == "logged_out" for event in client.events):
        return True
    with sqlite3.connect(f"file:{client.store}?mode=ro", uri=True) as database:
        return database.execute("SELECT count(*) FROM whatsmeow_device").fetchone() == (0,)


def test_a_device_that_was_away_for_a_month_is_removed(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    away, there = neonize("away"), neonize("there")
    link(control, away, "14155553000")
    link(control, there, "14155553000")
    away.kill()
    wait_for(lambda: not control.devices("14155553000")[0]["connected"], 10, "the server to see the socket close")
    assert control.advance_clock(MONTH_SECONDS - 3_600) == 0
    assert control.advance_clock(2 * 3_600) == 1
    assert [device["device"] for device in control.devices("14155553000")] == [2]
    back = neonize("away")
    # neonize 0.5.2 raises no event when the 401 comes before its FetchMe, which then waits for ever for the deleted device row.
    wait_for(lambda: _is_logged_out(back), 20, "the client to take note of its removal")


def test_a_device_is_expired_by_hand(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    client = neonize("expired")
    device = link(control, client, "14155553001")["device"]
    control.expire_device("14155553001", device)
    client.wait("logged_out")
    assert control.devices("14155553001") == []
    with pytest.raises(SimulatorError) as gone:
        control.expire_device("14155553001", device)
    assert (gone.value.code, gone.value.status) == ("no_such_device", 404)


def test_a_device_that_logs_out_cannot_come_back(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    client = neonize("leaving")
    link(control, client, "14155553002")
    client.result(client.begin("logout"))
    wait_for(lambda: not control.devices("14155553002"), 10, "the device to be gone")
    again = neonize("leaving")
    # Its row is deleted: it asks to be linked anew.
    again.wait("qr")


@pytest.mark.parametrize("seconds", ["soon", 0, -1, 1e12])
def test_the_clock_goes_forward_by_sensible_steps_only(running: RunningSimulator, seconds: object) -> None:
    with pytest.raises(SimulatorError) as refused:
        running.client.call("POST", "/clock/advance", {"seconds": seconds})
    assert (refused.value.status, refused.value.code) == (400, "bad_field")


class NoLink:
    """A connection that is never used."""

    def send(self, node: Node) -> None:
        raise AssertionError

    def ask(self, node: Node, answered: Callable[[Node], None]) -> None:
        raise AssertionError

    def paired(self) -> None:
        raise AssertionError


def test_each_code_is_valid_while_it_is_on_the_screen() -> None:
    keys = Keys(1, b"", 1, b"", b"")
    refs = [base64.b64encode(os.urandom(9)).decode() for _ in range(6)]
    offer = Offer(NoLink(), b"", keys, "", 1_000.0, refs=refs)
    # On the screen from 0, 60, 80, 100, 120 and 140 s on, and five seconds of grace.
    for ref, until in zip(refs, (60, 80, 100, 120, 140, 160), strict=True):
        assert offer.valid(ref, 1_000.0 + until + 5) and not offer.valid(ref, 1_000.0 + until + 5.1)
    assert offer.expires_at() == 1_165.0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_codes_rotate_and_run_out_in_the_client(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155553003")
    client = neonize("rotating")
    first = client.wait("qr")
    second = client.wait("qr", lambda event: event["qr"] != first["qr"], timeout=70)
    assert 59 < second["time"] - first["time"] < 63
    third = client.wait("qr", lambda event: event["qr"] not in (first["qr"], second["qr"]), timeout=30)
    assert 19 < third["time"] - second["time"] < 23
    with pytest.raises(SimulatorError) as old:
        control.scan("14155553003", first["qr"])
    assert (old.value.code, old.value.status) == ("qr_expired", 410)
    ended = client.wait("login_status", timeout=120)
    assert ended["status"] == "timeout" and 155 < ended["time"] - first["time"] < 180
    with pytest.raises(SimulatorError):
        control.scan("14155553003", third["qr"])
