"""Groups: made, changed and written in by neonize devices and phones, with real sender keys."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from simulator import SimulatorError
from simulator.client import SimulatorClient, wait_for
from simulator.jid import parse_jid
from simulator.testing import Handle, NeonizeFleet, RunningSimulator, link

ADA, BOB, CLEO, DAN, EVE = (f"1415555400{i}" for i in range(5))
Event = dict[str, Any]


@pytest.fixture(scope="module")
def control(running: RunningSimulator) -> SimulatorClient:
    for number, name in ((ADA, "Ada"), (BOB, "Bob"), (CLEO, "Cleo"), (DAN, "Dan"), (EVE, "Eve")):
        running.client.add_phone(number, name)
    return running.client


@pytest.fixture(scope="module")
def fleet(
    running: RunningSimulator, control: SimulatorClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Handle]]:
    """Two devices of Ada and one of Bob."""
    folder = tmp_path_factory.mktemp("groups")
    fleet = NeonizeFleet(running.about, [(folder / f"{name}.db", "") for name in ("ada", "ada2", "bob")])
    for client, number in zip(fleet.clients, (ADA, ADA, BOB), strict=True):
        link(control, client, number)
    yield fleet.clients
    fleet.close()


def person(number: str) -> dict[str, str]:
    return {"jid": f"{number}@s.whatsapp.net"}


def group_jid(group: str) -> dict[str, str]:
    return {"jid": group}


def with_id(message_id: str) -> Callable[[Event], bool]:
    return lambda event: bool(event["id"] == message_id)


def write(client: Handle, group: str, text: str) -> str:
    return str(client.call("send_message", group_jid(group), {"message": {"conversation": text}})["ID"])


def on_phone(control: SimulatorClient, number: str, message_id: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        found = control.message(number, message_id)
        return found if found and not found["waiting"] else None

    return wait_for(probe, 10, f"{message_id} on the phone {number}")


def members(control: SimulatorClient, group: str) -> dict[str, bool]:
    return {member["number"]: member["admin"] for member in control.group(group)["members"]}


def test_a_group_made_by_a_device_carries_messages_of_everyone(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, second, bob = fleet
    made = ada.call("create_group", "Walks", [person(BOB), person(CLEO)])
    group = made["JID"]["User"] + "@g.us"
    assert made["GroupName"]["Name"] == "Walks" and len(made["Participants"]) == 3
    assert members(control, group) == {ADA: True, BOB: False, CLEO: False}
    joined = bob.wait("joined", lambda event: event["group"]["JID"]["User"] + "@g.us" == group)
    assert joined["group"]["GroupName"]["Name"] == "Walks"

    sent = write(ada, group, "from a device")
    for client in (second, bob):
        event = client.wait("message", with_id(sent))
        assert (event["text"], event["chat_jid"], event["group"]) == ("from a device", group, True)
        assert event["from_alt"] == ADA and event["from_me"] is (client is second)
    for number in (ADA, BOB, CLEO):
        found = on_phone(control, number, sent)
        assert (found["text"], found["chat"], found["from"]) == ("from a device", group, ADA)
    ada.wait("receipt", lambda event: sent in event["ids"] and event["chat_jid"] == group and event["type"] == 1)

    told = control.send(CLEO, group, "from a phone")
    for client in fleet:
        assert client.wait("message", with_id(told))["text"] == "from a phone"
    again = control.send(CLEO, group, "with the same key")
    for client in fleet:
        client.wait("message", with_id(again))
    answer = write(bob, group, "from another device")
    assert on_phone(control, CLEO, answer)["from_device"] == 1
    second.wait("message", with_id(answer))
    wait_for(lambda: not any(device["queued"] for device in control.devices(ADA)), 10, "everything to be acknowledged")


def test_files_reactions_edits_and_polls_work_in_groups(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, _, bob = fleet
    group = control.create_group(CLEO, "Kinds", [ADA, BOB])["id"]
    sent = control.send_file(CLEO, group, "image", b"group picture" * 99, caption="all of us")
    event = ada.wait("message", with_id(sent))
    assert base64.b64decode(ada.call("download_any", {"received": sent})["bytes"]) == b"group picture" * 99
    reaction = ada.call("build_reaction", group_jid(group), {"jid": event["sender_jid"]}, sent, "❤️")
    ada.call("send_message", group_jid(group), {"message": reaction})
    wait_for(lambda: (control.message(CLEO, sent) or {})["reactions"] == {ADA: "❤️"}, 10, "the reaction")

    said = write(bob, group, "hallo")
    on_phone(control, CLEO, said)
    bob.call("edit_message", group_jid(group), said, {"message": {"conversation": "hello"}})
    wait_for(lambda: (control.message(CLEO, said) or {})["text"] == "hello", 10, "the edit")
    # An admin deletes what someone else wrote.
    control.revoke(CLEO, said)
    deleted = ada.wait("message", lambda event: event["edit"] == "8")
    assert ada.content(deleted["id"])["protocolMessage"]["key"]["ID"] == said

    poll = control.send_poll(CLEO, group, "When?", ["now", "later"])
    ada.wait("message", with_id(poll))
    vote = ada.call("build_poll_vote", {"info": poll}, ["later"])
    ada.call("send_message", group_jid(group), {"message": vote})
    wait_for(lambda: (control.message(CLEO, poll) or {})["votes"] == {ADA: ["later"]}, 10, "the vote")


def test_members_come_go_and_are_promoted(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, _, bob = fleet
    group = ada.call("create_group", "Changes", [person(BOB)])["JID"]["User"] + "@g.us"
    for action, change, number, expected in (
        ("ADD", "Join", CLEO, {ADA: True, BOB: False, CLEO: False}),
        ("PROMOTE", "Promote", CLEO, {ADA: True, BOB: False, CLEO: True}),
        ("DEMOTE", "Demote", CLEO, {ADA: True, BOB: False, CLEO: False}),
        ("REMOVE", "Leave", CLEO, {ADA: True, BOB: False}),
    ):
        mark = bob.mark()
        how = {"enum": f"ParticipantChange.{action}"}
        changed = ada.call("update_group_participants", group_jid(group), [person(number)], how)
        assert [one["PhoneNumber"]["User"] for one in changed] == [number]
        assert members(control, group) == expected
        bob.wait("group", lambda event, change=change: event["jid"] == group and change in event["change"], after=mark)
    again = ada.call("update_group_participants", group_jid(group), [person(BOB)], {"enum": "ParticipantChange.ADD"})
    assert again[0]["Error"] == 409

    control.change_members(ADA, group, "add", [DAN])
    ada.wait("group", lambda event: event["jid"] == group and event["change"]["Join"][0]["User"])
    sent = write(ada, group, "for the new one too")
    on_phone(control, DAN, sent)
    control.leave_group(DAN, group)
    gone = write(ada, group, "not for who left")
    on_phone(control, BOB, gone)
    assert control.message(DAN, gone) is None
    with pytest.raises(SimulatorError) as out:
        control.send(DAN, group, "still here?")
    assert (out.value.code, out.value.status) == ("not_in_group", 403)


def test_who_wants_to_be_invited_is_not_added(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada = fleet[0]
    control.set_profile(EVE, invite_only=True)
    made = ada.call("create_group", "By invitation", [person(BOB), person(EVE), person("14155559999")])
    group = made["JID"]["User"] + "@g.us"
    assert members(control, group) == {ADA: True, BOB: False}
    errors = {one["JID"]["User"]: one for one in made["Participants"] if one["Error"]}
    eve = next(one for one in errors.values() if one["PhoneNumber"]["User"] == EVE)
    assert (eve["Error"], bool(eve["AddRequest"]["Code"]), errors["14155559999"]["Error"]) == (403, True, 404)
    how = {"enum": "ParticipantChange.ADD"}
    [again] = ada.call("update_group_participants", group_jid(group), [person(EVE)], how)
    assert again["Error"] == 403
    control.set_profile(EVE, invite_only=False)
    [added] = ada.call("update_group_participants", group_jid(group), [person(EVE)], how)
    assert not added["Error"]
    assert EVE in members(control, group)


def test_who_was_removed_cannot_read_on_with_the_old_key(
    control: SimulatorClient, fleet: list[Handle], running: RunningSimulator
) -> None:
    ada = fleet[0]
    group = control.create_group(CLEO, "Keys", [ADA, DAN])["id"]
    keys = running.simulator.phone(CLEO).sender_keys
    first = control.send(CLEO, group, "one")
    ada.wait("message", with_id(first))
    before = keys.own(group).id
    control.change_members(CLEO, group, "remove", [DAN])
    second = control.send(CLEO, group, "two")
    ada.wait("message", with_id(second))
    assert keys.own(group, 1).id != before
    shown, _ = control.log(kind="shown")
    assert [event["id"] for event in shown if event["to"] == DAN and event["id"] in (first, second)] == [first]


def test_subject_description_and_rules_are_changed(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, _, bob = fleet
    group = ada.call("create_group", "Old name", [person(BOB)])["JID"]["User"] + "@g.us"
    jid = group_jid(group)
    ada.call("set_group_name", jid, "New name")
    bob.wait("group", lambda event: event["jid"] == group and event["change"].get("Name", {}).get("Name") == "New name")
    ada.call("set_group_topic", jid, "", "", "What this is about")
    ada.call("set_group_locked", jid, True)
    ada.call("set_group_announce", jid, True)
    info = control.group(group)
    assert (info["subject"], info["description"], info["locked"], info["announcement"]) == (
        "New name", "What this is about", True, True,
    )  # fmt: skip
    bob.wait("group", lambda event: event["jid"] == group and "Announce" in event["change"])
    with pytest.raises(RuntimeError, match="403"):
        write(bob, group, "may I?")
    with pytest.raises(RuntimeError, match="403"):
        bob.call("set_group_name", jid, "Mine")
    seen = bob.call("get_group_info", jid)
    assert seen["GroupName"]["Name"] == "New name" and seen["GroupTopic"]["Topic"] == "What this is about"
    assert seen["GroupAnnounce"]["IsAnnounce"] and seen["GroupLocked"]["isLocked"]
    assert group.partition("@")[0] in [one["JID"]["User"] for one in bob.call("get_joined_groups")]
    control.change_group(ADA, group, subject="By phone", announcement=False)
    bob.wait("group", lambda event: event["change"].get("Name", {}).get("Name") == "By phone")


def test_people_join_by_link_and_leave(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, _, bob = fleet
    group = ada.call("create_group", "Open", [person(CLEO)])["JID"]["User"] + "@g.us"
    link = ada.call("get_group_invite_link", group_jid(group))
    assert link.startswith("https://chat.whatsapp.com/")
    assert bob.call("get_group_info_from_link", link)["GroupName"]["Name"] == "Open"
    bob.call("join_group_with_link", link)
    assert BOB in members(control, group)
    ada.wait("group", lambda event: event["jid"] == group and "Join" in event["change"])
    on_phone(control, CLEO, write(bob, group, "joined"))
    fresh = ada.call("get_group_invite_link", group_jid(group), True)
    assert fresh != link
    with pytest.raises(SimulatorError) as old:
        control.join_group(EVE, link)
    assert (old.value.code, old.value.status) == ("invite_gone", 410)
    assert control.join_group(EVE, fresh)["subject"] == "Open"
    bob.call("leave_group", group_jid(group))
    assert BOB not in members(control, group)
    with pytest.raises(RuntimeError, match="not participating in that group"):
        bob.call("get_group_info", group_jid(group))
    with pytest.raises(RuntimeError, match="revoked"):
        bob.call("join_group_with_link", link)


def test_an_old_member_list_is_told_by_its_hash(
    control: SimulatorClient, fleet: list[Handle], running: RunningSimulator
) -> None:
    """whatsmeow keeps the members of a group in memory; when the hash in the ack differs it asks for them again."""
    ada = fleet[0]
    group = control.create_group(ADA, "Hash", [CLEO])["id"]
    write(ada, group, "learns the members")
    group_state = running.simulator.world.groups.require(parse_jid(group))
    # DAN joins, and no notice tells it.
    group_state.members[running.simulator.phone(DAN).account] = group_state.members[
        running.simulator.phone(CLEO).account
    ]
    missed = write(ada, group, "goes to the old members")
    later = write(ada, group, "goes to all")
    assert on_phone(control, DAN, later)["text"] == "goes to all"
    # The first one reached him as a ciphertext without its key.
    found = wait_for(lambda: control.message(DAN, missed), 10, "the first one")
    assert found["waiting"] or found["retries"] > 0


def test_a_device_without_the_sender_key_asks_for_it(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, second, bob = fleet
    group = control.create_group(CLEO, "Lost keys", [ADA, BOB])["id"]
    ada.wait("message", with_id(control.send(CLEO, group, "known")))
    # Cleo's phone uses a new key and believes that everyone has it.
    control.forget(CLEO, "handed_out", group=group)
    lost = control.send(CLEO, group, "under a key that nobody has")
    for client in (ada, second, bob):
        # The first request carries keys already, because there is no session with the key at all.
        client.wait("undecryptable", with_id(lost))
        event = client.wait("message", with_id(lost))
        assert (event["text"], event["retry_count"], event["chat_jid"]) == ("under a key that nobody has", 1, group)
    ada.wait("message", with_id(control.send(CLEO, group, "and on with it")))


def test_a_phone_without_the_sender_key_asks_for_it(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada = fleet[0]
    group = control.create_group(CLEO, "Lost by the phone", [ADA])["id"]
    on_phone(control, CLEO, write(ada, group, "known"))
    control.forget(CLEO, "sender_keys", ADA, group)
    control.forget(CLEO, "sessions", ADA)
    lost = write(ada, group, "asked for")
    assert on_phone(control, CLEO, lost)["text"] == "asked for"
    waited, _ = control.log(kind="waiting")
    assert next(event["to"] for event in waited if event["id"] == lost) == CLEO


def test_a_group_may_go_by_phone_numbers(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, second, bob = fleet
    group = control.create_group(CLEO, "Old style", [ADA, BOB], addressing="pn")["id"]
    told = control.send(CLEO, group, "by number")
    for client in (ada, second, bob):
        event = client.wait("message", with_id(told))
        assert event["sender_jid"] == f"{CLEO}@s.whatsapp.net"
    sent = write(ada, group, "back")
    assert on_phone(control, CLEO, sent)["from"] == ADA
    assert bob.wait("message", with_id(sent))["sender_jid"].startswith(ADA)


def test_typing_in_a_group_is_seen(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, _, bob = fleet
    group = control.create_group(CLEO, "Typing", [ADA, BOB])["id"]
    control.type(CLEO, group)
    assert bob.wait("typing", lambda event: event["chat_jid"] == group)["state"] == 1
    state, media = (
        {"enum": "ChatPresence.CHAT_PRESENCE_COMPOSING"},
        {"enum": "ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT"},
    )
    ada.call("send_chat_presence", group_jid(group), state, media)
    wait_for(
        lambda: [one for one in control.typing_seen(CLEO) if (one["from"], one["chat"]) == (ADA, group)], 5, "typing"
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/groups", {"by": ADA}, 400, "missing_field"),
        ("POST", "/groups", {"by": ADA, "subject": "", "members": []}, 400, "bad_subject"),
        ("POST", "/groups", {"by": ADA, "subject": "x", "members": "all"}, 400, "bad_field"),
        ("POST", "/groups", {"by": ADA, "subject": "x", "members": ["14155559999"]}, 404, "no_such_phone"),
        ("POST", "/groups", {"by": ADA, "subject": "x", "addressing": "post"}, 400, "bad_addressing"),
        ("GET", "/groups/120363000000000000@g.us", None, 404, "no_such_group"),
        ("GET", "/groups/1:x@g.us", None, 404, "no_such_group"),
        ("POST", "/groups/1/members", {"by": ADA, "action": "add", "members": [BOB]}, 404, "no_such_group"),
        ("POST", "/groups/join", {"number": ADA, "link": "nowhere"}, 410, "invite_gone"),
    ],
)
def test_a_bad_group_request_gets_a_clear_4xx(
    control: SimulatorClient, method: str, path: str, body: dict[str, Any] | None, status: int, code: str
) -> None:
    with pytest.raises(SimulatorError) as refused:
        control.call(method, path, body)
    assert (refused.value.status, refused.value.code) == (status, code) and refused.value.message


def test_only_admins_change_members(control: SimulatorClient) -> None:
    group = control.create_group(CLEO, "Rules", [ADA, BOB])["id"]
    for act, code, status in (
        (lambda: control.change_members(ADA, group, "add", [DAN]), "group_forbidden", 403),
        (lambda: control.change_members(DAN, group, "add", [DAN]), "group_forbidden", 403),
        (lambda: control.change_members(CLEO, group, "tickle", [ADA]), "bad_action", 400),
        (lambda: control.leave_group(DAN, group), "group_forbidden", 403),
        (lambda: control.change_group(CLEO, group, subject="x" * 101), "bad_subject", 400),
    ):
        with pytest.raises(SimulatorError) as refused:
            act()
        assert (refused.value.code, refused.value.status) == (code, status)
    assert control.change_members(CLEO, group, "remove", [DAN]) == [{"number": DAN, "error": 404}]


def test_a_new_invite_link_and_calls_are_told_to_all_devices(control: SimulatorClient, fleet: list[Handle]) -> None:
    ada, second, _ = fleet
    group = control.create_group(CLEO, "Rings", [ADA])["id"]
    link = control.new_group_link(CLEO, group)
    in_group, alone = control.ring(CLEO, group), control.ring(DAN, ADA, video=True)
    for client in (ada, second):
        assert client.wait("group", lambda event: event["change"].get("NewInviteLink") == link)["jid"] == group
        announced = client.wait("call", with_id(in_group))
        assert (announced["type"], announced["media"]) == ("group", "audio")
        offered = client.wait("call", with_id(alone))
        assert [node["Tag"] for node in offered["offer"]["Nodes"]] == ["audio", "video"]
    wait_for(lambda: not any(device["queued"] for device in control.devices(ADA)), 10, "everything to be acknowledged")


def test_nobody_rings_a_status_or_a_group_that_they_are_not_in(control: SimulatorClient) -> None:
    group = control.create_group(CLEO, "Quiet", [DAN])["id"]
    for to in ("status", group):
        with pytest.raises(SimulatorError):
            control.ring(EVE, to)
