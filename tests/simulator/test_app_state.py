"""What the devices of a number share: settings as encrypted patches, and the history that a new device gets."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator import Policy, Settings, SimulatorError, content, wire
from simulator.appstate import patches
from simulator.client import SimulatorClient, wait_for
from simulator.errors import ProtocolError
from simulator.messages import schema, writing
from simulator.nodes import Node
from simulator.probe import ProbeDevice
from simulator.testing import Handle, NeonizeClient, NeonizeFleet, RunningSimulator, link

Start = Callable[..., NeonizeClient]


def jid(number: str) -> dict[str, str]:
    return {"jid": f"{number}@s.whatsapp.net"}


def push_name(client: Handle) -> str:
    return str(client.call("get_me")["PushName"])


@pytest.fixture(scope="module")
def fleet(running: RunningSimulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Handle]]:
    """Two devices of Ada; she knows Bob."""
    control = running.client
    control.add_phone("14155556000", "Ada")
    control.add_phone("14155556001", "Bob")
    control.add_contact("14155556000", "14155556001", "Bob Brown")
    folder = tmp_path_factory.mktemp("app-state")
    fleet = NeonizeFleet(running.about, [(folder / "a.db", ""), (folder / "b.db", "")])
    for client in fleet.clients:
        link(control, client, "14155556000")
    yield fleet.clients
    fleet.close()


def test_a_new_device_learns_name_and_contacts(running: RunningSimulator, fleet: list[Handle]) -> None:
    for client in fleet:
        wait_for(lambda client=client: push_name(client) == "Ada", 10, "the name")
        wait_for(
            lambda client=client: client.call("contact.get_contact", jid("14155556001"))["FullName"] == "Bob Brown",
            10,
            "Bob",
        )


def test_a_name_set_anywhere_is_known_everywhere(running: RunningSimulator, fleet: list[Handle]) -> None:
    control = running.client
    first, second = fleet
    wait_for(lambda: push_name(first) == "Ada", 10, "the first name")
    control.set_profile("14155556000", name="Ada L.")
    for client in fleet:
        wait_for(lambda client=client: push_name(client) == "Ada L.", 10, "the name set on the phone")
    first.call("set_profile_name", "Countess")
    wait_for(lambda: push_name(second) == "Countess", 10, "the name set on the other device")
    assert control.settings("14155556000")["name"] == control.profile("14155556000")["name"] == "Countess"
    # A message from the number now carries the new name.
    third = control.send("14155556000", "14155556001", "who?")
    assert control.message("14155556001", third)


def test_what_the_phone_sets_about_a_chat_comes_to_the_devices(running: RunningSimulator, fleet: list[Handle]) -> None:
    """The other way is shown by the test with another client: neonize 0.5.2's `send_app_state` names no collection."""
    control = running.client
    lid = next(phone["lid"] for phone in control.phones() if phone["number"] == "14155556001")

    def chat_settings(client: Handle) -> dict[str, Any]:
        return dict(client.call("chat_settings.get_chat_settings", {"jid": lid}))

    control.set_chat("14155556000", "14155556001", archived=True, pinned=True)
    for client in fleet:
        wait_for(
            lambda client=client: chat_settings(client).get("Archived") and chat_settings(client)["Pinned"], 10, "both"
        )
    control.set_chat("14155556000", lid, archived=False, muted=True, read=True)
    for client in fleet:
        wait_for(lambda client=client: not chat_settings(client)["Archived"], 10, "the chat to come back")
    assert control.settings("14155556000")["chats"][lid] == {
        "archived": False,
        "pinned": True,
        "muted": True,
        "read": True,
    }


def test_a_change_from_an_old_version_is_done_again(running: RunningSimulator, fleet: list[Handle]) -> None:
    """The server answers it with a conflict and what was missed; its sender catches up and sends it anew."""
    control = running.client
    first, second = fleet
    for client in fleet:
        wait_for(lambda client=client: push_name(client), 10, "the key of the app state")
    # The first device does not hear of the change.
    fault = control.add_fault(
        "lossy", {"number": "14155556000", "device": 1, "direction": "out", "stanza": "notification"}
    )
    second.call("set_profile_name", "Second")
    first.call("set_profile_name", "First")
    control.clear_faults(fault)
    for client in fleet:
        wait_for(lambda client=client: push_name(client) == "First", 10, "the same name everywhere")
    assert control.settings("14155556000")["name"] == "First"
    assert control.log(kind="app_state_broken")[0] == []


def test_a_later_device_gets_all_patches(running: RunningSimulator, fleet: list[Handle], neonize: Start) -> None:
    control = running.client
    control.set_profile("14155556000", name="Latest")
    client = neonize("late")
    link(control, client, "14155556000")
    wait_for(lambda: push_name(client) == "Latest", 10, "the newest name")


def test_history_comes_with_linking(running: RunningSimulator, neonize: Start) -> None:
    control, ada, bob = running.client, "14155556010", "14155556011"
    control.add_phone(ada, "Ada")
    control.add_phone(bob, "Bob")
    control.send(bob, ada, "before you came")
    answer = control.send(ada, bob, "and my answer")
    group = control.create_group(bob, "Old group", [ada])["id"]
    control.send(bob, group, "in the group")
    client = neonize("history")
    mark = client.mark()
    link(control, client, ada)
    told = client.wait("history", lambda event: event["data"]["syncType"] == "INITIAL_BOOTSTRAP", after=mark)["data"]
    chats = {chat["ID"]: chat for chat in told["conversations"]}
    assert set(chats) == {next(phone["lid"] for phone in control.phones() if phone["number"] == bob), group}
    with_bob = next(chat for chat in chats.values() if chat.get("pnJID") == f"{bob}@s.whatsapp.net")
    messages = [one["message"] for one in with_bob["messages"]]
    assert [one["message"]["conversation"] for one in messages] == ["before you came", "and my answer"]
    assert [one["key"].get("fromMe") for one in messages] == [False, True] and messages[1]["key"]["ID"] == answer
    assert chats[group]["name"] == "Old group"
    names = client.wait("history", lambda event: event["data"]["syncType"] == "PUSH_NAME", after=mark)["data"]
    assert {"ID": f"{bob}@s.whatsapp.net", "pushname": "Bob"} in names["pushnames"]
    # The client deletes what it has read from the media server.
    wait_for(lambda: not control.devices(ada)[0]["queued"], 10, "everything to be acknowledged")
    # A second login brings nothing again.
    client.kill()
    back = neonize("history")
    back.wait("offline_done")
    assert not [event for event in back.events if event["event"] == "history"]


