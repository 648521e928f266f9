"""What a cell composes and reads: WhatsApp's messages to contents and back, and what is not for people or not known."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

CHAT = "14155550123@s.whatsapp.net"
THEIRS = {
    "message_id": None,
    "wa_message_id": "THEIRS",
    "chat": CHAT,
    "from_me": False,
    "from": {"phone": "14155550123", "lid": "5544"},
    "addressing": "lid",
}
OURS = {
    "message_id": None,
    "wa_message_id": "OURS",
    "chat": CHAT,
    "from_me": True,
    "from": {"phone": "14155550100", "lid": "99887766"},
    "addressing": "lid",
}
TAG = b64encode(b"t" * 32).decode()
CARDS = [{"name": "Ada", "vcard": "BEGIN:VCARD\nEND:VCARD"}, {"name": "Bea", "vcard": "BEGIN:VCARD\nEND:VCARD"}]
SENT: list[tuple[str, dict[str, Any]]] = [
    ("text", {"text": "hello"}),
    ("text", {"text": "a b", "preview": {"url": "a", "title": "t", "description": "d"}}),
    ("text", {"text": "yes", "quote": {**THEIRS, "text": "well?"}, "forwarded": True}),
    ("text", {"text": "so", "quote": {**OURS, "text": "well?"}}),
    ("location", {"location": {"latitude": 1.5, "longitude": -2.5, "name": "n", "address": "a"}}),
    ("contact", {"contacts": CARDS[:1], "quote": {**THEIRS, "text": ""}}),
    ("contact", {"contacts": CARDS}),
    ("poll", {"poll": {"question": "?", "options": ["a", "b"], "selectable": 0}}),
    ("reaction", {"reaction": {"message": THEIRS, "emoji": "👍"}}),
    ("reaction", {"reaction": {"message": OURS, "emoji": ""}}),
    ("edit", {"edit": {"message": OURS, "text": "new"}}),
    ("vote", {"vote": {"message": OURS, "options": ["a", "b"]}}),
    ("vote", {"vote": {"message": THEIRS, "options": []}}),
    ("revoke", {"revoke": {"message": OURS}}),
]
FILE_KEY = b64encode(b"k" * 32).decode()
ONE_LOOK = {
    "viewOnceMessageV2": {
        "message": {
            "imageMessage": {
                "mimetype": "image/png",
                "fileLength": "7",
                "fileSHA256": b64encode(b"s" * 32).decode(),
                "fileEncSHA256": b64encode(b"e" * 32).decode(),
                "mediaKey": FILE_KEY,
                "directPath": "/v/x",
                "width": 3,
                "viewOnce": True,
            }
        }
    }
}
# What a phone sends, in protobuf's JSON, and the kind that we make of it; None is not for people.
KEY = {"remoteJID": "5544@lid", "fromMe": False, "ID": "OURS"}
HEARD: list[tuple[dict[str, Any], str | None]] = [
    ({"conversation": "hi"}, "text"),
    ({"ephemeralMessage": {"message": {"extendedTextMessage": {"text": "hi"}}}}, "text"),
    ({"groupMentionedMessage": {"message": {"conversation": "hi"}}}, "text"),
    ({"liveLocationMessage": {"degreesLatitude": 1, "degreesLongitude": 2, "caption": "here"}}, "location"),
    ({"pollCreationMessageV3": {"name": "?", "options": [{"optionName": "a"}]}}, "poll"),
    ({"pollCreationMessageV5": {"name": "?", "options": [{"optionName": "a"}]}}, "poll"),
    ({"imageMessage": {"caption": "look"}}, "image"),
    (ONE_LOOK, "image"),
    ({"ptvMessage": {}}, "video"),
    ({"locationMessage": {"degreesLatitude": "NaN", "degreesLongitude": "Infinity"}}, "location"),
    ({"contactMessage": {"displayName": "A", "vcard": "x" * 600_000}}, "unsupported"),
    ({"orderMessage": {}}, "unsupported"),
    ({"pinInChatMessage": {"key": KEY}}, "unsupported"),
    ({"secretEncryptedMessage": {}}, "unsupported"),
    ({"protocolMessage": {"type": "REVOKE", "key": KEY}}, "revoke"),
    ({"protocolMessage": {"type": "EPHEMERAL_SETTING"}}, None),
    ({"protocolMessage": {"type": "APP_STATE_SYNC_KEY_SHARE"}}, None),
    ({"senderKeyDistributionMessage": {"groupID": "1@g.us"}}, None),
    ({"messageContextInfo": {}}, None),
    ({}, None),
    ({"pollUpdateMessage": {"pollCreationMessageKey": KEY, "vote": {"encPayload": "AAAA", "encIV": "AAAA"}}}, "vote"),
    ({"reactionMessage": {"key": KEY, "text": "👍"}}, "reaction"),
]


@pytest.fixture(scope="module")
def cell() -> list[Any]:
    """All of it read in one process."""
    asked = [["composed", kind, content] for kind, content in SENT] + [["crafted", build] for build, _ in HEARD]
    script = Path(__file__).parent / "read_messages.py"
    done = subprocess.run(
        [sys.executable, str(script)], input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def with_secret(value: Any) -> Any:
    """As a cell writes references: with the secret of those of ours."""
    if not isinstance(value, dict):
        return value
    inner = {name: with_secret(one) for name, one in value.items()}
    return inner | {"secret": TAG if value["from_me"] else None} if "wa_message_id" in value else inner


@pytest.mark.parametrize("number", range(len(SENT)), ids=lambda number: f"{number} {SENT[number][0]}")
def test_what_is_sent_reads_on_our_other_device_as_it_was_said(cell: list[Any], number: int) -> None:
    kind, content = SENT[number]
    read = cell[number]
    expected = with_secret({name: value for name, value in content.items() if name != "text"})
    if kind == "edit":
        assert (read["text"], read["content"]["edit"]) == ("new", {"message": expected["edit"]["message"]})
        return
    if kind == "vote":
        chosen = expected["vote"].pop("options")
        expected["vote"]["hashes"] = [hashlib.sha256(option.encode()).hexdigest() for option in chosen]
    if kind == "revoke":
        expected["revoke"]["by_admin"] = False
    assert read["kind"] == kind
    assert read["content"] == expected
    if kind == "text":
        assert read["text"] == content["text"]


@pytest.mark.parametrize("number", range(len(HEARD)), ids=lambda number: f"{number} {HEARD[number][1]}")
def test_what_a_phone_sends_is_read_or_named_and_never_dropped_silently(cell: list[Any], number: int) -> None:
    build, kind = HEARD[number]
    read = cell[len(SENT) + number]
    assert (read and read["kind"]) == kind
    if kind == "unsupported":
        assert read["content"]["unsupported"] == {"field": next(iter(build))}


def test_what_is_said_of_a_file_has_not_its_key(cell: list[Any]) -> None:
    read = cell[len(SENT) + HEARD.index((ONE_LOOK, "image"))]
    said = {"mime_type": "image/png", "size": 7, "sha256": "73" * 32, "file_name": "", "width": 3}
    assert read["content"] == {"media": said, "view_once": True}
    assert FILE_KEY not in json.dumps(read)


def test_a_key_that_is_not_its_writers_names_a_message_of_ours(cell: list[Any]) -> None:
    reaction = cell[len(SENT) + len(HEARD) - 1]["content"]["reaction"]
    assert reaction["message"] == with_secret(OURS)
    vote = cell[len(SENT) + len(HEARD) - 2]["content"]["vote"]
    assert (vote["message"], vote["hashes"]) == (with_secret(OURS), None)
