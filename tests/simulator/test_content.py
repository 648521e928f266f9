"""What people send each other, both ways, between the unmodified neonize and phones."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from simulator import SimulatorError
from simulator.client import SimulatorClient, wait_for
from simulator.testing import NeonizeClient, RunningSimulator, link

ADA, BOB = "14155551000", "14155551001"
Event = dict[str, Any]


@pytest.fixture(scope="module")
def control(running: RunningSimulator) -> SimulatorClient:
    running.client.add_phone(ADA, "Ada")
    running.client.add_phone(BOB, "Bob")
    return running.client


@pytest.fixture(scope="module")
def ada(
    running: RunningSimulator, control: SimulatorClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NeonizeClient]:
    """Ada's linked device, for all tests of this module."""
    client = NeonizeClient(running.about, tmp_path_factory.mktemp("content") / "ada.db")
    link(control, client, ADA)
    yield client
    client.close()


def jid(number: str) -> dict[str, str]:
    return {"jid": f"{number}@s.whatsapp.net"}


def lid(control: SimulatorClient, number: str) -> str:
    return str(next(phone["lid"] for phone in control.phones() if phone["number"] == number))


def send(client: NeonizeClient, to: str, message: dict[str, Any]) -> str:
    return str(client.call("send_message", jid(to), {"message": message})["ID"])


def shown(control: SimulatorClient, number: str, message_id: str) -> dict[str, Any]:
    """A message on a phone, once it is there."""

    def probe() -> dict[str, Any] | None:
        found = control.message(number, message_id)
        return found if found and not found["waiting"] else None

    return wait_for(probe, 10, f"{message_id} on the phone {number}")


