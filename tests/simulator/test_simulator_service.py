"""The service from outside: control API, protocol rules seen by a plain device, and the command."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from simulator import Policy, Settings, SimulatorError
from simulator.client import SimulatorClient, wait_for
from simulator.errors import ProtocolError
from simulator.jid import Jid
from simulator.nodes import Node
from simulator.probe import ProbeDevice
from simulator.testing import RunningSimulator


def probe(running: RunningSimulator, on_node: Callable[[Node], None] | None = None) -> ProbeDevice:
    port = int(running.about["proxy"].rpartition(":")[2])
    return ProbeDevice(port, Path(running.about["ca"]).parent, bytes.fromhex(running.about["noise_root"]), on_node)


async def linked(running: RunningSimulator, number: str, on_node: Callable[[Node], None] | None = None) -> ProbeDevice:
    device = probe(running, on_node)
    await device.pair(lambda qr: running.client.scan(number, qr))
    await device.log_in()
    return device


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


# Control API


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing", None, 404, "no_such_path"),
        ("DELETE", "/phones", None, 405, "wrong_method"),
        ("POST", "/phones", {}, 400, "missing_field"),
        ("POST", "/phones", {"number": 14155550100}, 400, "bad_field"),
        ("POST", "/phones", {"number": "abc"}, 400, "bad_number"),
        ("POST", "/phones", {"number": "14155550100", "colour": "red"}, 400, "unknown_field"),
        ("POST", "/phones/14155559999/scan", {"qr": "x"}, 404, "no_such_phone"),
        ("GET", "/phones/xyz/inbox", None, 400, "bad_number"),
        ("GET", "/log?since=-1", None, 400, "bad_query"),
        ("POST", "/connections/drop", {"device": 1}, 400, "missing_number"),
    ],
)
def test_a_bad_request_gets_a_clear_4xx(
    running: RunningSimulator, method: str, path: str, body: dict[str, Any] | None, status: int, code: str
) -> None:
    with pytest.raises(SimulatorError) as refused:
        running.client.call(method, path, body)
    assert (refused.value.status, refused.value.code) == (status, code) and refused.value.message


def test_a_body_that_is_not_json_gets_a_clear_4xx(running: RunningSimulator) -> None:
    connection = http.client.HTTPConnection(running.about["control"].removeprefix("http://"), timeout=5)
    for body in ("{", "[1]"):
        connection.request("POST", "/phones", body)
        reply = connection.getresponse()
        assert reply.status == 400 and json.loads(reply.read())["error"]["code"] == "bad_json"
    connection.close()


def test_phones_are_made_listed_and_write_to_each_other(running: RunningSimulator) -> None:
    control = running.client
    assert control.add_phone("+14155550001", "Ada")["number"] == "14155550001"
    control.add_phone("14155550002", "Bob")
    with pytest.raises(SimulatorError) as twice:
        control.add_phone("14155550001")
    assert twice.value.status == 409
    assert {"14155550001", "14155550002"} <= {phone["number"] for phone in control.phones()}
    sent = control.send("14155550001", "+14155550002", "from phone to phone")
    (received,) = control.inbox("14155550002")
    assert (received["id"], received["from"], received["text"]) == (sent, "14155550001", "from phone to phone")
    control.send_receipts("14155550002", [sent])
    assert [(one["id"], one["type"]) for one in control.receipts("14155550001")] == [
        (sent, "delivered"),
        (sent, "read"),
    ]
    bad: list[dict[str, Any]] = [
        {"message_ids": ["unknown"]},
        {"message_ids": [sent], "type": "eaten"},
        {"message_ids": []},
    ]
    for body in bad:
        with pytest.raises(SimulatorError):
            control.call("POST", "/phones/14155550002/receipts", body)
    with pytest.raises(SimulatorError):
        control.send("14155550001", "14155550001", "to myself")


def test_an_inbox_can_be_asked_for_some_messages_only(running: RunningSimulator) -> None:
    control = running.client
    for number in ("14155550003", "14155550004"):
        control.add_phone(number)
    control.send("14155550003", "14155550004", "the first")
    second = control.send("14155550003", "14155550004", "the second")
    own = control.send("14155550004", "14155550003", "an answer")
    assert [one["text"] for one in control.inbox("14155550004", [second, "unknown", own])] == ["the second"]


# Protocol, with a plain device


def test_the_log_tells_the_whole_way_of_a_message(running: RunningSimulator) -> None:
    async def work() -> None:
        control = running.client
        control.add_phone("14155550010")
        control.add_phone("14155550011")
        _, before = control.log()
        ada, bob = await linked(running, "14155550010"), await linked(running, "14155550011")
        ack = await ada.send_text("14155550011", "hello")
        assert "error" not in ack.attrs and "phash" not in ack.attrs
        message_id = ack.text("id")

        def told() -> list[tuple[str, str, int]] | None:
            events = [event for event in control.log(before)[0] if event.get("id") == message_id]
            steps = [(event["kind"], event.get("to", ""), event.get("device", -1)) for event in events]
            return steps if ("acknowledged", "14155550011", 1) in steps else None

        steps = await asyncio.to_thread(wait_for, told, 10, "the message to be acknowledged")
        assert steps[0] == ("accepted", "14155550011", -1)
        for step in ("queued", "delivered", "acknowledged"):
            assert (step, "14155550011", 1) in steps
        assert ("shown", "14155550011", 0) in steps and ("shown", "14155550010", 0) in steps
        assert bob.inbox == [(message_id, "hello")]
        await ada.close()
        await bob.close()

    run(work())


def test_a_message_with_a_part_for_someone_else_is_refused_as_a_whole(running: RunningSimulator) -> None:
    async def work() -> None:
        control = running.client
        for number in ("14155550020", "14155550021", "14155550022"):
            control.add_phone(number)
        device = await linked(running, "14155550020")
        users = [Jid(number, "s.whatsapp.net") for number in ("14155550021", "14155550022")]
        devices, lids = await device.devices_of(*users)
        await device.open_sessions(devices)
        node = device.sealed_message("3EB0AA", lids[users[0]], devices, "for one")
        ack = await device.answered(node)
        assert ack.text("error") == "400"
        nobody = Node("message", {**node.attrs, "id": "3EB0AB", "to": Jid("1", "lid")}, node.content)
        assert (await device.answered(nobody)).text("error") == "404"
        assert control.inbox("14155550021") == [] == control.inbox("14155550022")
        await device.close()

    run(work())


def test_an_old_device_list_is_answered_with_the_right_hash(running: RunningSimulator) -> None:
    async def work() -> None:
        control = running.client
        control.add_phone("14155550030")
        control.add_phone("14155550031")
        device = await linked(running, "14155550030")
        user = Jid("14155550031", "s.whatsapp.net")
        devices, lids = await device.devices_of(user, device.jid.account())
        await device.open_sessions([one for one in devices if one != device.lid])
        newcomer = await linked(running, "14155550031")
        ack = await device.answered(device.sealed_message("3EB0AC", lids[user], devices, "old list"))
        assert ack.text("phash").startswith("2:") and "error" not in ack.attrs
        await device.close()
        await newcomer.close()

    run(work())


def test_what_is_not_acknowledged_comes_again(running: RunningSimulator) -> None:
    async def work() -> None:
        control = running.client
        control.add_phone("14155550040")
        control.add_phone("14155550041")
        came: list[Node] = []
        device = await linked(running, "14155550040", lambda node: came.append(node) if node.tag == "message" else None)
        device.acknowledges = False
        sent = control.send("14155550041", "14155550040", "again and again")
        await asyncio.to_thread(wait_for, lambda: came, 5, "the message")
        await device.close()
        await device.log_in(0)
        await asyncio.to_thread(wait_for, lambda: len(came) == 2, 5, "the message once more")
        assert [node.text("id") for node in came] == [sent, sent] and "offline" in came[1].attrs
        await device.close()

    run(work())


def test_a_second_login_replaces_the_first_and_a_stranger_is_refused(running: RunningSimulator) -> None:
    async def work() -> None:
        control = running.client
        control.add_phone("14155550050")
        told: list[Node] = []
        first = await linked(running, "14155550050", told.append)
        second = probe(running)
        second.__dict__.update(
            {key: first.__dict__[key] for key in ("_noise_key", "store", "jid", "lid", "device_identity")}
        )
        await second.log_in(0)
        await first.closed.wait()
        assert any(node.tag == "stream:error" and node.child("conflict") for node in told)
        stranger = probe(running)
        stranger.jid = first.jid
        with pytest.raises(ProtocolError, match="refused the login"):
            await stranger.log_in()
        await second.close()
        await stranger.close()

    run(work())


def test_garbage_ends_one_connection_and_nothing_else(running: RunningSimulator) -> None:
    async def work() -> None:
        control = running.client
        control.add_phone("14155550060")
        device = await linked(running, "14155550060")
        device.send_raw(b"\x00\xf8\xff\xff")
        await asyncio.wait_for(device.closed.wait(), 5)
        await device.log_in(0)
        await device.close()
        assert control.health()["ok"]

    run(work())


def test_codes_that_are_wrong_are_refused(running: RunningSimulator) -> None:
    running.client.add_phone("14155550070")
    for code in ("", "hello", "https://wa.me/settings/linked_devices#2@x,AA==,AA==,AA==,1"):
        with pytest.raises(SimulatorError) as refused:
            running.client.scan("14155550070", code)
        assert refused.value.code == "bad_qr"


def test_where_every_number_exists_phones_come_into_being(tmp_path: Path) -> None:
    with RunningSimulator(Settings(policy=Policy(every_number_exists=True))) as running:

        async def work() -> None:
            device = await linked(running, "14155550080")
            await device.send_text("14155550081", "hello whoever")
            await device.close()

        run(work())
        assert [message["text"] for message in running.client.inbox("14155550081")] == ["hello whoever"]


def test_other_hosts_are_refused_by_the_proxy(running: RunningSimulator) -> None:
    port = int(running.about["proxy"].rpartition(":")[2])
    for target in ("example.com:443", "web.whatsapp.com:80"):
        with socket.create_connection(("127.0.0.1", port), 5) as raw:
            raw.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 403")


# The command


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "simulator",
        "--dir",
        str(folder),
        "--control-port",
        "0",
        "--proxy-port",
        "0",
        *options,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_command_becomes_ready_and_stops_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    process = start(tmp_path, "--log-file", str(tmp_path / "truth.jsonl"))
    client = SimulatorClient.from_folder(tmp_path)
    about = json.loads((tmp_path / "simulator.json").read_text())
    assert about["pid"] == process.pid and client.health()["noise_root"] == about["noise_root"]
    assert (tmp_path / "noise_root.hex").read_text().strip() == about["noise_root"]
    assert Path(about["ca"]).read_bytes().startswith(b"-----BEGIN CERTIFICATE")
    client.add_phone("14155550100")
    client.add_phone("14155550101")
    client.send("14155550100", "14155550101", "logged")
    client.close()
    process.send_signal(ending)
    output, errors = process.communicate(timeout=10)
    assert process.returncode == 0 and errors == "" and "ready" in output and "stopped" in output
    assert not (tmp_path / "simulator.json").exists()
    assert '"kind":"shown"' in (tmp_path / "truth.jsonl").read_text()


def test_a_restart_keeps_what_clients_trust(tmp_path: Path) -> None:
    kept = []
    for _ in range(2):
        with RunningSimulator(Settings(folder=tmp_path)) as running:
            kept.append((running.about["noise_root"], (tmp_path / "ca.pem").read_bytes()))
    assert kept[0] == kept[1]


def test_a_taken_port_is_named_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(tmp_path, "--control-port", str(port))
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 1 and errors.count("\n") == 1 and str(port) in errors
    assert not (tmp_path / "simulator.json").exists()


def test_trust_needs_a_loaded_neonize() -> None:
    program = "from simulator.trust import trust_this_simulator; trust_this_simulator(b'1' * 32)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "Import it first" in done.stderr
