"""Laws of contents and addresses, over whatever hypothesis can think of."""

from __future__ import annotations

import hashlib
import json
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from keepline.domain.addresses import STATUS_CHAT, is_group, lid_of, parse_chat, parse_person, phone_of
from keepline.domain.commands import MarkRead, ShowTyping, Typing, command_from_map
from keepline.domain.contact_commands import CheckContacts, SeeContact
from keepline.domain.content import bodies, maps
from keepline.domain.content.bodies import Content, Quote
from keepline.domain.content.checks import check
from keepline.domain.content.durations import seconds_of
from keepline.domain.content.file_types import VOICE, type_of
from keepline.domain.content.files import Audio, Document, File, Image, Sticker, Video
from keepline.domain.content.heard import cells_reference, option_names, resolved
from keepline.domain.content.references import MessageRef
from keepline.domain.content.vcards import make_vcard, phones_in
from keepline.domain.content.votes import NONCE_BYTES, open_vote, seal_vote
from keepline.domain.content.waveforms import BARS, opus_waveform
from keepline.domain.errors import InvalidInput, TooLarge
from keepline.domain.group_commands import (
    ChangeMembers,
    CreateGroup,
    LeaveGroup,
    ListGroups,
    MemberAction,
    RenameGroup,
    ResetInvite,
    SeeGroup,
    SeeInvite,
)
from keepline.domain.ids import inbound_message_id, new_message_id
from keepline.domain.tag import message_tag

WORDS = st.text(min_size=1, max_size=40)
DIGITS = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)
RESOLVED = st.builds(
    MessageRef,
    st.none() | st.just("m_" + "a" * 26),
    WORDS,
    st.just("1@s.whatsapp.net"),
    st.booleans(),
    st.none() | DIGITS,
    st.none() | DIGITS,
    st.sampled_from(["phone", "lid"]),
)
REFERENCES = RESOLVED | st.builds(MessageRef, st.just("i_" + "b" * 26))
FILES = st.builds(File, WORDS, st.none(), WORDS, st.integers(0, 1 << 30), WORDS, WORDS) | st.builds(
    File, st.none() | WORDS, st.none() | WORDS, name=WORDS
)
BODIES = st.one_of(
    st.builds(Image, FILES, WORDS, st.booleans()),
    st.builds(Video, FILES, WORDS, st.booleans()),
    st.builds(Audio, FILES, st.booleans()),
    st.builds(Document, FILES, WORDS),
    st.builds(Sticker, FILES),
    st.builds(
        bodies.Text,
        WORDS,
        st.lists(WORDS, max_size=3).map(tuple),
        st.none() | st.builds(bodies.LinkPreview, WORDS, WORDS, WORDS),
    ),
    st.builds(bodies.Location, st.floats(-90, 90), st.floats(-180, 180), WORDS, WORDS),
    st.builds(
        bodies.Contacts, st.lists(st.builds(bodies.ContactCard, WORDS, WORDS), min_size=1, max_size=3).map(tuple)
    ),
    st.builds(bodies.Poll, WORDS, st.lists(WORDS, min_size=2, max_size=5).map(tuple), st.integers(0, 5)),
    st.builds(bodies.Vote, REFERENCES, st.lists(WORDS, max_size=3).map(tuple)),
    st.builds(bodies.Reaction, REFERENCES, WORDS),
    st.builds(bodies.Edit, REFERENCES, WORDS),
    st.builds(bodies.Revoke, REFERENCES),
)
CONTENTS = st.builds(Content, BODIES, st.none() | st.builds(Quote, REFERENCES, WORDS), st.booleans())


@given(CONTENTS)
def test_a_content_comes_back_from_its_map_as_it_was_also_through_json(content: Content) -> None:
    fields = maps.to_map(content)
    assert maps.from_map(content.kind, fields) == content
    assert maps.from_map(content.kind, json.loads(json.dumps(fields))) == content


