"""WhatsApp's limits for what a message says, checked before anything is accepted.

Where each limit comes from: *facts* is what WhatsApp's apps take, as the simulator holds it; *documented* is WhatsApp's own help
pages or its Cloud API reference; *ours* is a bound of our own where none is known, far beyond what people send.
"""

from __future__ import annotations

import math
import re

from keepline.domain.content.bodies import Contacts, Content, Edit, Location, Poll, Reaction, Text
from keepline.domain.content.files import FILE_NAME_CHARACTERS_MAX, Document, File, Image, Media, Video
from keepline.domain.errors import InvalidInput, TooLarge

TEXT_CHARACTERS_MAX = 65_536  # facts
CAPTION_CHARACTERS_MAX = 1_024  # documented: Cloud API, media messages
MENTIONS_MAX = 1_024  # documented: the members of a group
PREVIEW_CHARACTERS_MAX = 1_000  # ours, for each part
PLACE_CHARACTERS_MAX = 1_000  # ours; the Cloud API documents no limit for name and address
CONTACTS_MAX = 257  # documented: Cloud API, contacts messages
CONTACT_NAME_CHARACTERS_MAX = 256  # ours
VCARD_BYTES_MAX = 16_384  # ours
VCARDS_BYTES_MAX = 262_144  # ours; a document of Firestore has a mebibyte
POLL_QUESTION_CHARACTERS_MAX = 255  # facts: the apps' own field
POLL_OPTIONS_MIN, POLL_OPTIONS_MAX = 2, 12  # documented: help pages about polls
POLL_OPTION_CHARACTERS_MAX = 100  # facts: the apps' own field

# One emoji as Unicode composes it (UTS 51): a flag, a keycap, or pictures joined to one, each with its colour or form.
_PICTURE = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff]"
)
_DRAWN = f"{_PICTURE}\ufe0f?[\U0001f3fb-\U0001f3ff]?\ufe0f?[\U000e0020-\U000e007f]*"
_EMOJI = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_DRAWN}(?:\u200d{_DRAWN}){{0,9}}|[\U0001f3fb-\U0001f3ff]"
)


def check(content: Content) -> None:
    """Raise InvalidInput or TooLarge, naming the field, unless WhatsApp takes this."""
    match content.body:
        case Text():
            _check_text(content.body)
        case body if isinstance(body, Media):
            _check_media(body)
        case Location():
            _check_location(content.body)
        case Contacts():
            _check_contacts(content.body)
        case Poll():
            _check_poll(content.body)
        case Reaction(emoji=emoji) if emoji and not _EMOJI.fullmatch(emoji):
            raise InvalidInput(
                "bad_reaction", "reaction.emoji is not one emoji.", "Give one emoji, or an empty text to take it back."
            )
        case Edit(text=text):
            check_words(text)


