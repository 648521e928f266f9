"""Linking by code: the device shows eight characters, a person types them into the phone."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from simulator import SimulatorError, pairing_code
from simulator.client import wait_for
from simulator.testing import NeonizeClient, RunningSimulator

Start = Callable[..., NeonizeClient]


def asked_for(client: NeonizeClient, number: str) -> str:
    """The code that a client shows; it may be asked for once the client is connected, which its QR code tells."""
    client.wait("qr")
    return str(client.call("PairPhone", number, True))


def test_a_device_links_by_code_and_writes(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155552000", "Ada")
    control.add_phone("14155552001", "Bob")
    client = neonize("code")
    code = asked_for(client, "+1 415 555 2000")
    assert len(code) == 9 and code[4] == "-"
    linked = control.enter_link_code("14155552000", code.lower())
    assert linked["jid"] == "14155552000:1@s.whatsapp.net"
    assert client.wait("login_status")["status"] == "success"
    client.wait("connected")
    sent = client.send("14155552001", "linked by code")
    wait_for(lambda: control.message("14155552001", sent), 10, "the message")
    assert control.devices("14155552000")[0]["connected"]
    with pytest.raises(SimulatorError) as again:
        control.enter_link_code("14155552000", code)
    assert (again.value.code, again.value.status) == ("no_link_code", 410)


def test_a_wrong_code_links_nothing_and_the_right_one_still_does(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155552002")
    client = neonize("wrong")
    code = asked_for(client, "14155552002")
    wrong = ("1" if code[0] != "1" else "2") + code[1:]
    with pytest.raises(SimulatorError) as refused:
        control.enter_link_code("14155552002", wrong)
    assert (refused.value.code, refused.value.status) == ("wrong_code", 409)
    assert control.devices("14155552002") == []
    assert control.enter_link_code("14155552002", code)["device"] == 1
    client.wait("connected")


def test_wrong_codes_may_be_tried_a_few_times_only(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155552003")
    client = neonize("tries")
    code = asked_for(client, "14155552003")
    wrong = ("1" if code[0] != "1" else "2") + code[1:]
    codes = []
    for _ in range(4):
        with pytest.raises(SimulatorError) as refused:
            control.enter_link_code("14155552003", wrong)
        codes.append(refused.value.code)
    assert codes == ["wrong_code"] * 3 + ["too_many_tries"]


def test_requests_for_a_code_that_make_no_sense_are_refused(running: RunningSimulator, neonize: Start) -> None:
    running.client.add_phone("14155552004")
    client = neonize("refused")
    client.wait("qr")
    with pytest.raises(RuntimeError, match="404"):
        client.call("PairPhone", "14155559999", True)
    for code, expected in (
        ("", "bad_code"),
        ("hello", "bad_code"),
        ("0000-0000", "bad_code"),
        ("1234-5678", "no_link_code"),
    ):
        with pytest.raises(SimulatorError) as refused:
            running.client.enter_link_code("14155552004", code)
        assert refused.value.code == expected


def test_a_key_is_hidden_behind_a_code() -> None:
    key = os.urandom(32)
    wrapped = pairing_code.wrap("1A2B3C4D", key)
    assert key not in wrapped and len(wrapped) == 80
    assert pairing_code.unwrap("1A2B3C4D", wrapped) == key != pairing_code.unwrap("1A2B3C4E", wrapped)