def until(
    control: SimulatorClient, message_id: str, number: str, is_so: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    return wait_for(
        lambda: found if (found := control.message(number, message_id)) and is_so(found) else None,
        10,
        f"{message_id} on the phone {number} to change",
    )


def with_id(message_id: str) -> Callable[[Event], bool]:
    return lambda event: bool(event["id"] == message_id)


def received(client: NeonizeClient, message_id: str) -> tuple[Event, dict[str, Any]]:
    """A message that came to the client, and what is in it as protobuf's JSON."""
    event = client.wait("message", with_id(message_id))
    return event, client.content(message_id)


# Texts


def test_a_text_with_a_quote_and_a_mention_goes_both_ways(control: SimulatorClient, ada: NeonizeClient) -> None:
    first = control.send(BOB, ADA, "shall we?")
    ada.wait("message", with_id(first))
    context = {"stanzaID": first, "participant": lid(control, BOB), "quotedMessage": {"conversation": "shall we?"}}
    answer = send(
        ada,
        BOB,
        {"extendedTextMessage": {"text": "yes @bob", "contextInfo": {**context, "mentionedJID": [lid(control, BOB)]}}},
    )
    on_phone = shown(control, BOB, answer)
    assert (on_phone["kind"], on_phone["text"], on_phone["chat"]) == ("text", "yes @bob", ADA)
    assert on_phone["fields"] == {"quote": {"id": first, "from": BOB, "text": "shall we?"}, "mentions": [BOB]}

    back = control.send(BOB, ADA, "then @ada", quote=answer, mentions=[ADA])
    event, message = received(ada, back)
    info = message["extendedTextMessage"]["contextInfo"]
    assert event["text"] == "then @ada" and event["push_name"] == "Bob"
    assert (info["stanzaID"], info["mentionedJID"]) == (answer, [lid(control, ADA)])
    assert info["quotedMessage"]["extendedTextMessage"]["text"] == "yes @bob"


# Files


@pytest.mark.parametrize(
    ("kind", "media_type", "field", "extra"),
    [
        ("image", "MediaImage", "imageMessage", {"caption": "look"}),
        ("video", "MediaVideo", "videoMessage", {"caption": "moving", "seconds": 3}),
        ("audio", "MediaAudio", "audioMessage", {"seconds": 7}),
        ("voice", "MediaAudio", "audioMessage", {"seconds": 2, "PTT": True}),
        ("document", "MediaDocument", "documentMessage", {"fileName": "a.pdf", "caption": "read it"}),
        ("sticker", "MediaImage", "stickerMessage", {}),
    ],
)
def test_a_file_from_the_device_reaches_a_phone_unharmed(
    control: SimulatorClient, ada: NeonizeClient, kind: str, media_type: str, field: str, extra: dict[str, Any]
) -> None:
    data = f"a {kind} ".encode() * 20_000
    uploaded = ada.call("upload", {"bytes": base64.b64encode(data).decode()}, {"enum": f"MediaType.{media_type}"})
    about = {
        "URL": uploaded["url"], "directPath": uploaded["DirectPath"], "mediaKey": uploaded["MediaKey"],
        "fileEncSHA256": uploaded["FileEncSHA256"], "fileSHA256": uploaded["FileSHA256"],
        "fileLength": uploaded["FileLength"], "mimetype": "application/x-test",
    }  # fmt: skip
    sent = send(ada, BOB, {field: {**about, **extra}})
    found = shown(control, BOB, sent)
    assert (found["kind"], found["text"]) == (kind, extra.get("caption", ""))
    fields = found["fields"]
    assert (fields["media"], fields["size"], fields["sha256"]) == ("ok", len(data), hashlib.sha256(data).hexdigest())
    assert fields.get("seconds", 0) == extra.get("seconds", 0)
    assert control.download(BOB, sent) == data
    # The copy on the sender's own phone opens as well.
    assert control.download(ADA, shown(control, ADA, sent)["id"]) == data


@pytest.mark.parametrize(
    ("kind", "field", "media_type"),
    [
        ("image", "imageMessage", "image"),
        ("video", "videoMessage", "video"),
        ("audio", "audioMessage", "audio"),
        ("voice", "audioMessage", "ptt"),
        ("document", "documentMessage", "document"),
        ("sticker", "stickerMessage", "sticker"),
    ],
)
def test_a_file_from_a_phone_is_downloaded_by_the_device(
    control: SimulatorClient, ada: NeonizeClient, kind: str, field: str, media_type: str
) -> None:
    data = hashlib.sha256(kind.encode()).digest() * 5_000
    caption = {} if kind in ("audio", "voice", "sticker") else {"caption": "from Bob"}
    sent = control.send_file(BOB, ADA, kind, data, filename="f.bin" if kind == "document" else "", **caption)
    event, message = received(ada, sent)
    assert (event["type"], event["media_type"]) == ("media", media_type)
    assert message[field].get("caption", "") == caption.get("caption", "")
    assert bool(message[field].get("PTT")) is (kind == "voice")
    downloaded = ada.call("download_any", {"received": sent})
    assert base64.b64decode(downloaded["bytes"]) == data


def test_a_file_that_is_gone_or_harmed_is_found_out(control: SimulatorClient, ada: NeonizeClient) -> None:
    sent = control.send_file(BOB, ADA, "image", b"soon gone" * 100)
    ada.wait("message", with_id(sent))
    control.remove_file(BOB, sent)
    with pytest.raises(RuntimeError, match="410"):
        ada.call("download_any", {"received": sent})
    with pytest.raises(SimulatorError) as gone:
        control.download(BOB, sent)
    assert (gone.value.code, gone.value.status) == ("media_broken", 410)

    uploaded = ada.call("upload", {"bytes": base64.b64encode(b"x" * 1_000).decode()}, {"enum": "MediaType.MediaImage"})
    wrong = base64.b64encode(b"\x00" * 32).decode()
    harmed = send(
        ada, BOB,
        {"imageMessage": {
            "directPath": uploaded["DirectPath"], "mediaKey": uploaded["MediaKey"], "fileSHA256": wrong,
            "fileEncSHA256": uploaded["FileEncSHA256"], "fileLength": 1_000, "mimetype": "image/jpeg",
        }},
    )  # fmt: skip
    assert shown(control, BOB, harmed)["fields"]["media"] == "the sha256 of the file is wrong"


# Places, people, polls


def test_a_place_and_a_contact_go_both_ways(control: SimulatorClient, ada: NeonizeClient) -> None:
    sent = send(ada, BOB, {"locationMessage": {"degreesLatitude": 48.2, "degreesLongitude": -16.37, "name": "Vienna"}})
    found = shown(control, BOB, sent)
    assert found["kind"] == "location"
    assert (found["fields"]["latitude"], found["fields"]["longitude"], found["fields"]["name"]) == (
        48.2,
        -16.37,
        "Vienna",
    )
    _, message = received(ada, control.send_location(BOB, ADA, -33.9, 18.4, "Cape Town"))
    assert message["locationMessage"] == {"degreesLatitude": -33.9, "degreesLongitude": 18.4, "name": "Cape Town"}

    card = f"BEGIN:VCARD\nVERSION:3.0\nFN:Cleo\nTEL;waid={BOB}:+{BOB}\nEND:VCARD"
    found = shown(control, BOB, send(ada, BOB, {"contactMessage": {"displayName": "Cleo", "vcard": card}}))
    assert (found["kind"], found["fields"]["name"], found["fields"]["numbers"]) == ("contact", "Cleo", [BOB])
    event, message = received(ada, control.send_contact(BOB, ADA, "Dan", "14155551009"))
    assert event["media_type"] == "vcard" and "waid=14155551009" in message["contactMessage"]["vcard"]


def test_polls_and_votes_go_both_ways(control: SimulatorClient, ada: NeonizeClient) -> None:
    built = ada.call("build_poll_vote_creation", "Lunch?", ["soup", "bread"], {"enum": "VoteType.SINGLE"})
    poll = send(ada, BOB, built)
    assert shown(control, BOB, poll)["fields"]["options"] == ["soup", "bread"]
    vote = control.vote(BOB, poll, ["bread"])
    ada.wait("message", with_id(vote))
    chosen = ada.call("decrypt_poll_vote", {"event": vote})
    assert [base64.b64decode(one) for one in chosen["selectedOptions"]] == [hashlib.sha256(b"bread").digest()]
    # The sender's own phone knows the poll from its copy, and counts.
    assert until(control, poll, ADA, lambda one: bool(one["votes"]))["votes"] == {BOB: ["bread"]}

    question = control.send_poll(BOB, ADA, "Dinner?", ["fish", "rice", "both"], choices=0)
    ada.wait("message", with_id(question))
    send(ada, BOB, ada.call("build_poll_vote", {"info": question}, ["fish", "rice"]))
    assert until(control, question, BOB, lambda one: bool(one["votes"]))["votes"] == {ADA: ["fish", "rice"]}


# What changes earlier messages


def test_reactions_go_both_ways_and_are_taken_back(control: SimulatorClient, ada: NeonizeClient) -> None:
    told = control.send(BOB, ADA, "good news")
    event = ada.wait("message", with_id(told))
    chat, sender = {"jid": event["chat_jid"]}, {"jid": event["sender_jid"]}
    for emoji, expected in (("👍", {ADA: "👍"}), ("", {})):
        send(ada, BOB, ada.call("build_reaction", chat, sender, told, emoji))
        assert (
            until(control, told, BOB, lambda one, expected=expected: one["reactions"] == expected)["text"]
            == "good news"
        )

    sent = send(ada, BOB, {"conversation": "my news"})
    shown(control, BOB, sent)
    event, message = received(ada, control.react(BOB, sent, "🎉"))
    assert event["type"] == "reaction"
    assert (message["reactionMessage"]["text"], message["reactionMessage"]["key"]["ID"]) == ("🎉", sent)
    event, message = received(ada, control.react(BOB, sent, ""))
    assert event["edit"] == "7" and message["reactionMessage"].get("text", "") == ""


def test_edits_and_revokes_go_both_ways(control: SimulatorClient, ada: NeonizeClient) -> None:
    sent = send(ada, BOB, {"conversation": "a tpyo"})
    shown(control, BOB, sent)
    ada.call("edit_message", jid(BOB), sent, {"message": {"conversation": "a typo"}})
    edited = until(control, sent, BOB, lambda one: bool(one["edited"]))
    assert (edited["text"], edited["kind"]) == ("a typo", "text")
    ada.call("revoke_message", jid(BOB), jid(ADA), sent)
    assert until(control, sent, BOB, lambda one: bool(one["revoked"]))["text"] == "This message was deleted."

    told = control.send(BOB, ADA, "frist")
    ada.wait("message", with_id(told))
    event, message = received(ada, control.edit(BOB, told, "first"))
    assert event["is_edit"] and message["protocolMessage"]["editedMessage"] == {"conversation": "first"}
    assert message["protocolMessage"]["key"]["ID"] == told
    event, message = received(ada, control.revoke(BOB, told))
    assert event["edit"] == "7" and message["protocolMessage"]["key"]["ID"] == told
    assert control.own_messages(BOB)[-1]["kind"] == "revoke" and (control.message(BOB, told) or {})["revoked"]


def test_nobody_edits_or_deletes_what_others_wrote(control: SimulatorClient, ada: NeonizeClient) -> None:
    told = control.send(BOB, ADA, "mine")
    event = ada.wait("message", with_id(told))
    key = {"remoteJID": event["chat_jid"], "fromMe": False, "ID": told}
    for attempt in (
        {"protocolMessage": {"key": key, "type": "REVOKE"}},
        {"protocolMessage": {"key": key, "type": "MESSAGE_EDIT", "editedMessage": {"conversation": "yours"}}},
    ):
        tried = shown(control, BOB, send(ada, BOB, attempt))
        assert tried["fields"]["applied"] is False
    assert (control.message(BOB, told) or {})["text"] == "mine"


def test_own_devices_get_copies_of_every_kind(control: SimulatorClient, ada: NeonizeClient) -> None:
    sent = control.send_file(ADA, BOB, "image", b"own picture" * 50, caption="copy")
    event, message = received(ada, sent)
    assert event["from_me"] and message["imageMessage"]["caption"] == "copy"
    assert base64.b64decode(ada.call("download_any", {"received": sent})["bytes"]) == b"own picture" * 50
    for own in (
        control.react(ADA, sent, "🙂"),
        control.send_poll(ADA, BOB, "?", ["a", "b"]),
        control.revoke(ADA, sent),
    ):
        assert ada.wait("message", with_id(own))["from_me"]


def test_messages_in_phone_number_addressing_arrive_too(control: SimulatorClient, ada: NeonizeClient) -> None:
    by_number = control.send(BOB, ADA, "by number", addressing="pn")
    event = ada.wait("message", with_id(by_number))
    assert event["sender_jid"].endswith("@s.whatsapp.net") and event["from"] == BOB
    by_lid = control.send(BOB, ADA, "by hidden identity")
    event = ada.wait("message", with_id(by_lid))
    assert event["sender_jid"].endswith("@lid") and event["from_alt"] == BOB
    own = control.send(ADA, BOB, "own copy by number", addressing="pn")
    assert ada.wait("message", with_id(own))["chat"] == BOB


# Receipts


def test_receipts_of_every_type_come_to_the_device(control: SimulatorClient, ada: NeonizeClient) -> None:
    sent = send(ada, BOB, {"conversation": "tick tick"})
    assert ada.wait("receipt", lambda event: sent in event["ids"])["type"] == 1
    # neonize's numbers for them (Neonize.proto `ReceiptType`).
    for kind, number in (("read", 4), ("played", 6), ("inactive", 9)):
        control.send_receipts(BOB, [sent], kind)
        assert ada.wait("receipt", lambda event, number=number: sent in event["ids"] and event["type"] == number)
    # What the own phone read is read on the device as well.
    told = control.send(BOB, ADA, "read me")
    ada.wait("message", with_id(told))
    for kind, number in (("read-self", 5), ("read", 4)):
        control.send_receipts(ADA, [told], kind)
        seen = ada.wait("receipt", lambda event, number=number: told in event["ids"] and event["type"] == number)
        assert seen["from_me"] and seen["chat_jid"] == lid(control, BOB)
    own = control.send(ADA, BOB, "seen by the device")
    ada.wait("message", with_id(own))
    wait_for(
        lambda: (own, "sender") in [(one["id"], one["type"]) for one in control.receipts(ADA)], 5, "a sender receipt"
    )


def test_receipts_of_the_device_come_to_phones(control: SimulatorClient, ada: NeonizeClient) -> None:
    told = control.send(BOB, ADA, "tick")
    event = ada.wait("message", with_id(told))
    chat, sender = {"jid": event["chat_jid"]}, {"jid": event["sender_jid"]}
    for kind in ("READ", "PLAYED"):
        ada.call("mark_read", told, chat=chat, sender=sender, receipt={"enum": f"ReceiptType.{kind}"})

    def kinds() -> set[str]:
        return {one["type"] for one in control.receipts(BOB) if one["id"] == told}

    wait_for(lambda: kinds() >= {"inactive", "read", "played", "delivered"}, 5, f"all receipts, not only {kinds()}")


# Bad requests


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"to": BOB, "text": ""}, 400, "bad_text"),
        ({"to": BOB}, 400, "missing_field"),
        ({"to": BOB, "kind": "smell", "text": "x"}, 400, "bad_kind"),
        ({"to": BOB, "kind": "image", "data": "not base64!"}, 400, "bad_field"),
        ({"to": BOB, "kind": "image", "data": ""}, 400, "bad_media"),
        ({"to": BOB, "text": "x", "quote": "nothing"}, 404, "no_such_message"),
        ({"to": BOB, "text": "x", "addressing": "post"}, 400, "bad_addressing"),
        ({"to": ADA, "text": "x"}, 400, "same_number"),
        ({"to": "120363000000000000@g.us", "text": "x"}, 404, "no_such_group"),
        ({"to": "1:x@g.us", "text": "x"}, 400, "bad_number"),
        ({"to": "1@lid", "text": "x"}, 404, "no_such_phone"),
        ({"to": BOB, "kind": "location", "latitude": 91, "longitude": 0}, 400, "bad_location"),
        ({"to": BOB, "kind": "contact", "name": "Nobody"}, 400, "bad_contact"),
        ({"to": BOB, "kind": "poll", "question": "?", "options": ["one"]}, 400, "bad_poll"),
        ({"kind": "reaction", "target": "nothing", "emoji": "x"}, 404, "no_such_message"),
        ({"kind": "edit", "target": "nothing", "text": "x"}, 404, "no_such_message"),
        ({"kind": "revoke", "target": 7}, 400, "bad_field"),
        ({"kind": "vote", "target": "nothing", "options": [], "colour": "red"}, 400, "unknown_field"),
    ],
)
def test_a_bad_message_gets_a_clear_4xx(control: SimulatorClient, body: dict[str, Any], status: int, code: str) -> None:
    with pytest.raises(SimulatorError) as refused:
        control.call("POST", f"/phones/{ADA}/messages", body)
    assert (refused.value.status, refused.value.code) == (status, code) and refused.value.message


def test_only_what_is_possible_can_be_done_to_a_message(control: SimulatorClient) -> None:
    told = control.send(BOB, ADA, "no poll")
    for act, code in (
        (lambda: control.vote(ADA, told, ["x"]), "not_a_poll"),
        (lambda: control.edit(ADA, told, "x"), "not_editable"),
        (lambda: control.revoke(ADA, told), "not_yours"),
        (lambda: control.download(ADA, told), "no_media"),
    ):
        with pytest.raises(SimulatorError) as refused:
            act()
        assert refused.value.code == code
    poll = control.send_poll(BOB, ADA, "?", ["a", "b"])
    with pytest.raises(SimulatorError) as unknown:
        control.vote(ADA, poll, ["c"])
    assert unknown.value.code == "no_such_option"
    control.revoke(BOB, poll)
    with pytest.raises(SimulatorError) as deleted:
        control.vote(ADA, poll, ["a"])
    assert deleted.value.code == "not_a_poll"
