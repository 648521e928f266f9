"""Files of heard messages on the shipped fakes: who fetches them, when it is tried again, and what is said of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

from keepline.domain.content.files import File
from keepline.domain.ids import inbound_media_id
from keepline.domain.link_events import MediaOutcome, MediaWaiting, MessageHeard
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.domain.tag import message_tag
from keepline.ports.documents import StoreUnavailable, Version, Write
from keepline.records import accounts, changes, history, media
from keepline.records.accounts import Account
from keepline.records.heard_media import MediaFate, MediaState, settled
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.usecases.media_keeping import MediaKeeper

ACCOUNT, KEY = "demo_s1", b"k" * 32
CHAT = "14155550123@s.whatsapp.net"
DAY_S = 86_400
GONE = MediaOutcome(error_code="media_gone", final=True)
LATER = MediaOutcome(error_code="media_unreachable")


class Link:
    """A device that answers as it is told, and notes when it was asked and what it may forget."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock
        self.answers: list[MediaOutcome] = []  # then each file is kept
        self.asked: list[tuple[float, str]] = []
        self.forgotten: list[str] = []

    async def keep_media(self, waiting: MediaWaiting, media_id: str) -> MediaOutcome:
        self.asked.append((self._clock.monotonic_s(), waiting.wa_message_id))
        if self.answers:
            return self.answers.pop(0)
        file = File(media_id, None, "image/png", 3, "ab", waiting.file_name)
        return MediaOutcome(file, self._clock.now() + timedelta(days=30))

    async def forget_media(self, waiting: MediaWaiting) -> None:
        self.forgotten.append(waiting.wa_message_id)


class Store(MemoryDocuments):
    """A store that can refuse commits for now."""

    refusals = 0

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("in the test")
        return await super().commit(writes)


