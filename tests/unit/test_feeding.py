"""What the listeners bring reaches the devices that it concerns, and nobody else is woken for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from keepline.domain.content.bodies import Content, Text
from keepline.domain.send_queue import Outgoing
from keepline.ports.documents import Delete, Document, Query, Watch
from keepline.records import outbox
from keepline.records.outbox import Authority, NewMessage
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.usecases.feeding import Feeds

ACCOUNTS = ("demo_s1", "demo_s2", "demo_s3")
CHAT = "14155550123@s.whatsapp.net"
SETTLED_S = 1.0


class Runner:
    """Takes note of what it is told."""

    def __init__(self) -> None:
        self.offers: list[list[str]] = []
        self.generations: list[int] = []

    def offer(self, rows: Iterable[Outgoing]) -> None:
        self.offers.append([row.message_id for row in rows])

    def authority_seen(self, authority: Authority) -> None:
        self.generations.append(authority.generation)

    def ordered(self, orders: Iterable[object]) -> None:
        assert not list(orders)


class Sweeping(MemoryDocuments):
    """Each result comes once more, as after a sweep that found nothing else."""

    @asynccontextmanager
    async def watch(self, query: Query) -> AsyncIterator[Watch]:
        async with super().watch(query) as watch:
            yield self._twice(watch)

    async def _twice(self, watch: Watch) -> AsyncIterator[Sequence[Document]]:
        async for documents in watch:
            yield documents
            yield documents


def row(message_id: str, account: str) -> Any:
    tenant, _, session = account.partition("_")
    return outbox.new_row(NewMessage(message_id, tenant, account, session, CHAT, Content(Text("hello")), ""))


def told(
    story: Callable[[MemoryDocuments], Any], make: Callable[[LoopClock], MemoryDocuments] = MemoryDocuments
) -> dict[str, Runner]:
    """What the runners of three accounts hear while the story changes the store."""
    runners = {(account, "a"): Runner() for account in ACCOUNTS}

    async def all_of_it() -> None:
        store = make(LoopClock())
        table: Any = runners
        feeding = asyncio.create_task(Feeds(store, table).run())
        await asyncio.sleep(SETTLED_S)
        await story(store)
        await asyncio.sleep(SETTLED_S)
        assert not feeding.done(), feeding.exception()
        feeding.cancel()
        await asyncio.wait([feeding])

    run_virtual(all_of_it())
    return {account: runner for (account, _), runner in runners.items()}


def test_a_message_wakes_the_devices_of_its_account_alone() -> None:
    async def story(store: MemoryDocuments) -> None:
        await store.commit([row("m_1", "demo_s2")])
        await asyncio.sleep(SETTLED_S)
        await store.commit([Delete(outbox.row_path("m_1"))])

    heard = told(story)
    assert heard["demo_s2"].offers == [[], ["m_1"], []]
    assert heard["demo_s1"].offers == heard["demo_s3"].offers == [[]]


def test_who_sends_for_an_account_is_told_to_its_devices_alone() -> None:
    async def story(store: MemoryDocuments) -> None:
        await store.commit([Authority(account, 1, "c1", "a").write() for account in ACCOUNTS])
        await asyncio.sleep(SETTLED_S)
        document = await store.get(outbox.authority_path("demo_s2"))
        assert document is not None
        await store.commit([Authority.read(document).given_up().write()])

    heard = told(story)
    assert heard["demo_s2"].generations == [1, 1]
    assert heard["demo_s1"].generations == heard["demo_s3"].generations == [1]


def test_when_a_sweep_finds_nothing_new_everybody_looks_again() -> None:
    async def story(store: MemoryDocuments) -> None:
        await store.commit([row("m_1", "demo_s2")])

    heard = told(story, Sweeping)
    assert heard["demo_s2"].offers == [[], [], ["m_1"], ["m_1"]]
    assert heard["demo_s1"].offers == heard["demo_s3"].offers == [[], [], []]