@given(CONTENTS)
def test_a_content_is_taken_or_refused_with_a_hint(content: Content) -> None:
    try:
        check(content)
    except (InvalidInput, TooLarge) as error:
        assert error.hint


@given(st.lists(RESOLVED, max_size=4).map(tuple), st.sampled_from(Typing))
def test_a_command_comes_back_from_its_map_as_it_was(messages: tuple[MessageRef, ...], state: Typing) -> None:
    for command in (MarkRead("1@g.us", messages), ShowTyping("1@g.us", state)):
        assert command_from_map(command.kind, json.loads(json.dumps(command.to_map()))) == command


# Files


@given(st.binary(max_size=80), st.none() | st.text(max_size=30))
def test_every_file_has_a_type_that_can_stand_in_a_header(head: bytes, declared: str | None) -> None:
    mime_type = type_of(head, declared)
    assert mime_type.isascii()
    assert mime_type.isprintable()
    assert mime_type.count("/") == 1


@given(st.sampled_from(["video/mp4", "audio/mp4", VOICE]), st.binary(max_size=80), st.sampled_from([b"mvhd", b"OggS"]))
def test_a_file_says_how_long_it_lasts_or_nothing(mime_type: str, rest: bytes, mark: bytes) -> None:
    data = rest[:20] + mark + rest[20:]
    seconds = seconds_of(mime_type, data)
    assert seconds is None or seconds >= 1
    drawn = opus_waveform(mark + rest)
    assert drawn is None or (len(drawn), max(drawn)) == (BARS, 100)


PEOPLE = st.lists(st.from_regex(r"[1-9][0-9]{6,14}@(lid|s[.]whatsapp[.]net)", fullmatch=True), max_size=4).map(tuple)


@given(PEOPLE, WORDS, st.dictionaries(st.sampled_from(MemberAction), PEOPLE))
def test_a_command_about_groups_or_contacts_comes_back_from_its_map_as_it_was(
    people: tuple[str, ...], words: str, asked: dict[MemberAction, tuple[str, ...]]
) -> None:
    changes = tuple((action, asked[action]) for action in MemberAction if action in asked)
    commands = (
        ListGroups(),
        SeeGroup("1@g.us"),
        CreateGroup(words, people),
        ChangeMembers("1@g.us", changes),
        RenameGroup("1@g.us", words),
        SeeInvite("1@g.us"),
        ResetInvite("1@g.us"),
        LeaveGroup("1@g.us"),
        CheckContacts(people),
        SeeContact("1@lid"),
    )
    for command in commands:
        assert command_from_map(command.kind, json.loads(json.dumps(command.to_map()))) == command


# Addresses

NUMBERS = st.from_regex(r"1415555[0-9]{4}", fullmatch=True)


@given(
    st.text(max_size=30),
    st.sampled_from(["", "@g.us", "@lid", "@c.us", "@broadcast", "@newsletter", "@s.whatsapp.net"]),
)
def test_whatever_stands_before_an_at_sign_is_understood_or_refused_and_a_fixed_point(text: str, server: str) -> None:
    try:
        chat = parse_chat(text + server)
    except InvalidInput as error:
        assert error.code in ("bad_number", "broadcast_not_supported", "newsletter_not_supported")
        return
    assert parse_chat(chat) == chat
    assert chat == STATUS_CHAT or chat.partition("@")[0].replace("-", "").isascii()
    known = [phone_of(chat), lid_of(chat)]
    # Of a person one of the two is known from the address, never both; of others neither.
    assert sum(one is not None for one in known) == (0 if is_group(chat) else 1)


@given(NUMBERS, st.sampled_from(["{}", "+{}", "{}@c.us", "{}@s.whatsapp.net", " +{} ", "{}@S.WhatsApp.net"]))
def test_a_person_is_the_same_however_the_number_is_written(number: str, form: str) -> None:
    assert parse_person(form.format(number)) == parse_chat(form.format(number)) == f"{number}@s.whatsapp.net"