class Desk:
    """One account, and keepers of its devices on one store."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.store = Store(self.clock)
        self.running: list[asyncio.Task[None]] = []

    async def keeper(self, *, speaks: bool = True) -> tuple[MediaKeeper, Link]:
        path = accounts.account_path(ACCOUNT)
        if await self.store.get(path) is None:
            names: dict[str, Any] = {"account": ACCOUNT, "tenant": "demo", "session_id": "s1", "tag_key": KEY}
            await self.store.commit(accounts.new_account(**names, status=WAITING_FOR_CONNECTOR))
        document = await self.store.get(path)
        secret = await self.store.get(accounts.secret_path(ACCOUNT))
        assert document is not None
        assert secret is not None
        account = accounts.with_key(Account.read(document), secret)
        fake = Link(self.clock)
        link: Any = fake
        keeper = MediaKeeper(self.store, self.clock, link, account, lambda: speaks)
        self.running.append(asyncio.create_task(keeper.run()))
        return keeper, fake

    def waiting(self, name: str, **fields: Any) -> MediaWaiting:
        event = MediaWaiting(CHAT, name, self.clock.now(), "image/png", "", 3)
        return replace(event, **fields)

    async def record(self, name: str) -> None:
        content = {"media": {"mime_type": "image/png", "size": 3, "sha256": "ab", "file_name": ""}}
        heard = MessageHeard(1, name, CHAT, "14155550123", None, False, "image", None, self.clock.now())
        await self.store.commit([history.heard_message(ACCOUNT, "demo", "s1", heard, content)])

    async def fate(self, name: str) -> tuple[str, str | None] | None:
        document = await self.store.get(changes.heard_path(ACCOUNT, CHAT, name))
        written = document.fields.get("media") if document is not None else None
        return (written["state"], written["error_code"]) if written is not None else None

    async def stop(self) -> None:
        for task in self.running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def in_virtual_time(story: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
    async def told() -> None:
        desk = Desk()
        try:
            await story(desk)
        finally:
            await desk.stop()

    run_virtual(told())


def test_a_file_is_kept_and_said_to_be_stored_and_its_key_is_forgotten() -> None:
    async def story(desk: Desk) -> None:
        keeper, link = await desk.keeper()
        await desk.record("W")
        keeper.waiting(desk.waiting("W", file_name="red.png"))
        keeper.waiting(desk.waiting("W"))  # Told twice, fetched once.
        await asyncio.sleep(0.1)
        assert await desk.fate("W") == ("stored", None)
        assert (len(link.asked), link.forgotten) == (1, ["W"])
        document = await desk.store.get(media.media_path(inbound_media_id(ACCOUNT, CHAT, "W")))
        assert document is not None
        assert (document.fields["tenant"], document.fields["source"]) == ("demo", "inbound")
        assert (document.fields["sessions"], document.fields["file_name"]) == (["s1"], "red.png")

    in_virtual_time(story)


def test_a_file_waits_until_its_message_is_recorded() -> None:
    async def story(desk: Desk) -> None:
        keeper, link = await desk.keeper()
        keeper.waiting(desk.waiting("W"))
        await asyncio.sleep(0.1)
        assert link.asked == []
        await desk.record("W")
        await asyncio.sleep(0.3)
        assert await desk.fate("W") == ("stored", None)

    in_virtual_time(story)


def test_a_file_that_cannot_be_had_says_why_and_holds_up_no_other() -> None:
    async def story(desk: Desk) -> None:
        keeper, link = await desk.keeper()
        link.answers = [LATER, GONE]
        for name in ("W1", "W2", "W3"):
            await desk.record(name)
            keeper.waiting(desk.waiting(name))
        await asyncio.sleep(0.1)
        assert [await desk.fate(name) for name in ("W1", "W2", "W3")] == [
            None,
            ("failed", "media_gone"),
            ("stored", None),
        ]
        await asyncio.sleep(0.3)
        assert await desk.fate("W1") == ("stored", None)
        assert link.forgotten == ["W2", "W3", "W1"]

    in_virtual_time(story)


def test_a_file_is_tried_for_three_days_less_and_less_often() -> None:
    async def story(desk: Desk) -> None:
        keeper, link = await desk.keeper()
        await desk.record("W")
        began_s = desk.clock.monotonic_s()
        keeper.waiting(desk.waiting("W"))
        link.answers = [LATER] * 1_000
        await asyncio.sleep(3 * DAY_S - 60)
        assert await desk.fate("W") is None
        await asyncio.sleep(2 * 3_600)
        assert await desk.fate("W") == ("failed", "media_unreachable")
        times = [at_s - began_s for at_s, _ in link.asked]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert pauses == sorted(pauses)
        assert (pauses[0] < 1, max(pauses), len(times) < 100) == (True, 3_600, True)

    in_virtual_time(story)


def test_a_witness_leaves_the_file_to_the_device_that_sends_and_fetches_it_when_that_does_not() -> None:
    async def story(desk: Desk) -> None:
        sending, sends = await desk.keeper()
        witness, witnesses = await desk.keeper(speaks=False)
        for name in ("W1", "W2"):
            await desk.record(name)
            witness.waiting(desk.waiting(name))
        sending.waiting(desk.waiting("W1"))
        await asyncio.sleep(5)
        assert (len(sends.asked), witnesses.asked) == (1, [])
        await asyncio.sleep(10)
        assert [name for _, name in witnesses.asked] == ["W2"]
        assert await desk.fate("W2") == ("stored", None)
        assert witnesses.forgotten == ["W1", "W2"]

    in_virtual_time(story)


def test_nothing_is_fetched_for_what_we_sent_or_what_was_taken_back_or_is_settled() -> None:
    async def story(desk: Desk) -> None:
        keeper, link = await desk.keeper()
        tag = message_tag(KEY, "m_" + "a" * 26, 0)
        await desk.record("W1")
        await desk.store.commit([settled(ACCOUNT, CHAT, "W1", MediaFate(MediaState.FAILED, "media_gone"))])
        await desk.record("W2")
        reference = history.reference
        document = await desk.store.get(changes.heard_path(ACCOUNT, CHAT, "W2"))
        assert document is not None
        await desk.store.commit([changes.revoked(ACCOUNT, reference(document), desk.clock.now())])
        for event in (desk.waiting("W0", tag=tag), desk.waiting("W1"), desk.waiting("W2")):
            keeper.waiting(event)
        await asyncio.sleep(0.1)
        assert (link.asked, link.forgotten) == ([], ["W0", "W1", "W2"])
        assert await desk.fate("W1") == ("failed", "media_gone")

    in_virtual_time(story)


def test_a_store_that_does_not_answer_is_asked_again_and_the_key_stays_until_it_does() -> None:
    async def story(desk: Desk) -> None:
        keeper, link = await desk.keeper()
        await desk.record("W")
        desk.store.refusals = 2
        keeper.waiting(desk.waiting("W"))
        await asyncio.sleep(0.1)
        assert link.forgotten == []
        await asyncio.sleep(2)
        assert (await desk.fate("W"), link.forgotten) == (("stored", None), ["W"])

    in_virtual_time(story)
