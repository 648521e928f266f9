"""What a device makes of rows that an earlier holder had claimed: a store says that nothing left only if known to be whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from keepline.domain.content.bodies import Content, Text
from keepline.domain.message import MessageState
from keepline.domain.send_queue import Outgoing
from keepline.ports.documents import Version, Write
from keepline.records.outbox import Authority
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp import FakeWhatsApp
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases.sending import Sender
from keepline.usecases.session_keeping import Step

MESSAGE = "m_" + "a" * 26


class StandingSession:
    """A session at a step, whose commits all succeed."""

    def __init__(self, clock: LoopClock, incarnation: str) -> None:
        self._clock = clock
        self.step = Step(0, incarnation)

    async def commit(
        self, writes: Sequence[Write], *, acknowledging: Callable[[Step], Write] | None = None
    ) -> list[Version]:
        every = [*writes, acknowledging(self.step)] if acknowledging is not None else writes
        return [self._clock.now() for _ in every]


@pytest.mark.parametrize(
    ("claimed_over", "now_at", "state"),
    [
        ("life-1", "life-1", MessageState.QUEUED),
        ("life-1", "life-2", MessageState.IN_DOUBT),
        ("", "", MessageState.IN_DOUBT),
    ],
    ids=["the-same-store", "a-rebuilt-store", "no-store-is-named"],
)
def test_a_claimed_row_was_never_handed_over_only_if_the_store_that_it_was_claimed_over_says_so(
    claimed_over: str, now_at: str, state: MessageState
) -> None:
    async def story() -> None:
        clock, random = LoopClock(), Random(1)
        whatsapp = FakeWhatsApp(clock, random)
        authority = Authority(
            *("anna_shop", 2, "c1", "a"),
            attempt=1,
            claims={"1": (MESSAGE,)},
            claimed_at={"1": clock.now()},
            incarnation=claimed_over,
            claim_slot="a",
        )
        account: Any = SimpleNamespace(tag_key=b"k" * 32, session_id="shop", created_at=clock.now())
        session: Any = StandingSession(clock, now_at)
        sender = Sender(
            MemoryDocuments(clock),
            clock,
            random,
            FakeLink(whatsapp, whatsapp.add_device()),
            session,
            authority,
            account,
            "off",
            None,
        )
        row = Outgoing(MESSAGE, "1@s.whatsapp.net", Content(Text("Hello")), clock.now(), clock.now(), clock.now())
        await sender.settle_earlier_claims([row])
        assert row.state is state

    run_virtual(story())
