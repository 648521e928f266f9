"""Receipts that another device of the account settles."""

from __future__ import annotations

import asyncio
from random import Random

from keepline.domain.link_events import ReceiptHeard
from keepline.testing.clock import LoopClock
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp import FakeWhatsApp
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases.held_receipts import HELD_MAX, HELD_S, HeldReceipts


def receipt(seq: int) -> ReceiptHeard:
    return ReceiptHeard(seq, (f"OUT{seq}",), "delivered", LoopClock().now())


class Acknowledged(FakeLink):
    """Takes note of what the journal may forget."""

    def __init__(self) -> None:
        whatsapp = FakeWhatsApp(LoopClock(), Random(1))
        super().__init__(whatsapp, whatsapp.add_device())
        self.seqs: list[int] = []

    async def acknowledge(self, seqs: object) -> None:
        assert isinstance(seqs, list)
        self.seqs += seqs


def test_they_are_let_go_when_the_sending_device_has_had_its_time() -> None:
    async def story() -> None:
        link = Acknowledged()
        held = HeldReceipts(LoopClock(), link)
        assert await held.let_go() is None
        held.hold([receipt(1)])
        await asyncio.sleep(HELD_S / 2)
        held.hold([receipt(2)])
        assert await held.let_go() == HELD_S / 2
        assert link.seqs == []
        await asyncio.sleep(HELD_S / 2)
        assert await held.let_go() == HELD_S / 2
        assert link.seqs == [1]
        assert [one.seq for one in held.take()] == [2]
        assert await held.let_go() is None

    run_virtual(story())


def test_they_do_not_take_the_room_of_what_else_is_heard() -> None:
    async def story() -> None:
        link = Acknowledged()
        held = HeldReceipts(LoopClock(), link)
        held.hold(receipt(seq) for seq in range(HELD_MAX + 3))
        await held.let_go()
        assert link.seqs == [0, 1, 2]

    run_virtual(story())
