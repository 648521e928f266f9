"""The kinds of message, one dataclass each, and `Content`: a body with what can stand beside it. Those with a file: `files`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from keepline.domain.content.files import Document, Image, Media, Video
from keepline.domain.content.references import MessageRef


@dataclass(frozen=True)
class LinkPreview:
    """The box under a text with a link. `url` stands in the text; nobody fetches it: title and description are the sender's."""

    url: str
    title: str
    description: str = ""


@dataclass(frozen=True)
class Text:
    """Words. `mentions` are addresses of people whose `@number` stands in the text."""

    kind: ClassVar = "text"

    text: str
    mentions: tuple[str, ...] = ()
    preview: LinkPreview | None = None


@dataclass(frozen=True)
class Location:
    """A place, in degrees."""

    kind: ClassVar = "location"

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""


@dataclass(frozen=True)
class ContactCard:
    """One person: the name that the chat shows, and the card (vCard 3.0)."""

    name: str
    vcard: str


@dataclass(frozen=True)
class Contacts:
    """One contact card, or several in one message."""

    kind: ClassVar = "contact"

    cards: tuple[ContactCard, ...]


@dataclass(frozen=True)
class Poll:
    """A question with options. `selectable`: how many of them one person may choose; 0 for any number."""

    kind: ClassVar = "poll"

    question: str
    options: tuple[str, ...]
    selectable: int = 1


@dataclass(frozen=True)
class Vote:
    """What this number chooses in a poll, in place of what it chose before; no option at all takes the vote back."""

    kind: ClassVar = "vote"

    message: MessageRef
    options: tuple[str, ...]


@dataclass(frozen=True)
class Reaction:
    """One emoji on an earlier message, in place of an earlier one; an empty one takes it back."""

    kind: ClassVar = "reaction"

    message: MessageRef
    emoji: str


@dataclass(frozen=True)
class Edit:
    """New words for an earlier text of ours."""

    kind: ClassVar = "edit"

    message: MessageRef
    text: str


@dataclass(frozen=True)
class Revoke:
    """Takes an earlier message of ours back: "delete for everyone"."""

    kind: ClassVar = "revoke"

    message: MessageRef


@dataclass(frozen=True)
class Forward:
    """Says what an earlier message said. Resolved to that message's own body before anything is written."""

    kind: ClassVar = "forward"

    message: MessageRef


Body = Text | Media | Location | Contacts | Poll | Vote | Reaction | Edit | Revoke | Forward

# They name the message that they are about, and go to its chat.
Addition = Vote | Reaction | Edit | Revoke


@dataclass(frozen=True)
class Quote:
    """The message that another one answers, with the words that its phone shows above the answer."""

    message: MessageRef
    text: str = ""


@dataclass(frozen=True)
class Content:
    """What one message says."""

    body: Body
    quote: Quote | None = None
    forwarded: bool = False

    @property
    def kind(self) -> str:
        return self.body.kind

    @property
    def text(self) -> str | None:
        """What of it can be read in one line, as lists and phones show it; None where there is nothing."""
        match self.body:
            case Text(text=text) | Edit(text=text):
                return text
            case Image(caption=caption) | Video(caption=caption) | Document(caption=caption):
                return caption or None
            case Location(name=name):
                return name or None
            case Contacts(cards=cards):
                return ", ".join(card.name for card in cards)
            case Poll(question=question):
                return question
            case Vote(options=options):
                return ", ".join(options) or None
            case Reaction(emoji=emoji):
                return emoji or None
        return None

    @property
    def can_come_twice(self) -> bool:
        """Whether a second copy changes nothing for its reader: the same vote, reaction, edit or revocation again."""
        return isinstance(self.body, Addition)


def text_content(text: str) -> Content:
    """Nothing but words."""
    return Content(Text(text))
