"""Every kind of message that needs no file, out and in: the API's use case, the real neonize, and the simulator's phones."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest

from keepline.adapters.system_clock import SystemClock
from keepline.domain.commands import Typing
from keepline.domain.content.bodies import (
    ContactCard,
    Contacts,
    Content,
    Edit,
    Forward,
    LinkPreview,
    Location,
    Poll,
    Quote,
    Reaction,
    Revoke,
    Text,
    Vote,
    text_content,
)
from keepline.domain.content.references import MessageRef
from keepline.domain.content.vcards import make_vcard
from keepline.domain.ids import inbound_message_id
from keepline.domain.send_options import SendOptions
from keepline.domain.tag import message_tag
from keepline.ports.documents import Document
from keepline.records import accounts
from keepline.usecases.chats import Chats
from keepline.usecases.commanding import Commands
from keepline.usecases.limiting import Limiter
from keepline.usecases.message_lists import MessageLists
from keepline.usecases.message_views import MessageView
from keepline.usecases.messages import Messages
from tests.integration.conftest import FRIEND, PHONE, TENANT, Gateway

CAROL = "14155550199"
CHAT = f"{FRIEND}@s.whatsapp.net"
STATUS = "status@broadcast"


class Talk:
    """A linked session, its friend, and both ends of what is said."""

    def __init__(self, gateway: Gateway, account: str) -> None:
        self.gateway = gateway
        self.account = account
        self.messages = Messages(gateway.store, SystemClock(), os.urandom, Limiter(gateway.store, SystemClock()))
        self.lists = MessageLists(gateway.store, SystemClock())
        self.phones = gateway.whatsapp

    async def send(self, content: Content, to: str | None = FRIEND) -> Document:
        """The row of a message once WhatsApp has it."""
        accepted = await self.messages.send(TENANT, "s1", to, content, None, SendOptions())
        return await self.gateway.until_message(accepted.message.message_id, "sent", "delivered", "read")

    async def on_phone(self, wa_message_id: str, number: str = FRIEND, **changed: Any) -> dict[str, Any]:
        """A message as a phone shows it, once it has these values."""

        async def shown() -> dict[str, Any] | None:
            found = await asyncio.to_thread(self.phones.message, number, wa_message_id)
            here = found is not None and not found["waiting"]
            return found if here and all(found[name] == value for name, value in changed.items()) else None  # type: ignore[index]

        found: dict[str, Any] = await self.gateway.until(shown, f"{wa_message_id} on {number} with {changed}")
        return found

    async def heard(self, wa_message_id: str, chat: str = CHAT, **changed: Any) -> MessageView:
        """A message that came in, once its view has these values."""
        message_id = inbound_message_id(self.account, chat, wa_message_id)
        return await self.view(message_id, **changed)

    async def view(self, message_id: str, **changed: Any) -> MessageView:
        async def seen() -> MessageView | None:
            page = await self.lists.page(TENANT, "s1", None, 100, None)
            found = next((one for one in page.messages if one.message_id == message_id), None)
            right = found is not None and all(getattr(found, name) == value for name, value in changed.items())
            return found if right else None

        found: MessageView = await self.gateway.until(seen, f"{message_id} with {changed}")
        return found

    def lid(self, number: str) -> str:
        return str(next(phone["lid"] for phone in self.phones.phones() if phone["number"] == number)).partition("@")[0]


@pytest.fixture
async def talk(gateway: Gateway) -> AsyncIterator[Talk]:
    gateway.start()
    gateway.whatsapp.add_phone(FRIEND, "Bea")
    gateway.whatsapp.add_phone(CAROL, "Carol")
    yield Talk(gateway, await gateway.link())


def quoting(message_id: str) -> Quote:
    return Quote(MessageRef(message_id))


def wa(row: Document) -> str:
    return str(row.fields["wa_message_id"])


async def test_every_kind_goes_out_to_a_person(talk: Talk) -> None:
    question = talk.phones.send(FRIEND, PHONE, "where and when?")
    asked = await talk.heard(question)
    link = LinkPreview("https://example.com/menu", "The menu", "All of it")
    said = Text(f"@{CAROL} see https://example.com/menu", (f"{CAROL}@s.whatsapp.net",), link)
    text = await talk.send(Content(said, quoting(asked.message_id)))
    shown = await talk.on_phone(wa(text), text=said.text)
    assert shown["fields"]["quote"] == {"id": question, "from": FRIEND, "text": "where and when?"}
    assert shown["fields"]["mentions"] == [CAROL]
    assert text.fields["to"] == {"phone": FRIEND, "lid": talk.lid(FRIEND)}

    place = await talk.send(Content(Location(48.2, -16.37, "Vienna", "Ring 1"), quoting(text.id)))
    shown = await talk.on_phone(wa(place), kind="location")
    assert (shown["fields"]["latitude"], shown["fields"]["longitude"]) == (48.2, -16.37)
    assert (shown["fields"]["name"], shown["fields"]["quote"]["from"]) == ("Vienna", PHONE)

    cards = tuple(ContactCard(name, make_vcard(name, [number])) for name, number in (("Carol", CAROL), ("Bea", FRIEND)))
    one = await talk.send(Content(Contacts(cards[:1])))
    assert (await talk.on_phone(wa(one), kind="contact"))["fields"]["numbers"] == [CAROL]
    several = await talk.send(Content(Contacts(cards)))
    shown = await talk.on_phone(wa(several), kind="contacts")
    assert [card["numbers"] for card in shown["fields"]["contacts"]] == [[CAROL], [FRIEND]]

    reaction = await talk.send(Content(Reaction(MessageRef(asked.message_id), "👍🏽")), None)
    assert reaction.fields["chat"] == CHAT
    await talk.on_phone(question, reactions={PHONE: "👍🏽"})
    await talk.send(Content(Reaction(MessageRef(asked.message_id), "")), None)
    await talk.on_phone(question, reactions={})

    await talk.send(Content(Edit(MessageRef(text.id), "at eight")), None)
    await talk.on_phone(wa(text), text="at eight", edited=True)
    assert (await talk.view(text.id, text="at eight")).edited_at is not None

    forwarded = await talk.send(Content(Forward(MessageRef(text.id))), CAROL)
    shown = await talk.on_phone(wa(forwarded), CAROL, text="at eight")
    assert shown["fields"]["forwarded"] is True

    await talk.send(Content(Revoke(MessageRef(text.id))), None)
    await talk.on_phone(wa(text), revoked=True)
    view = await talk.view(text.id, text=None)
    assert view.revoked_at is not None
    assert dict(view.content) == {}


async def test_a_vote_in_a_poll_of_ours_names_its_options(talk: Talk) -> None:
    poll = await talk.send(Content(Poll("Where?", ("here", "there", "nowhere"), 2)))
    shown = await talk.on_phone(wa(poll), kind="poll")
    assert (shown["text"], shown["fields"]["options"], shown["fields"]["choices"]) == (
        "Where?",
        ["here", "there", "nowhere"],
        2,
    )
    vote = talk.phones.vote(FRIEND, wa(poll), ["nowhere", "here"])
    view = await talk.heard(vote, kind="vote")
    assert view.content["vote"]["options"] == ["here", "nowhere"]
    assert view.content["vote"]["message"]["message_id"] == poll.id
    await talk.send(Content(Vote(MessageRef(poll.id), ("there",))), None)
    await talk.on_phone(wa(poll), votes={PHONE: ["there"], FRIEND: ["here", "nowhere"]})
    nothing = talk.phones.vote(FRIEND, wa(poll), [])
    assert (await talk.heard(nothing, kind="vote")).content["vote"]["options"] == []


async def test_every_kind_comes_in_from_a_person(talk: Talk) -> None:
    ours = await talk.send(text_content("shall we?"))
    await talk.on_phone(wa(ours))
    answer = talk.phones.send(FRIEND, PHONE, f"yes @{PHONE}", quote=wa(ours), mentions=[PHONE])
    view = await talk.heard(answer, text=f"yes @{PHONE}")
    quote = view.content["quote"]
    assert (quote["message_id"], quote["text"], quote["from_me"]) == (ours.id, "shall we?", True)
    assert view.content["mentions"] == [{"phone": PHONE, "lid": talk.lid(PHONE)}]
    assert (view.sender.phone, view.sender.lid) == (FRIEND, talk.lid(FRIEND))  # type: ignore[union-attr]

    place = await talk.heard(talk.phones.send_location(FRIEND, PHONE, -33.9, 18.4, "Cape Town"), kind="location")
    assert place.text == "Cape Town"
    assert place.content["location"] == {"latitude": -33.9, "longitude": 18.4, "name": "Cape Town", "address": ""}
    card = await talk.heard(talk.phones.send_contact(FRIEND, PHONE, "Carol", CAROL), kind="contact")
    assert card.content["contacts"][0]["name"] == "Carol"

    poll_id = talk.phones.send_poll(FRIEND, PHONE, "Tea?", ["yes", "no"])
    poll = await talk.heard(poll_id, kind="poll")
    assert poll.content["poll"] == {"question": "Tea?", "options": ["yes", "no"], "selectable": 1}
    await talk.send(Content(Vote(MessageRef(poll.message_id), ("yes",))), None)
    await talk.on_phone(poll_id, votes={PHONE: ["yes"]})
    own_vote = await talk.heard(talk.phones.vote(FRIEND, poll_id, ["no"]), kind="vote")
    assert own_vote.content["vote"]["options"] == ["no"]
    assert own_vote.content["vote"]["message"]["message_id"] == poll.message_id

    reaction = await talk.heard(talk.phones.react(FRIEND, wa(ours), "❤️"), kind="reaction")
    assert (reaction.text, reaction.content["reaction"]["message"]["message_id"]) == ("❤️", ours.id)

    talk.phones.edit(FRIEND, answer, "no")
    edited = await talk.heard(answer, text="no")
    assert edited.edited_at is not None
    talk.phones.revoke(FRIEND, answer)
    gone = await talk.heard(answer, text=None)
    assert gone.revoked_at is not None
    document = await talk.gateway.store.get(f"accounts/{talk.account}/chats/{CHAT}/messages/{answer}")
    assert document is not None
    assert "yes @" not in repr(document.fields) and "'no'" not in repr(document.fields)


async def test_a_group_is_written_to_and_heard_with_who_said_it(talk: Talk) -> None:
    group = talk.phones.create_group(FRIEND, "Friends", [PHONE, CAROL])
    chat = str(group["id"])
    ours = await talk.send(text_content("hello all"), chat)
    for number in (FRIEND, CAROL):
        assert (await talk.on_phone(wa(ours), number))["text"] == "hello all"
    theirs = talk.phones.send(CAROL, chat, "hello you", quote=wa(ours))
    view = await talk.heard(theirs, chat)
    assert (view.chat, view.sender.phone, view.sender.lid) == (chat, CAROL, talk.lid(CAROL))  # type: ignore[union-attr]
    assert view.content["quote"]["message_id"] == ours.id
    listed = await talk.lists.page(TENANT, "s1", chat, 10, None)
    assert sorted(one.text or "" for one in listed.messages) == ["hello all", "hello you"]

    await talk.send(Content(Reaction(MessageRef(view.message_id), "🎉")), None)
    for number in (FRIEND, CAROL):
        await talk.on_phone(theirs, number, reactions={PHONE: "🎉"})
    await talk.send(Content(Text("as I said"), quoting(view.message_id)), chat)

    poll = await talk.send(Content(Poll("When?", ("now", "later"))), chat)
    await talk.on_phone(wa(poll), CAROL)
    vote = await talk.heard(talk.phones.vote(CAROL, wa(poll), ["later"]), chat, kind="vote")
    assert vote.content["vote"]["options"] == ["later"]

    talk.phones.edit(CAROL, theirs, "hello everyone")
    await talk.heard(theirs, chat, text="hello everyone")
    # Who runs the group deletes what others wrote.
    talk.phones.revoke(FRIEND, theirs)
    assert (await talk.heard(theirs, chat, text=None)).revoked_at is not None


async def test_a_group_that_the_number_is_not_in_is_named_so(talk: Talk) -> None:
    others = talk.phones.create_group(FRIEND, "Without you", [CAROL])
    for chat, code in ((str(others["id"]), "not_in_group"), ("120363999999999999@g.us", "no_such_group")):
        accepted = await talk.messages.send(TENANT, "s1", chat, text_content("hello?"), None, SendOptions())
        row = await talk.gateway.until_message(accepted.message.message_id, "failed")
        assert row.fields["error_code"] == code


async def test_a_text_goes_out_as_a_status(talk: Talk) -> None:
    names = itertools.count()

    async def shown() -> dict[str, Any] | None:
        # It goes to the contacts that the device knows of. It learns of one when the phone changes it, but for the first moments
        # after linking, in which it has no key for that yet.
        await asyncio.to_thread(talk.phones.add_contact, PHONE, FRIEND, f"Bea {next(names)}")
        row = await talk.send(text_content("open until ten"), STATUS)
        return await asyncio.to_thread(talk.phones.message, FRIEND, wa(row))

    assert (await talk.gateway.until(shown, "a status on the phone of a contact"))["chat"] == STATUS


async def test_the_tag_of_every_kind_is_in_the_stores_of_both_devices(talk: Talk) -> None:
    await talk.gateway.link_standby(talk.account)
    ours = await talk.send(text_content("once"))
    poll = await talk.send(Content(Poll("?", ("a", "b"))))
    contents = [
        (Content(Text("a link", (), LinkPreview("a", "b"))), FRIEND),
        (Content(Location(1, 2)), FRIEND),
        (Content(Contacts((ContactCard("C", make_vcard("C", [CAROL])),))), FRIEND),
        (Content(Vote(MessageRef(poll.id), ("a",))), None),
        (Content(Reaction(MessageRef(ours.id), "👍")), None),
        (Content(Reaction(MessageRef(ours.id), "")), None),
        (Content(Edit(MessageRef(ours.id), "twice")), None),
        (Content(Revoke(MessageRef(ours.id))), None),
    ]
    sent = [ours, poll, *[await talk.send(content, to) for content, to in contents]]
    secret = await talk.gateway.store.get(accounts.secret_path(talk.account))
    assert secret is not None
    key = accounts.tag_key(secret)
    tags = {message_tag(key, row.id, 0): (row.fields["kind"], wa(row)) for row in sent}
    for slot in "ab":
        [path] = talk.gateway.folder.glob(f"connector-*/{talk.account}_{slot}/whatsapp.db")

        async def has_them_all(path: Any = path) -> bool:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                rows = dict(database.execute("SELECT key, message_id FROM whatsmeow_message_secrets"))
            return all(rows.get(tag) == name for tag, (_, name) in tags.items())

        await talk.gateway.until(has_them_all, f"the tags of {[kind for kind, _ in tags.values()]} in slot {slot}")
    # The other device knows them for ours: nothing of it is recorded a second time.
    page = await talk.lists.page(TENANT, "s1", None, 100, None)
    assert sorted(one.message_id for one in page.messages) == sorted(row.id for row in sent)


async def test_an_edit_that_was_on_its_way_at_a_kill_is_recognised_by_its_tag(talk: Talk) -> None:
    # One at a time: the library hands the next message to the socket when the one before has its answer.
    talk.gateway.start("connector-2")
    await talk.gateway.link_standby(talk.account)
    ours = await talk.send(text_content("hello"))
    talk.phones.add_fault("never_ack", {"number": PHONE, "device": 1}, {"count": 1})
    lossy = ("lossy", {"number": PHONE, "direction": "out", "stanza": "receipt"})
    talk.phones.add_fault(*lossy)
    edit = Content(Edit(MessageRef(ours.id), "changed"))
    accepted = await talk.messages.send(TENANT, "s1", None, edit, None, SendOptions())
    await talk.on_phone(wa(ours), text="changed")
    talk.gateway.kill()
    talk.phones.clear_faults()
    talk.phones.add_fault(*lossy)
    talk.gateway.start()
    row = await talk.gateway.until_message(accepted.message.message_id, "sent", "failed")
    assert (row.fields["state"], row.fields["attempts"]) == ("sent", 1)
    # What the edit did is written by whoever found out that it had left.
    assert (await talk.view(ours.id, text="changed")).edited_at is not None


async def test_marks_and_typing_reach_the_other_phone(talk: Talk) -> None:
    commands = Commands(talk.gateway.store, SystemClock(), os.urandom, Limiter(talk.gateway.store, SystemClock()))
    chats = Chats(talk.gateway.store, commands)
    sent = [talk.phones.send(FRIEND, PHONE, text) for text in ("one", "two")]
    heard = [await talk.heard(name) for name in sent]
    marked = await chats.mark_read(TENANT, "s1", FRIEND, None)
    assert sorted(marked) == sorted(one.message_id for one in heard)

    def receipts() -> set[str]:
        return {one["id"] for one in talk.phones.receipts(FRIEND) if one["type"] == "read"}

    async def both_read() -> bool:
        return await asyncio.to_thread(receipts) >= set(sent)

    await talk.gateway.until(both_read, "the read receipts")
    for state in (Typing.COMPOSING, Typing.RECORDING, Typing.PAUSED):
        await chats.show_typing(TENANT, "s1", FRIEND, state)

    async def all_seen() -> bool:
        seen = await asyncio.to_thread(talk.phones.typing_seen, FRIEND)
        return [one["state"] for one in seen if one["from"] == PHONE][-3:] == ["composing", "recording", "paused"]

    await talk.gateway.until(all_seen, "the typing")
