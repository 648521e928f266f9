"""Recording what was heard: changes of earlier messages by who may make them, references, votes; the same whoever writes it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from keepline.domain.content.bodies import Content, Poll, text_content
from keepline.domain.content.heard import cells_reference
from keepline.domain.content.references import MessageRef
from keepline.domain.ids import inbound_message_id, new_message_id
from keepline.domain.link_events import MessageHeard, MessageUnreadable, NoticeHeard, RecordedEvent
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.domain.tag import message_tag
from keepline.records import accounts, outbox
from keepline.records.accounts import Account
from keepline.records.outbox import NewMessage
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.usecases import recording
from keepline.usecases.message_views import MessageView, MessageViewer
from keepline.usecases.recording import Recorder

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = b"k" * 32
ACCOUNT = "demo_s1"
FRIEND, OTHER = "14155550123", "14155550199"
CHAT, GROUP = f"{FRIEND}@s.whatsapp.net", "120363000000000000@g.us"


class Link:
    """A cell that waits until all that it told is durable."""

    def __init__(self, told: int) -> None:
        self._missing = told
        self.done = asyncio.Event()

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        self._missing -= len(seqs)
        if not self._missing:
            self.done.set()


class Desk:
    """Two devices of one account that record into one store."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.store = MemoryDocuments(self.clock)

    async def record(self, *heard: RecordedEvent) -> None:
        """As one device hears it: everything until it is acknowledged."""
        document = await self.store.get(accounts.account_path(ACCOUNT))
        if document is None:
            await self.store.commit(
                accounts.new_account(
                    account=ACCOUNT,
                    tenant="demo",
                    session_id="s1",
                    tag_key=KEY,
                    status=WAITING_FOR_CONNECTOR,
                )
            )
            document = await self.store.get(accounts.account_path(ACCOUNT))
        secret = await self.store.get(accounts.secret_path(ACCOUNT))
        assert document is not None
        assert secret is not None
        link = Link(len(heard))
        recorder = Recorder(self.store, self.store, link, accounts.with_key(Account.read(document), secret))
        running = asyncio.create_task(recorder.run())
        for one in heard:
            recorder.heard(one)
        async with asyncio.timeout(5):
            await link.done.wait()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    async def view(self, wa_message_id: str, chat: str = CHAT) -> MessageView:
        document = await self.store.get(f"accounts/{ACCOUNT}/chats/{chat}/messages/{wa_message_id}")
        assert document is not None, wa_message_id
        return await MessageViewer(self.store, self.clock).view(document)

    async def everything(self) -> dict[str, Any]:
        """All documents but the account's key, and but for the times at which they were written."""
        found = {}
        for path, document in self.store._documents.items():
            if path == accounts.secret_path(ACCOUNT):
                continue
            fields = {**document.fields, "times": {**document.fields.get("times", {}), "recorded": None}}
            found[path] = fields
        return found


@pytest.fixture
def desk() -> Desk:
    return Desk()


def heard(name: str, kind: str = "text", text: str | None = None, **fields: Any) -> MessageHeard:
    values = {"chat": CHAT, "sender_phone": FRIEND, "sender_lid": None, "from_me": False, "at": AT} | fields
    return MessageHeard(seq=0, wa_message_id=name, kind=kind, text=text, **values)


def key(name: str, chat: str = CHAT, *, from_me: bool = False, secret: bytes | None = None) -> dict[str, Any]:
    return cells_reference(MessageRef(None, name, chat, from_me, FRIEND, None), secret)


def edit(name: str, target: str, text: str, **fields: Any) -> MessageHeard:
    chat, mine = fields.get("chat", CHAT), fields.get("from_me", False)
    return heard(name, "edit", text, content={"edit": {"message": key(target, chat, from_me=mine)}}, **fields)


def revoke(name: str, target: str, *, by_admin: bool = False, **fields: Any) -> MessageHeard:
    chat, mine = fields.get("chat", CHAT), fields.get("from_me", False)
    content = {"revoke": {"message": key(target, chat, from_me=mine), "by_admin": by_admin}}
    return heard(name, "revoke", content=content, **fields)


async def test_an_edit_changes_the_message_and_the_latest_counts_in_whatever_order_it_is_heard() -> None:
    later = edit("E2", "W", "third", at=AT + timedelta(minutes=2))
    earlier = edit("E1", "W", "second", at=AT + timedelta(minutes=1))
    for order in ((earlier, later), (later, earlier)):
        again = Desk()
        await again.record(heard("W", text="first"), *order)
        # The other device hears all of it as well, and the message once more at the end.
        await again.record(*order, heard("W", text="first"))
        view = await again.view("W")
        assert (view.text, view.edited_at) == ("third", AT + timedelta(minutes=2))