def test_without_the_policy_a_new_device_gets_nothing(tmp_path: Any) -> None:
    settings = Settings(folder=tmp_path / "bare", policy=Policy(history_on_link=False))
    with RunningSimulator(settings) as running:
        running.client.add_phone("14155556020", "Ada")
        client = NeonizeClient(running.about, tmp_path / "bare.db")
        try:
            running.client.scan("14155556020", client.wait("qr")["qr"])
            client.wait("connected")
            client.wait("offline_done")
            with pytest.raises(RuntimeError):
                client.call("send_presence", {"enum": "Presence.AVAILABLE"})
            assert running.client.log(kind="peer")[0] == []
        finally:
            client.close()


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("contacts", {"number": "14155556001", "name": " "}, "bad_name"),
        ("contacts", {"number": "14155559999", "name": "x"}, "no_such_phone"),
        ("chats", {"chat": "14155556001"}, "missing_field"),
        ("chats", {"chat": "14155556001", "muted": "yes"}, "bad_field"),
        ("profile", {"name": ""}, "bad_name"),
        ("forget", {"what": "everything"}, "bad_field"),
        ("forget", {"what": "handed_out", "group": "x"}, "no_such_group"),
    ],
)
def test_bad_settings_get_a_clear_4xx(running: RunningSimulator, path: str, body: dict[str, Any], code: str) -> None:
    control: SimulatorClient = running.client
    if "14155556030" not in {phone["number"] for phone in control.phones()}:
        control.add_phone("14155556030")
    for number in ("14155556001",):
        if number not in {phone["number"] for phone in control.phones()}:
            control.add_phone(number)
    with pytest.raises(SimulatorError) as refused:
        control.call("POST", f"/phones/14155556030/{path}", body)
    assert refused.value.code == code and 400 <= refused.value.status < 500


async def test_the_key_is_given_again_to_a_device_that_asks(running: RunningSimulator) -> None:
    """whatsmeow asks its phone for keys that it does not have (APP_STATE_SYNC_KEY_REQUEST)."""
    control, number = running.client, "14155556040"
    await asyncio.to_thread(control.add_phone, number)
    device = ProbeDevice(
        int(running.about["proxy"].rpartition(":")[2]),
        Path(running.about["ca"]).parent,
        bytes.fromhex(running.about["noise_root"]),
        lambda node: stanzas.append(node),
    )
    stanzas: list[Node] = []
    await device.pair(lambda qr: control.scan(number, qr))
    await device.log_in()
    # Read and acknowledged by the test itself.
    device.acknowledges = False
    phone = device.lid.account()
    await device.open_sessions([phone])
    request = writing.protocol(
        schema.KEY_REQUEST, schema.PROTOCOL_KEY_REQUEST, wire.pack((1, wire.pack((1, b"\0" * 6))))
    )
    sealed = device.store.encrypt(phone, content.pad(request.message))
    parts = [
        Node("enc", {"v": "2", "type": sealed.kind}, sealed.data),
        Node("device-identity", {}, device.device_identity),
    ]
    attrs = {"id": "3EB0KEY", "to": device.jid.account(), "type": "text", "category": "peer"}
    assert "error" not in (await device.answered(Node("message", attrs, parts))).attrs
    answer = await asyncio.to_thread(
        wait_for, lambda: next((node for node in stanzas if node.tag == "message"), None), 10, "the answer of the phone"
    )
    enc = answer.child("enc")
    assert enc is not None and answer.text("category") == "peer"
    found = content.read(content.unpad(device.store.decrypt(phone, enc.text("type"), enc.data())))
    assert found.protocol is not None
    share = found.protocol.message(schema.PROTOCOL_KEY_SHARE).message(1)
    assert share.message(1).blob(1) == running.simulator.phone(number).settings.key_id
    await device.close()


# The cryptography of patches


def test_a_patch_is_read_by_key_holders_only_and_only_in_order() -> None:
    keys = patches.expand(b"\x00\x00\x00\x00\x00\x01", os.urandom(32))
    writer, reader = patches.State("regular"), patches.State("regular")
    first = patches.write(writer, keys, [patches.Mutation(("mute", "1@lid"), b"\x22\x00")], 1_000)
    second = patches.write(writer, keys, [patches.Mutation(("mute", "1@lid"), b"\x22\x02\x08\x01")], 2_000)
    with pytest.raises(ProtocolError):
        patches.read(reader, keys, 1, second)
    (change,) = patches.read(reader, keys, 1, first)
    assert change.about == ("mute", "1@lid")
    with pytest.raises(ProtocolError):
        patches.read(reader, patches.expand(keys.id, os.urandom(32)), 2, second)
    patches.read(reader, keys, 2, second)
    assert (reader.version, reader.hash) == (writer.version, writer.hash) == (2, writer.hash)
    assert base64.b64encode(reader.hash) != base64.b64encode(bytes(patches.HASH_BYTES))