def check_words(text: str) -> None:
    """Raise InvalidInput or TooLarge unless WhatsApp takes this as a text message."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise TooLarge(
            "text_too_long",
            f"The text has {len(text)} characters; WhatsApp takes {TEXT_CHARACTERS_MAX}.",
            "Divide it into several messages.",
        )
    if not text.strip():
        raise InvalidInput("empty_text", "The text is empty.", "Write something that can be seen.")
    _check_characters("text", text)


def _check_text(body: Text) -> None:
    check_words(body.text)
    if len(body.mentions) > MENTIONS_MAX:
        raise InvalidInput(
            "too_many_mentions",
            f"mentions has {len(body.mentions)} people; a group has {MENTIONS_MAX} at most.",
            "Mention fewer.",
        )
    if body.preview is None:
        return
    for name, value in vars(body.preview).items():
        _check_line(f"preview.{name}", value, PREVIEW_CHARACTERS_MAX, may_be_empty=name == "description")
    if body.preview.url not in body.text:
        raise InvalidInput(
            "bad_preview",
            "preview.url does not stand in the text.",
            "WhatsApp shows a preview for a link of the text: write the same link there.",
        )


def _check_media(body: Media) -> None:
    """What can be seen before the file is there; the file itself: `file_types.check_file`."""
    if isinstance(body, Image | Video | Document):
        _check_line("caption", body.caption, CAPTION_CHARACTERS_MAX, may_be_empty=True)
    _check_file_name(body.file)
    if (body.file.url is None) == (body.file.media_id is None):
        raise InvalidInput(
            "bad_media", "media has neither `url` nor `media_id`, or both.", "Name the file in one of the two ways."
        )


def _check_file_name(file: File) -> None:
    _check_line("media.file_name", file.name, FILE_NAME_CHARACTERS_MAX, may_be_empty=True)
    if any(char in "/\\" or not char.isprintable() for char in file.name):
        raise InvalidInput("bad_media", "media.file_name is no name of a file.", "Leave out folders and line breaks.")


def _check_location(body: Location) -> None:
    for name, value, limit in (("latitude", body.latitude, 90), ("longitude", body.longitude, 180)):
        if not math.isfinite(value) or abs(value) > limit:
            raise InvalidInput(
                "bad_location", f"location.{name} is not between -{limit} and {limit}.", "Give degrees, like 48.2."
            )
    _check_line("location.name", body.name, PLACE_CHARACTERS_MAX, may_be_empty=True)
    _check_line("location.address", body.address, PLACE_CHARACTERS_MAX, may_be_empty=True)


def _check_contacts(body: Contacts) -> None:
    if not 1 <= len(body.cards) <= CONTACTS_MAX:
        raise InvalidInput(
            "bad_contact",
            f"contacts has {len(body.cards)} entries.",
            f"Send 1 to {CONTACTS_MAX} contacts in a message.",
        )
    sizes = []
    for number, card in enumerate(body.cards):
        _check_line(f"contacts.{number}.name", card.name, CONTACT_NAME_CHARACTERS_MAX)
        _check_characters(f"contacts.{number}.vcard", card.vcard)
        sizes.append(len(card.vcard.encode()))
        if not card.vcard.startswith("BEGIN:VCARD") or not card.vcard.rstrip().endswith("END:VCARD"):
            raise InvalidInput(
                "bad_contact",
                f"contacts.{number}.vcard is not a vCard.",
                "It begins with BEGIN:VCARD and ends with END:VCARD; or give `phones` and one is made.",
            )
    if max(sizes) > VCARD_BYTES_MAX or sum(sizes) > VCARDS_BYTES_MAX:
        raise TooLarge(
            "contact_too_large",
            f"A vCard has up to {VCARD_BYTES_MAX} bytes here, and all of a message {VCARDS_BYTES_MAX}.",
            "Leave out pictures, or send several messages.",
        )


def _check_poll(body: Poll) -> None:
    _check_line("poll.question", body.question, POLL_QUESTION_CHARACTERS_MAX)
    count = len(body.options)
    if not POLL_OPTIONS_MIN <= count <= POLL_OPTIONS_MAX:
        raise InvalidInput(
            "bad_poll",
            f"poll.options has {count} entries.",
            f"A poll has {POLL_OPTIONS_MIN} to {POLL_OPTIONS_MAX} options.",
        )
    for number, option in enumerate(body.options):
        _check_line(f"poll.options.{number}", option, POLL_OPTION_CHARACTERS_MAX)
    if len(set(body.options)) < count:
        raise InvalidInput("bad_poll", "poll.options has the same option twice.", "Give each option once.")
    if not 0 <= body.selectable <= count:
        raise InvalidInput(
            "bad_poll",
            f"poll.selectable is not between 0 and {count}.",
            "Give how many options a person may choose, or 0 for any number.",
        )


def _check_line(name: str, value: str, characters_max: int, *, may_be_empty: bool = False) -> None:
    if len(value) > characters_max:
        raise TooLarge(
            "text_too_long",
            f"{name} has {len(value)} characters; {characters_max} are taken.",
            "Say it in fewer words.",
        )
    if not value.strip() and not may_be_empty:
        raise InvalidInput("empty_text", f"{name} is empty.", "Write something that can be seen.")
    _check_characters(name, value)


def _check_characters(name: str, value: str) -> None:
    if "\0" in value or not _is_unicode(value):
        raise InvalidInput(
            "bad_text", f"{name} has a character that cannot be sent.", "Leave out NUL and unpaired surrogates."
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
