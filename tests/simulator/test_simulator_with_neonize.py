"""The unmodified neonize against the simulator, each client in a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator import SimulatorError
from simulator.client import SimulatorClient, wait_for
from simulator.testing import NeonizeClient, RunningSimulator

Start = Callable[..., NeonizeClient]


def link(running: RunningSimulator, client: NeonizeClient, number: str) -> dict[str, Any]:
    """Scans the code that a client shows and waits until the client is connected."""
    mark = client.mark()
    linked = running.client.scan(number, client.wait("qr")["qr"])
    client.wait("connected", after=mark)
    client.wait("offline_done", after=mark)
    return linked


def message_is(message_id: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: bool(event["id"] == message_id)


def inbox_has(control: SimulatorClient, number: str, text: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        return next((message for message in control.inbox(number) if message["text"] == text), None)

    return wait_for(probe, 10, f"{text!r} in the inbox of {number}")


def test_a_device_links_by_qr_and_texts_go_both_ways_with_receipts(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155550100", "Ada")
    control.add_phone("14155550199", "Bob")
    client = neonize("a")
    linked = link(running, client, "14155550100")
    assert linked["jid"] == "14155550100:1@s.whatsapp.net"

    sent = client.send("14155550199", "hello from the device")
    shown = inbox_has(control, "14155550199", "hello from the device")
    assert (shown["id"], shown["from"], shown["waiting"]) == (sent, "14155550100", False)
    client.wait("receipt", lambda event: sent in event["ids"])

    mark = client.mark()
    control.send_receipts("14155550199", [sent], "read")
    client.wait("receipt", lambda event: sent in event["ids"] and event["type"] == 4, after=mark)

    answer = control.send("14155550199", "14155550100", "hello back")
    received = client.wait("message", lambda event: event["id"] == answer)
    assert (received["text"], received["from_alt"], received["from_me"]) == ("hello back", "14155550199", False)
    inbox_has(control, "14155550100", "hello back")


def test_every_device_of_a_number_sees_its_sends_and_the_tag(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155550101", "Ada")
    control.add_phone("14155550198", "Bob")
    first, second = neonize("first"), neonize("second")
    link(running, first, "14155550101")
    assert link(running, second, "14155550101")["device"] == 2

    tag = "ab" * 32
    sent = first.send("14155550198", "seen by all", tag)
    copy = second.wait("message", lambda event: event["id"] == sent)
    assert (copy["from_me"], copy["text"], copy["tag"]) == (True, "seen by all", tag)
    assert inbox_has(control, "14155550198", "seen by all")["tag"] == tag
    own = wait_for(lambda: control.sent_copies("14155550101"), what="the phone's own copy")
    assert (own[0]["id"], own[0]["chat"], own[0]["from_device"], own[0]["tag"]) == (sent, "14155550198", 1, tag)
    shown, _ = control.log(kind="shown")
    assert {event["tag"] for event in shown if event["id"] == sent} == {tag}

    answer = control.send("14155550198", "14155550101", "to both of you")
    for client in (first, second):
        client.wait("message", lambda event: event["id"] == answer)
    from_phone = control.send("14155550101", "14155550198", "the phone speaks")
    for client in (first, second):
        assert client.wait("message", lambda event: event["id"] == from_phone)["from_me"]


def test_messages_wait_for_a_device_that_is_away_and_come_once(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155550102", "Ada")
    control.add_phone("14155550197", "Bob")
    client = neonize("away")
    link(running, client, "14155550102")
    client.kill()
    wait_for(lambda: not control.devices("14155550102")[0]["connected"], what="the server to see the socket close")
    texts = [f"while you were away {i}" for i in range(10)]
    ids = [control.send("14155550197", "14155550102", text) for text in texts]
    assert control.devices("14155550102")[0]["queued"] >= 10

    back = neonize("away")
    assert back.wait("offline_done")["count"] >= 10
    for one in ids:
        back.wait("message", message_is(one))
    assert [event["text"] for event in back.events if event["event"] == "message"] == texts
    wait_for(lambda: not control.devices("14155550102")[0]["queued"], what="everything to be acknowledged")
    back.kill()
    again = neonize("away")
    assert again.wait("offline_done")["count"] == 0


def test_a_dropped_connection_heals_by_itself(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155550103", "Ada")
    control.add_phone("14155550196", "Bob")
    client = neonize("dropped")
    link(running, client, "14155550103")
    mark = client.mark()
    assert control.drop_connections("14155550103") == 1
    client.wait("disconnected", after=mark)
    client.wait("connected", after=mark)
    client.send("14155550196", "still here")
    inbox_has(control, "14155550196", "still here")


def test_unlinking_on_the_phone_logs_the_device_out(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155550104", "Ada")
    client = neonize("unlinked")
    device = link(running, client, "14155550104")["device"]
    control.unlink("14155550104", device)
    client.wait("logged_out")
    assert control.devices("14155550104") == []


def test_a_device_that_logs_out_is_no_longer_listed(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155550105", "Ada")
    client = neonize("leaving")
    link(running, client, "14155550105")
    client.result(client.begin("logout"))
    wait_for(lambda: not control.devices("14155550105"), what="the device to be gone")


def test_an_older_store_heals_inbound_and_asks_outbound(
    running: RunningSimulator, neonize: Start, tmp_path: Path
) -> None:
    control = running.client
    control.add_phone("14155550106", "Ada")
    control.add_phone("14155550195", "Bob")
    client = neonize("old")
    link(running, client, "14155550106")
    client.send("14155550195", "one")
    first = control.send("14155550195", "14155550106", "two")
    client.wait("message", lambda event: event["id"] == first)
    client.kill()
    for suffix in ("", "-wal"):
        saved = tmp_path / f"old.db{suffix}"
        if saved.exists():
            shutil.copy(saved, tmp_path / f"saved.db{suffix}")
    between = neonize("old")
    between.wait("connected")
    between.send("14155550195", "three")
    second = control.send("14155550195", "14155550106", "four")
    between.wait("message", lambda event: event["id"] == second)
    between.send("14155550195", "five")
    inbox_has(control, "14155550195", "five")
    between.kill()

    restored = neonize("saved")
    restored.wait("connected")
    third = control.send("14155550195", "14155550106", "six")
    restored.wait("undecryptable", lambda event: event["id"] == third)
    assert restored.wait("message", lambda event: event["id"] == third)["text"] == "six"
    restored.send("14155550195", "seven")
    inbox_has(control, "14155550195", "seven")


def test_numbers_are_looked_up(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155550107", "Ada")
    client = neonize("asking")
    link(running, client, "14155550107")
    found = client.on_whatsapp("+14155550107", "+14155559999")
    assert {number.lstrip("+"): there for number, there in found.items()} == {"14155550107": True, "14155559999": False}
    call = client.begin_send("14155559999", "to nobody")
    with pytest.raises(RuntimeError, match="no LID found"):
        client.result(call)


def test_a_fifth_device_is_refused_and_codes_expire(running: RunningSimulator, neonize: Start) -> None:
    control = running.client
    control.add_phone("14155550108", "Ada")
    clients = [neonize(f"many{i}") for i in range(5)]
    for client in clients[:4]:
        link(running, client, "14155550108")
    code = clients[4].wait("qr")["qr"]
    with pytest.raises(SimulatorError) as refused:
        control.scan("14155550108", code)
    assert (refused.value.code, refused.value.status) == ("device_limit", 409)
    control.unlink("14155550108", 2)
    assert control.scan("14155550108", code)["device"] == 5
    with pytest.raises(SimulatorError) as used:
        control.scan("14155550108", code)
    assert used.value.code == "qr_expired"


def test_a_phone_asks_again_for_what_an_older_store_sends(
    running: RunningSimulator, neonize: Start, tmp_path: Path
) -> None:
    control = running.client
    control.add_phone("14155550109", "Ada")
    control.add_phone("14155550194", "Bob")
    client = neonize("stale")
    link(running, client, "14155550109")
    client.send("14155550194", "one")
    client.kill()
    for suffix in ("", "-wal"):
        if (tmp_path / f"stale.db{suffix}").exists():
            shutil.copy(tmp_path / f"stale.db{suffix}", tmp_path / f"copy.db{suffix}")
    newer = neonize("stale")
    newer.wait("connected")
    newer.send("14155550194", "two")
    inbox_has(control, "14155550194", "two")
    newer.kill()

    restored = neonize("copy")
    restored.wait("connected")
    sent = restored.send("14155550194", "three")
    assert inbox_has(control, "14155550194", "three")["id"] == sent
    waited, _ = control.log(kind="waiting")
    assert sent in [event["id"] for event in waited]
