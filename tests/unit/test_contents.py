"""WhatsApp's limits for what a message says, one by one, and what a repeat of each kind means."""

from __future__ import annotations

import pytest

from keepline.domain.content.bodies import (
    Body,
    ContactCard,
    Contacts,
    Content,
    Edit,
    LinkPreview,
    Location,
    Poll,
    Reaction,
    Revoke,
    Text,
    Vote,
)
from keepline.domain.content.checks import check
from keepline.domain.content.references import MessageRef
from keepline.domain.content.vcards import make_vcard, phones_in
from keepline.domain.errors import KeeplineError

REFERENCE = MessageRef("m_" + "a" * 26)
CARD = make_vcard("Ada", ["14155550123"])
TWELVE = tuple(str(n) for n in range(12))


@pytest.mark.parametrize(
    "body",
    [
        Text("x" * 65_536),
        Text("see https://a.example", (), LinkPreview("https://a.example", "A", "")),
        Location(90, -180),
        Location(-90, 180, "n" * 1_000, "a" * 1_000),
        Contacts((ContactCard("Ada", CARD),) * 257),
        Poll("q" * 255, TWELVE, 12),
        Poll("?", ("o" * 100, "p"), 0),
        Edit(REFERENCE, "new"),
        Revoke(REFERENCE),
    ],
)
def test_what_whatsapp_takes_is_taken(body: Body) -> None:
    check(Content(body))


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        (Text("x" * 65_537), "text_too_long", "text"),
        (Text(" "), "empty_text", "text"),
        (Text("a\0"), "bad_text", "text"),
        (Text("\ud800"), "bad_text", "text"),
        (Text("x", ("1@s.whatsapp.net",) * 1_025), "too_many_mentions", "mentions"),
        (Text("no link", (), LinkPreview("https://a.example", "A")), "bad_preview", "preview.url"),
        (Text("https://a.example", (), LinkPreview("https://a.example", "")), "empty_text", "preview.title"),
        (Location(90.1, 0), "bad_location", "location.latitude"),
        (Location(0, -180.1), "bad_location", "location.longitude"),
        (Location(float("nan"), 0), "bad_location", "location.latitude"),
        (Location(0, 0, "n" * 1_001), "text_too_long", "location.name"),
        (Contacts(()), "bad_contact", "contacts"),
        (Contacts((ContactCard("Ada", CARD),) * 258), "bad_contact", "contacts"),
        (Contacts((ContactCard("", CARD),)), "empty_text", "contacts.0.name"),
        (Contacts((ContactCard("Ada", CARD), ContactCard("Bea", "Bea"))), "bad_contact", "contacts.1.vcard"),
        (
            Contacts((ContactCard("Ada", f"BEGIN:VCARD{'x' * 16_384}END:VCARD"),)),
            "contact_too_large",
            "vCard",
        ),
        (Poll("q" * 256, TWELVE), "text_too_long", "poll.question"),
        (Poll("", TWELVE), "empty_text", "poll.question"),
        (Poll("?", ("one",)), "bad_poll", "poll.options"),
        (Poll("?", (*TWELVE, "13")), "bad_poll", "poll.options"),
        (Poll("?", ("a", "o" * 101)), "text_too_long", "poll.options.1"),
        (Poll("?", ("a", "a")), "bad_poll", "poll.options"),
        (Poll("?", ("a", "b"), 3), "bad_poll", "poll.selectable"),
        (Poll("?", ("a", "b"), -1), "bad_poll", "poll.selectable"),
        (Reaction(REFERENCE, "ok"), "bad_reaction", "reaction.emoji"),
        (Edit(REFERENCE, ""), "empty_text", "text"),
    ],
)
def test_what_whatsapp_does_not_take_is_refused_with_the_fields_name(body: Body, code: str, names: str) -> None:
    with pytest.raises(KeeplineError) as refused:
        check(Content(body))
    assert refused.value.code == code
    assert names in refused.value.message


@pytest.mark.parametrize(
    "emoji", ["", "👍", "👍🏽", "❤️", "❤", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇦🇹", "1️⃣", "👨‍👩‍👧‍👦", "👩🏻‍❤️‍💋‍👨🏿", "☺️", "✅", "‼️", "🫡"]
)
def test_one_emoji_is_a_reaction(emoji: str) -> None:
    check(Content(Reaction(REFERENCE, emoji)))


@pytest.mark.parametrize("emoji", ["👍👍", "a", "1", " ", "👍 ", "🇦", "❤️x", "<b>", "👨‍", "\u200d"])
def test_what_is_not_one_emoji_is_no_reaction(emoji: str) -> None:
    with pytest.raises(KeeplineError):
        check(Content(Reaction(REFERENCE, emoji)))


def test_only_what_changes_an_earlier_message_can_come_twice_unnoticed() -> None:
    additions = (Vote(REFERENCE, ()), Reaction(REFERENCE, "👍"), Edit(REFERENCE, "x"), Revoke(REFERENCE))
    assert all(Content(body).can_come_twice for body in additions)
    bodies = (Text("x"), Location(0, 0), Contacts((ContactCard("Ada", CARD),)), Poll("?", ("a", "b")))
    assert not any(Content(body).can_come_twice for body in bodies)


def test_a_reference_names_its_sender_as_the_chat_does() -> None:
    both = MessageRef(None, "W", "1@g.us", False, "14155550123", "5544", "lid")
    assert both.sender == "5544@lid"
    assert MessageRef(None, "W", "1@g.us", False, "14155550123", "5544", "phone").sender == "14155550123@s.whatsapp.net"
    assert MessageRef(None, "W", "1@g.us", False, "14155550123", None, "lid").sender == "14155550123@s.whatsapp.net"
    assert MessageRef(None, "W", "1@g.us").sender is None


def test_the_numbers_of_a_card_are_read_whoever_made_it() -> None:
    card = (
        "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:A\r\nitem1.TEL;waid=14155550123:+1 415 555 0123\r\nTEL:030 1234\r\nEND:VCARD"
    )
    assert phones_in(card) == ("14155550123", "030 1234")
