"""What a device heard on a machine that it has left is told when that machine's connector is back: nothing heard is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from random import Random

import pytest

from keepline.domain.content.bodies import text_content
from keepline.domain.ids import new_message_id
from keepline.domain.link_events import HeardEvent, MessageHeard, NoticeHeard, ReceiptHeard
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.ports.documents import Update
from keepline.records import accounts, notices, outbox
from keepline.records.outbox import NewMessage
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.left_journals import MemoryLeftJournals
from keepline.testing.severed import Life, SeveredDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp_folder import FakeFolder
from keepline.usecases.left_behind import KEEP_RECEIPTS_S, LOOK_S, LeftBehind

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNT, CHAT = "demo_s1", "14155550123@s.whatsapp.net"
MESSAGE = MessageHeard(0, "A1", CHAT, "14155550123", None, False, "text", "just before the end", AT, None)
MESSAGE_ID = new_message_id(bytes(16))


class Machine:
    """`east`, which is back; the account's device lives on `holder` now."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.documents = MemoryDocuments(self.clock)
        self.store = SeveredDocuments(self.documents, Random(1), Life())
        self.folder = FakeFolder()
        self.running: list[tuple[str, str]] = []

    async def start(self, *heard: HeardEvent, holder: str = "west") -> None:
        account = accounts.new_account(
            account=ACCOUNT, tenant="demo", session_id="s1", tag_key=bytes(32), status=WAITING_FOR_CONNECTOR
        )
        await self.documents.commit(account)
        await self.documents.commit([Update(accounts.device_path(ACCOUNT, "a"), {"connector": holder})])
        for event in heard:
            self.folder.note(event)

    async def look(self, seconds: float = 5.0) -> None:
        journals = MemoryLeftJournals(lambda: {(ACCOUNT, "a"): self.folder}, Life())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await LeftBehind(self.store, self.clock, "east", journals, lambda: self.running).run()

    async def send(self, state: str) -> None:
        """A message that WhatsApp knows as W1."""
        row = NewMessage(MESSAGE_ID, "demo", ACCOUNT, "s1", CHAT, text_content("hello"), "")
        await self.documents.commit([outbox.new_row(row)])
        known = {"state": state, "wa_message_id": "W1"}
        await self.documents.commit([Update(outbox.row_path(MESSAGE_ID), known)])

    async def state(self) -> str:
        row = await self.documents.get(outbox.row_path(MESSAGE_ID))
        assert row is not None
        return str(row.fields["state"])

    async def recorded(self) -> bool:
        return await self.documents.get(f"accounts/{ACCOUNT}/chats/{CHAT}/messages/A1") is not None


def test_what_was_heard_before_a_device_moved_on_is_recorded() -> None:
    async def story() -> tuple[bool, int]:
        machine = Machine()
        await machine.start(MESSAGE)
        await machine.look()
        return await machine.recorded(), len(machine.folder.journal)

    assert run_virtual(story()) == (True, 0)


def test_a_notice_that_was_left_behind_is_recorded() -> None:
    async def story() -> tuple[int, int]:
        machine = Machine()
        said = {"call_id": "C", "from": {"phone": None, "lid": "1"}, "is_video": False, "is_group": False}
        await machine.start(NoticeHeard(0, "call.received", CHAT, "C", AT, said), MESSAGE)
        await machine.look()
        found = await machine.documents.query(notices.notices_of_account(ACCOUNT, 10))
        return len(found), len(machine.folder.journal)

    assert run_virtual(story()) == (1, 0)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [("sent", "delivered", 0), ("in_doubt", "delivered", 0), ("read", "read", 0), ("queued", "queued", 1)],
)
def test_a_receipt_that_was_left_behind_moves_its_message_up_and_never_down(before: str, after: str, kept: int) -> None:
    async def story() -> tuple[str, int]:
        machine = Machine()
        await machine.start()
        machine.folder.note(ReceiptHeard(0, ("W1",), "delivered", machine.clock.now()))
        await machine.send(before)
        await machine.look()
        return await machine.state(), len(machine.folder.journal)

    assert run_virtual(story()) == (after, kept)


def test_a_receipt_waits_until_its_message_is_known_and_not_for_ever() -> None:
    async def story() -> tuple[str, int, int]:
        machine = Machine()
        await machine.start()
        for wa_message_id in ("W1", "of the phone"):
            machine.folder.note(ReceiptHeard(0, (wa_message_id,), "delivered", machine.clock.now()))
        looking = asyncio.create_task(machine.look(KEEP_RECEIPTS_S + 2 * LOOK_S))
        await asyncio.sleep(LOOK_S / 2)
        await machine.send("sent")
        await asyncio.sleep(LOOK_S)
        state, kept = await machine.state(), len(machine.folder.journal)
        await looking
        return state, kept, len(machine.folder.journal)

    assert run_virtual(story()) == ("delivered", 1, 0)


def test_a_device_that_is_about_to_be_opened_here_tells_its_journal_itself() -> None:
    async def story() -> tuple[bool, bool]:
        machine = Machine()
        await machine.start(MESSAGE, holder="east")
        await machine.look()
        ours = await machine.recorded()
        other = Machine()
        await other.start(MESSAGE)
        other.running = [(ACCOUNT, "a")]
        await other.look()
        return ours, await other.recorded()

    assert run_virtual(story()) == (False, False)


def test_nothing_is_forgotten_while_firestore_is_away() -> None:
    async def story() -> tuple[int, bool, int]:
        machine = Machine()
        await machine.start(MESSAGE)
        machine.store.away = True
        looking = asyncio.create_task(machine.look(5 * LOOK_S))
        await asyncio.sleep(LOOK_S)
        kept = len(machine.folder.journal)
        machine.store.away = False
        await looking
        return kept, await machine.recorded(), len(machine.folder.journal)

    assert run_virtual(story()) == (1, True, 0)
