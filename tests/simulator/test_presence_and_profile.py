"""Who is online, who types, what people show of themselves, and statuses."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from simulator import SimulatorError
from simulator.client import SimulatorClient, wait_for
from simulator.testing import Handle, NeonizeFleet, RunningSimulator, link

ADA, BOB, CLEO = (f"1415555700{i}" for i in range(3))
JPEG = b"\xff\xd8\xff\xe0" + b"\x00\x10JFIF\x00" + bytes(200)


@pytest.fixture(scope="module")
def control(running: RunningSimulator) -> SimulatorClient:
    for number, name in ((ADA, "Ada"), (BOB, "Bob"), (CLEO, "Cleo")):
        running.client.add_phone(number, name)
    # To be known by full name is what makes someone a reader of a status.
    running.client.add_contact(ADA, BOB, "Bob Brown")
    return running.client


@pytest.fixture(scope="module")
def fleet(
    running: RunningSimulator, control: SimulatorClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Handle]]:
    """A device of Ada and one of Bob, with the names that their phones gave them."""
    folder = tmp_path_factory.mktemp("presence")
    fleet = NeonizeFleet(running.about, [(folder / "ada.db", ""), (folder / "bob.db", "")])
    for client, number, name in zip(fleet.clients, (ADA, BOB), ("Ada", "Bob"), strict=True):
        link(control, client, number)
        wait_for(lambda client=client, name=name: client.call("get_me")["PushName"] == name, 10, "the name")
    wait_for(
        lambda: fleet.clients[0].call("contact.get_contact", person(BOB))["FullName"] == "Bob Brown", 10, "the contact"
    )
    yield fleet.clients
    fleet.close()


def person(number: str) -> dict[str, str]:
    return {"jid": f"{number}@s.whatsapp.net"}


def be(client: Handle, state: str) -> None:
    client.call("send_presence", {"enum": f"Presence.{state}"})


def test_presence_is_told_to_who_asked_and_is_online(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, bob = fleet
    be(ada, "AVAILABLE")
    wait_for(lambda: control.presence(ADA)["online"], 5, "Ada to be online")
    assert control.presence(ADA)["devices"] == [1]
    mark = ada.mark()
    ada.call("subscribe_presence", person(CLEO))
    assert ada.wait("presence", after=mark)["online"] is False
    control.set_online(CLEO, True)
    assert ada.wait("presence", lambda event: event["online"], after=mark)["from"] == CLEO
    control.set_online(CLEO, False)
    last = ada.wait("presence", lambda event: event["last_seen"] > 0, after=mark)
    assert not last["online"] and abs(last["last_seen"] - (control.presence(CLEO)["last_seen"] or 0)) < 2
    # Between devices, and with the end of a connection.
    ada.call("subscribe_presence", person(BOB))
    be(bob, "AVAILABLE")
    ada.wait("presence", lambda event: event["from"] == BOB and event["online"], after=mark)
    place = ada.mark()
    control.drop_connections(BOB)
    ada.wait("presence", lambda event: event["from"] == BOB and not event["online"], after=place)
    be(ada, "UNAVAILABLE")
    wait_for(lambda: not control.presence(ADA)["online"], 5, "Ada to be offline")
    # Who is offline is told nothing.
    place = ada.mark()
    control.set_online(CLEO, True)
    be(ada, "AVAILABLE")
    wait_for(lambda: control.presence(ADA)["online"], 5, "Ada to be back")
    assert not [event for event in ada.events[place:] if event["event"] == "presence"]
    control.set_online(CLEO, False)


def test_typing_goes_both_ways(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, bob = fleet
    # neonize's numbers: composing 1, paused 2; text 1, audio 2.
    for state, expected in (("composing", (1, 1)), ("recording", (1, 2)), ("paused", (2, 1))):
        mark = ada.mark()
        control.type(CLEO, ADA, state)
        event = ada.wait("typing", after=mark)
        assert (event["state"], event["media"]) == expected and event["from_me"] is False
    ways = (("COMPOSING", "TEXT", "composing"), ("COMPOSING", "AUDIO", "recording"), ("PAUSED", "TEXT", "paused"))
    for state, media, expected_state in ways:
        mark = bob.mark()
        ada.call(
            "send_chat_presence", person(BOB), {"enum": f"ChatPresence.CHAT_PRESENCE_{state}"},
            {"enum": f"ChatPresenceMedia.CHAT_PRESENCE_MEDIA_{media}"},
        )  # fmt: skip
        assert bob.wait("typing", after=mark)["from"] == ADA
        seen = control.typing_seen(BOB)[-1]
        assert (seen["from"], seen["chat"], seen["state"]) == (ADA, ADA, expected_state)


def test_pictures_are_shown_changed_and_removed(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, bob = fleet
    with pytest.raises(RuntimeError, match="does not have a profile picture"):
        ada.call("get_profile_picture", person(CLEO))
    control.set_profile(CLEO, picture=JPEG)
    picture = ada.call("get_profile_picture", person(CLEO))
    assert picture["ID"] == control.profile(CLEO)["picture"] and picture["URL"].startswith("https://pps.whatsapp.net/")
    # A picture set by a device is seen by those that have a chat with its number.
    told = control.send(BOB, ADA, "hello")
    ada.wait("message", lambda event: event["id"] == told)
    mark = bob.mark()
    picture_id = ada.call("set_profile_photo", {"bytes": base64.b64encode(JPEG + b"2").decode()})
    assert control.profile(ADA)["picture"] == picture_id
    assert bob.wait("picture", after=mark)["change"]["JID"]["User"] == ADA
    control.set_profile(ADA, picture=b"")
    assert bob.wait("picture", lambda event: event["change"]["Remove"], after=mark)
    assert control.profile(ADA)["picture"] is None
    with pytest.raises(RuntimeError, match="image"):
        ada.call("set_profile_photo", {"bytes": base64.b64encode(b"no picture").decode()})


def test_the_line_about_oneself_is_set_and_read(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, bob = fleet
    ada.call("set_status_message", "Counting")
    assert control.profile(ADA)["about"] == "Counting"
    control.set_profile(CLEO, about="At sea")
    (info,) = bob.call("get_user_info", person(CLEO))
    assert info["UserInfo"]["Status"] == "At sea"


def test_numbers_are_looked_up(control: SimulatorClient, fleet: list[Handle]) -> None:
    found = fleet[0].on_whatsapp(f"+{CLEO}", "+14155559999")
    assert {number.lstrip("+"): there for number, there in found.items()} == {CLEO: True, "14155559999": False}


def test_statuses_go_both_ways(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, bob = fleet
    told = control.send(CLEO, "status", "my day", readers=[ADA, BOB])
    for client in fleet:
        event = client.wait("message", lambda event: event["id"] == told)
        assert (event["text"], event["chat_jid"]) == ("my day", "status@broadcast")
    assert (control.message(BOB, told) or {})["chat"] == "status@broadcast"
    sent = ada.call(
        "send_message", {"jid": "status@broadcast"}, {"message": {"extendedTextMessage": {"text": "mine"}}}
    )["ID"]
    shown = wait_for(lambda: control.message(BOB, sent), 10, "the status")
    assert (shown["text"], shown["from"], shown["chat"]) == ("mine", ADA, "status@broadcast")
    assert bob.wait("message", lambda event: event["id"] == sent)["from_alt"] == ADA
    # Nobody else gets it.
    assert control.message(CLEO, sent) is None
    wait_for(lambda: not any(device["queued"] for device in control.devices(BOB)), 10, "everything to be acknowledged")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("typing", {"to": BOB, "state": "thinking"}, "bad_state"),
        ("typing", {"to": "status"}, "bad_chat"),
        ("presence", {"online": "yes"}, "bad_field"),
        ("profile", {"picture": base64.b64encode(b"GIF89a").decode()}, "bad_picture"),
        ("profile", {"about": "x" * 140}, "bad_about"),
    ],
)
def test_bad_requests_get_a_clear_4xx(control: SimulatorClient, path: str, body: dict[str, Any], code: str) -> None:
    with pytest.raises(SimulatorError) as refused:
        control.call("POST", f"/phones/{CLEO}/{path}", body)
    assert refused.value.code == code and 400 <= refused.value.status < 500