async def test_a_revoked_message_has_no_words_any_more(desk: Desk) -> None:
    await desk.record(heard("W", text="secret", content={"mentions": [{"phone": OTHER, "lid": None}]}))
    await desk.record(edit("E", "W", "another secret"), revoke("R", "W"))
    view = await desk.view("W")
    assert (view.text, dict(view.content), view.edited_at, view.revoked_at) == (None, {}, None, AT)
    assert "secret" not in repr(await desk.everything())


@pytest.mark.parametrize("change", [edit("X", "W", "forged"), revoke("X", "W")])
async def test_nobody_changes_what_another_wrote(desk: Desk, change: MessageHeard) -> None:
    group = {"chat": GROUP}
    forged = heard(change.wa_message_id, change.kind, change.text, sender_phone=OTHER, **group,
                   content={change.kind: {"message": key("W", GROUP)}})  # fmt: skip
    await desk.record(heard("W", text="mine", **group), forged)
    await desk.record(forged)
    view = await desk.view("W", GROUP)
    assert (view.text, view.edited_at, view.revoked_at) == ("mine", None, None)


@pytest.mark.parametrize("kind", ["edit", "revoke"])
async def test_a_contact_changes_nothing_of_ours(desk: Desk, kind: str) -> None:
    message_id = await sent(desk, text_content("ours"))
    content = {kind: {"message": key("OUT", from_me=True, secret=message_tag(KEY, message_id, 0))}}
    await desk.record(heard("X", kind, "forged", content=content))
    row = await desk.store.get(outbox.row_path(message_id))
    assert row is not None
    view = await MessageViewer(desk.store, desk.clock).view(row)
    assert (view.text, view.edited_at, view.revoked_at) == ("ours", None, None)


async def test_our_own_phone_changes_what_the_api_sent(desk: Desk) -> None:
    message_id = await sent(desk, text_content("ours"))
    reference = key("OUT", from_me=True, secret=message_tag(KEY, message_id, 0))
    await desk.record(heard("X", "edit", "by hand", from_me=True, content={"edit": {"message": reference}}))
    row = await desk.store.get(outbox.row_path(message_id))
    assert row is not None
    assert (await MessageViewer(desk.store, desk.clock).view(row)).text == "by hand"


async def test_an_admin_of_a_group_deletes_what_others_wrote(desk: Desk) -> None:
    await desk.record(heard("W", text="spam", chat=GROUP))
    await desk.record(revoke("R", "W", by_admin=True, chat=GROUP, sender_phone=OTHER))
    assert (await desk.view("W", GROUP)).revoked_at == AT
    # What was sent elsewhere is not in the group's reach, whatever name its admins call it by.
    message_id = await sent(desk, text_content("elsewhere"))
    reference = key("OUT", GROUP, from_me=True, secret=message_tag(KEY, message_id, 0))
    await desk.record(heard("R3", "revoke", chat=GROUP, content={"revoke": {"message": reference, "by_admin": True}}))
    row = await desk.store.get(outbox.row_path(message_id))
    assert row is not None
    assert "revoked_at" not in row.fields
    # Between two people nobody is an admin.
    await desk.record(heard("W2", text="hello"), revoke("R2", "W2", by_admin=True, sender_phone=OTHER))
    assert (await desk.view("W2")).text == "hello"


async def test_a_change_of_a_message_that_nobody_recorded_leaves_nothing(desk: Desk) -> None:
    await desk.record(edit("E", "NEVER", "new"), revoke("R", "NEVER"))
    assert [path for path in desk.store._documents if "messages" in path] == []


@pytest.mark.parametrize("odd", ["", ".", "..", "a/b", "__x__", "x" * 2_000, "ä€"])
async def test_an_id_that_its_sender_made_up_harms_nothing(desk: Desk, odd: str) -> None:
    await desk.record(edit("E", odd, "new"), revoke("R", odd), heard("V", "vote", content=voted(odd)), heard("N"))
    assert (await desk.view("N")).message_id
    if odd:
        await desk.record(heard(odd, text="odd"), edit("E", odd, "edited"))
        [found] = [one for path, one in (await desk.everything()).items() if one.get("text") == "odd"]
        assert found["edits"]["E"]["text"] == "edited"


def voted(poll: str) -> dict[str, Any]:
    return {"vote": {"message": key(poll), "hashes": ["00"]}}