@given(st.from_regex(r"[1-9][0-9]{9,17}(-[0-9]{10})?", fullmatch=True))
def test_a_group_is_a_chat_and_no_person(name: str) -> None:
    assert parse_chat(f"{name}@g.us") == f"{name}@g.us"
    try:
        parse_person(f"{name}@g.us")
    except InvalidInput as error:
        assert error.code == "bad_number"
    else:
        raise AssertionError("a group was taken for a person")


# Contact cards


@given(st.text(max_size=60), st.lists(DIGITS, max_size=4, unique=True))
def test_a_made_card_has_its_numbers_and_no_line_that_a_name_smuggled_in(name: str, phones: list[str]) -> None:
    card = make_vcard(name, phones)
    assert phones_in(card) == tuple(phones)
    assert len(card.splitlines()) == 5 + len(phones)


# References of what was heard


@given(RESOLVED, st.binary(min_size=32, max_size=32), st.integers(0, 50))
def test_a_reference_to_ours_is_told_by_its_secret_alone(reference: MessageRef, key: bytes, attempt: int) -> None:
    ours = new_message_id(key)
    tag = message_tag(key, ours, attempt)
    fields = {"quote": {**cells_reference(reference, tag), "text": "hello"}}
    told = resolved(fields, "a_s", key)["quote"]
    assert (told["message_id"], told["text"], "secret" in told) == (ours, "hello", False)
    # Another account's key, or somebody's own secret, tells nothing: then it is what WhatsApp brought.
    other = resolved({"reaction": {"message": cells_reference(reference, os.urandom(32))}}, "a_s", key)
    heard_id = inbound_message_id("a_s", reference.chat, reference.wa_message_id)
    assert other["reaction"]["message"]["message_id"] == heard_id


def test_of_a_message_of_ours_without_a_secret_the_id_is_not_guessed() -> None:
    reference = MessageRef(None, "W", "1@s.whatsapp.net", from_me=True)
    assert resolved({"quote": cells_reference(reference, None)}, "a_s", b"k" * 32)["quote"]["message_id"] is None


# Votes


def sealed(secret: bytes, poll: str, author: str, voter: str, plain: bytes) -> tuple[bytes, bytes]:
    """As WhatsApp's apps seal a vote, written down a second time (whatsmeow, msgsecret.go)."""
    key = HKDF(SHA256(), 32, salt=None, info=poll.encode() + author.encode() + voter.encode() + b"Poll Vote").derive(
        secret
    )
    nonce = os.urandom(NONCE_BYTES)
    return AESGCM(key).encrypt(nonce, plain, poll.encode() + b"\0" + voter.encode()), nonce


@given(st.binary(min_size=32, max_size=32), WORDS, st.binary(max_size=80))
def test_a_vote_opens_with_the_polls_secret_for_its_voter_and_for_no_other(
    secret: bytes, poll: str, plain: bytes
) -> None:
    payload, nonce = sealed(secret, poll, "1@lid", "2@lid", plain)
    assert seal_vote(secret, poll, "1@lid", "2@lid", plain, nonce) == payload
    assert open_vote(secret, poll, ["9@s.whatsapp.net", "1@lid"], ["8@lid", "2@lid"], payload, nonce) == plain
    assert open_vote(secret, poll, ["1@lid"], ["3@lid"], payload, nonce) is None
    assert open_vote(secret[::-1] + b"x", poll, ["1@lid"], ["2@lid"], payload, nonce) is None
    assert open_vote(secret, poll, ["1@lid"], ["2@lid"], payload, nonce[:-1]) is None
    assert open_vote(secret, poll, ["1@lid"], ["2@lid"], b"", nonce) is None


@given(st.lists(WORDS, min_size=2, max_size=12, unique=True), st.data())
def test_the_options_of_a_vote_are_named_all_or_not_at_all(options: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(options), unique=True))
    hashes = [hashlib.sha256(option.encode()).hexdigest() for option in chosen]
    assert option_names(hashes, options) == [option for option in options if option in chosen]
    assert option_names([*hashes, "00" * 32], options) is None
