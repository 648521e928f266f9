"""The shapes of the API's answers about messages. What holds for answers.py holds here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from keepline.domain.message import MessageState, OnDoubt
from keepline_functions.answers import At, shape


@with_config(shape(phone="14155550123", lid="287300554604365"))
class PersonJson(TypedDict):
    """Somebody by both of WhatsApp's names, as digits; each null where it is not known."""

    phone: str | None
    lid: str | None


_From = TypedDict(
    "_From", {"from": Annotated[PersonJson | None, Field(description="Who wrote it, where that is known.")]}
)


@with_config(shape())
class MessageReferenceJson(_From):
    """An earlier message, by our name and by WhatsApp's."""

    message_id: Annotated[str | None, Field(examples=["m_6temzapiw5q236squ7ntrghjom"])]
    """Ours; null if it cannot be known."""
    wa_message_id: Annotated[str, Field(examples=["3EB0D996BFAA0262FF182B"])]
    chat: Annotated[str, Field(examples=["14155550123@s.whatsapp.net"])]
    from_me: bool
    """Whether this number wrote it."""


@with_config(shape())
class QuoteJson(MessageReferenceJson):
    """The message that this one answers."""

    text: str | None
    """What it said."""


@with_config(shape(url="https://example.com/menu", title="The menu", description="Of this week"))
class LinkPreviewJson(TypedDict):
    """The box under a link of the text."""

    url: str
    title: str
    description: str


@with_config(
    shape(code="wa_463", message="WhatsApp does not let this number …", hint="Let the recipient write first, …")
)
class MessageErrorJson(TypedDict):
    """Why a message is not where its sender wants it."""

    code: str
    message: str
    hint: str


@with_config(shape())
class MediaJson(TypedDict, total=False):
    """A message's file. One that WhatsApp brought says what became of it."""

    media_id: str | None
    """Null while it is not kept here."""
    mime_type: str
    size: int
    """In bytes."""
    sha256: str
    file_name: str
    url: str | None
    """Where it is fetched from, before it is."""
    state: str
    """Of one that came in: whether it is kept here already."""
    error: MessageErrorJson | None


@with_config(
    shape(
        media_id="f_6temzapiw5q236squ7ntrghjom",
        mime_type="image/png",
        size=1024,
        sha256="2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        file_name="menu.png",
        source="upload",
        expires_at="2026-12-21T10:47:45.437Z",
        url="https://files.example/f_6temzapiw5q236squ7ntrghjom",
        url_expires_at="2026-11-21T11:47:45.437Z",
    )
)
class FileJson(TypedDict):
    """A file that is kept, with a link to it."""

    media_id: str
    mime_type: str
    size: int
    """In bytes."""
    sha256: str
    file_name: str
    source: str
    """Where it comes from."""
    expires_at: At
    """Until when it is kept."""
    url: str
    """A signed link, for whoever has it."""
    url_expires_at: At


@with_config(shape(latitude=48.2, longitude=16.37, name="Vienna", address="Ring 1"))
class LocationJson(TypedDict):
    """A place, in degrees."""

    latitude: float
    longitude: float
    name: str
    address: str


@with_config(shape(name="Ada", vcard="BEGIN:VCARD…", phones=["14155550199"]))
class ContactCardJson(TypedDict):
    """Somebody's card."""

    name: str
    vcard: str
    phones: list[str]
    """The numbers in the card."""


@with_config(shape(question="When?", options=["at seven", "at eight"], selectable=1))
class PollJson(TypedDict):
    """A question with options."""

    question: str
    options: list[str]
    selectable: int
    """How many options one person may choose; 0 for any number."""


@with_config(shape())
class VoteJson(TypedDict):
    """What somebody chose in a poll, in place of what they chose before."""

    message: MessageReferenceJson
    options: list[str] | None
    """Null where the poll is not known here."""


@with_config(shape())
class ReactionJson(TypedDict):
    """One emoji on a message; an empty one takes it back."""

    message: MessageReferenceJson
    emoji: Annotated[str, Field(examples=["👍"])]