async def test_a_message_that_could_not_be_read_is_healed_with_all_that_it_says(desk: Desk) -> None:
    await desk.record(MessageUnreadable(0, "W", CHAT, FRIEND, None, False, AT))
    assert (await desk.view("W")).kind == "unreadable"
    place = {"location": {"latitude": 1.0, "longitude": 2.0, "name": "", "address": ""}}
    await desk.record(heard("W", "location", content=place))
    await desk.record(MessageUnreadable(0, "W", CHAT, FRIEND, None, False, AT))
    view = await desk.view("W")
    assert (view.kind, dict(view.content)) == ("location", place)


async def test_a_commit_takes_no_more_than_a_request_holds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "BATCH_BYTES_MAX", 1_000)
    await desk.record(heard("W0", text="account"))
    before = desk.store.commits
    card = {"contacts": [{"name": "A", "vcard": "x" * 5_000}]}
    await desk.record(heard("W1", "contact", content=card), heard("W2", text="ä" * 200), heard("W3", text="b" * 20))
    assert desk.store.commits - before == 2
    assert [(await desk.view(name)).kind for name in ("W1", "W2", "W3")] == ["contact", "text", "text"]


async def test_a_vote_names_the_options_of_our_poll_and_of_theirs(desk: Desk) -> None:
    ours = await sent(desk, Content(Poll("?", ("yes", "no", "äöü"), 2)))
    secret = message_tag(KEY, ours, 0)

    def vote(name: str, reference: dict[str, Any], *options: str) -> MessageHeard:
        hashes = [hashlib.sha256(option.encode()).hexdigest() for option in options]
        return heard(name, "vote", content={"vote": {"message": reference, "hashes": hashes}})

    reference = key("OUT", from_me=True, secret=secret)
    theirs = {"poll": {"question": "?", "options": ["a", "b"], "selectable": 1}}
    await desk.record(vote("V1", reference, "äöü", "yes"), vote("V2", reference))
    await desk.record(heard("P", "poll", "?", content=theirs), vote("V3", key("P"), "b"))
    await desk.record(vote("V4", key("P"), "b"), vote("V5", key("P"), "c"), vote("V6", key("GONE"), "b"))
    told = {
        name: (await desk.view(name)).content["vote"].get("options") for name in ("V1", "V2", "V3", "V4", "V5", "V6")
    }
    assert told == {"V1": ["yes", "äöü"], "V2": [], "V3": ["b"], "V4": ["b"], "V5": None, "V6": None}
    assert (await desk.view("V1")).content["vote"]["message"]["message_id"] == ours


async def test_both_devices_write_the_same_documents(desk: Desk) -> None:
    stream = [
        heard("W", text="first", content={"quote": {**key("Q"), "text": "before"}}),
        edit("E", "W", "second"),
        heard("R", "reaction", "👍", content={"reaction": {"message": key("W"), "emoji": "👍"}}),
        heard("U", "unsupported", content={"unsupported": {"field": "orderMessage"}}),
    ]
    await desk.record(*stream)
    once = await desk.everything()
    await desk.record(*stream)
    assert await desk.everything() == once
    view = await desk.view("R")
    assert view.content["reaction"]["message"]["message_id"] == inbound_message_id(ACCOUNT, CHAT, "W")
    assert "secret" not in repr(once)


async def sent(desk: Desk, content: Content) -> str:
    """A message of the API that WhatsApp has."""
    message_id = new_message_id(Random(1).randbytes(16))
    row = outbox.new_row(NewMessage(message_id, "demo", ACCOUNT, "s1", CHAT, content, ""))
    await desk.store.commit([row])
    return message_id


NOTICE = NoticeHeard(0, "group.update", GROUP, "walks", AT, {"by": None, "changes": {"subject": "Walks"}})


async def test_a_notice_is_recorded_once_whoever_hears_it_and_stays_as_it_was_heard_first(desk: Desk) -> None:
    await desk.record(NOTICE, heard("W", text="first"))
    before = await desk.everything()
    [path] = [path for path in before if "/notices/" in path]
    assert before[path]["said"] == NOTICE.said
    assert before[path]["tenant"] == "demo"
    assert before[path]["expire_at"] > AT
    # The other device knows more of people, and a journal tells its notices again, in one batch with what is new.
    await desk.record(replace(NOTICE, said={"by": {"phone": FRIEND, "lid": None}}), NOTICE, heard("W2", text="second"))
    after = await desk.everything()
    assert after[path] == before[path]
    assert [one for one in after if "/notices/" in one] == [path]
    assert (await desk.view("W2")).text == "second"


async def test_another_notice_of_the_same_moment_is_recorded_too(desk: Desk) -> None:
    await desk.record(NOTICE, replace(NOTICE, name="runs"), replace(NOTICE, event="group.leave"))
    assert len([path for path in await desk.everything() if "/notices/" in path]) == 3