@with_config(shape())
class EditJson(TypedDict):
    """New words for a text."""

    message: MessageReferenceJson
    text: str


@with_config(shape())
class AboutMessageJson(TypedDict):
    """The message that is deleted, or forwarded."""

    message: MessageReferenceJson


@with_config(shape(field="newsletterAdminInviteMessage"))
class UnsupportedJson(TypedDict):
    """Something that Keepline does not read."""

    field: str
    """WhatsApp's name for it."""


@with_config(shape())
class ContentJson(TypedDict, total=False):
    """What a message says besides its text, by the names that it is sent with. What is not there has no field."""

    preview: LinkPreviewJson
    mentions: list[PersonJson]
    """People whose `@number` stands in the text."""
    quote: QuoteJson
    forwarded: bool
    media: MediaJson
    voice: bool
    view_once: bool
    location: LocationJson
    contacts: list[ContactCardJson]
    poll: PollJson
    vote: VoteJson
    reaction: ReactionJson
    edit: EditJson
    revoke: AboutMessageJson
    unsupported: UnsupportedJson


@with_config(shape())
class DeliveryOptionsJson(TypedDict, total=False):
    """What messages of the API alone have: how they are to be sent, and how often they were tried."""

    send_at: At | None
    """As asked for, or null; a time that had passed is null."""
    expires_at: At | None
    """As asked for, or null."""
    priority: str
    """As asked for, or what holds without."""
    on_doubt: OnDoubt
    """As asked for, or what holds without."""
    attempts: int
    """How often it was tried, replays included."""
    repairs: int
    """How often it was sent anew because the recipient's phone could not read it."""


_TIMES = {"accepted": "2026-11-21T10:47:46.753Z", "sent": "2026-11-21T10:47:46.788Z"}


@with_config(shape())
class MessageJson(ContentJson, DeliveryOptionsJson, _From):
    """A message, in or out."""

    message_id: Annotated[str, Field(examples=["m_6temzapiw5q236squ7ntrghjom"])]
    """`m_…` for what was sent through the API, `i_…` for what WhatsApp brought."""
    session_id: Annotated[str, Field(examples=["support"])]
    chat: Annotated[str, Field(examples=["14155550123@s.whatsapp.net"])]
    direction: Literal["out", "in"]
    """What the user's own phone writes is `out` as well."""
    to: PersonJson | None
    """Of what went out to one person."""
    kind: Annotated[str, Field(examples=["text"])]
    """One that can be sent; incoming also `image`, `video`, `audio`, `document`, `sticker`, `unsupported` and `unreadable`."""
    text: Annotated[str | None, Field(examples=["Hello"])]
    """What of it can be read in one line, as it was edited last; or null."""
    edited_at: Annotated[At | None, Field(examples=[None])]
    revoked_at: Annotated[At | None, Field(examples=[None])]
    """When it was deleted for everyone. A deleted message says nothing any more."""
    state: Annotated[MessageState, Field(examples=["sent"])]
    wa_message_id: Annotated[str | None, Field(examples=["3EB0D996BFAA0262FF182B"])]
    """WhatsApp's own id."""
    times: Annotated[dict[str, At], Field(examples=[_TIMES])]
    """When it reached which state; those from WhatsApp have whole seconds."""
    error: Annotated[MessageErrorJson | None, Field(examples=[None])]


@with_config(shape())
class MessagesJson(TypedDict):
    """A page of messages, the newest first."""

    messages: list[MessageJson]
    next_before: At | None
    """Give it as `before` to get the next page; null at the end."""


@with_config(shape())
class DeadLettersJson(TypedDict):
    """A page of failed messages, those accepted last first."""

    dead_letters: list[MessageJson]
    next_before: At | None
    """Give it as `before` to get the next page; null at the end."""


@with_config(shape())
class MarkedReadJson(TypedDict):
    """What is marked as read now."""

    read: Annotated[list[str], Field(examples=[["i_t7um2p4ewmuwdfhmmbdsjjyevt"]])]
