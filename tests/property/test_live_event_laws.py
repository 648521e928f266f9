"""Every event once, and those of a chat in its order, for whoever breaks off anywhere and comes back, whatever the commits do."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from hypothesis import event, given, settings
from hypothesis import strategies as st

from keepline.domain import live_events
from keepline.domain.link_events import MessageHeard
from keepline.domain.live_events import SETTLING, Entry, Position, Reading, read_token
from keepline.ports.documents import Create, Query, StoreUnavailable, Version, Write
from keepline.records import history
from keepline.records.live_events import log_path
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.testing.webhook_calls import MemoryWaker
from keepline.usecases import live_events as listening
from keepline.usecases.live_events import LiveEvents, Stream
from keepline.usecases.webhook_events import Rendering
from keepline.usecases.webhook_feeding import WebhookFeeder

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


# What a look may rely on, and nothing more: it shows all that was committed by some moment after the one before.

skews = st.floats(-SETTLING.total_seconds(), SETTLING.total_seconds())
commits = st.lists(
    st.tuples(st.floats(0, 300), skews, st.sampled_from(["l_a", "l_b", "l_c"]), st.integers(1, 4)), max_size=60
)


def entries_of(committed: Sequence[tuple[float, float, str, int]]) -> list[Entry]:
    """Each commit has some entries of one lane."""
    numbers: dict[str, itertools.count[int]] = {}
    made = []
    for n, (when, skew, lane, count) in enumerate(sorted(committed)):
        for _ in range(count):
            sequence = next(numbers.setdefault(lane, itertools.count()))
            made.append(Entry(f"e{n}_{sequence}", Position(at(when), lane, sequence), at(when + skew)))
    return made


@given(commits, st.lists(st.floats(0, 40), min_size=3, max_size=40), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_each_entry_is_told_once_and_in_the_order_of_the_commits(
    committed: list[tuple[float, float, str, int]], pauses: list[float], seed: int
) -> None:
    chance, log = random.Random(seed), entries_of(committed)
    told: list[str] = []
    with patch.object(live_events, "PAGE", 4), patch.object(live_events, "PAGE_MAX", 1_000):
        reading, now = Reading.beginning(Position(at(-1)), at(-1)), -1.0
        places = {entry.event_id: entry.position for entry in log}
        # When all is committed, as many looks as it takes.
        for look in range(len(pauses) + 400):
            now += pauses[look] if look < len(pauses) else 1_000.0
            shown = [one for one in log if one.position.at <= at(now) and one.recorded_at >= reading.floor]
            shown.sort(key=lambda one: (one.recorded_at, one.event_id))
            fresh, after = reading.after(shown[: reading.page])
            assert after.floor >= reading.floor
            told += [one.event_id for one in fresh]
            if after == reading and now > 1_000.0:
                break
            reading = after
            if look >= len(pauses):
                continue
            if fresh and chance.random() < 0.3:  # It breaks off behind an entry, and comes back with that one's name.
                kept = chance.randint(1, len(fresh))
                told = told[: len(told) - len(fresh) + kept]
                reading = Reading.beginning(min(places[told[-1]], Position(at(now))), at(now))
                event("came back behind an entry")
            elif (token := reading.cursor.token) is not None and chance.random() < 0.3:
                place = read_token(token)
                assert place == reading.cursor
                reading = Reading.beginning(place, at(now))
                event("came back with a moment")
        else:
            raise AssertionError("it does not get on")
    assert told == [entry.event_id for entry in sorted(log, key=lambda one: one.position)]


@given(st.lists(st.floats(0, 10), min_size=2, max_size=12, unique=True), st.data())
def test_an_entry_that_a_look_left_out_is_told_by_the_next(times: list[float], data: st.DataObject) -> None:
    log = entries_of([(when, 0.0, "l_a", 1) for when in times])
    lost = data.draw(st.sampled_from(log[:-1]))
    reading = Reading.beginning(Position(at(-1)), at(-1))
    told = []
    for shown in ([], [one for one in log if one is not lost], log, log):
        fresh, reading = reading.after(shown)
        told += [one.event_id for one in fresh]
    assert told == [one.event_id for one in log if one is not lost] + [lost.event_id]


@given(st.lists(st.floats(0, 10), min_size=2, max_size=12, unique=True), st.data())
def test_an_entry_that_a_look_forgot_is_not_told_again(times: list[float], data: st.DataObject) -> None:
    log = entries_of([(when, 0.0, "l_a", 1) for when in times])
    forgotten = data.draw(st.sampled_from(log))
    reading = Reading.beginning(Position(at(-1)), at(-1))
    told = []
    for shown in (log, [one for one in log if one is not forgotten], log):
        fresh, reading = reading.after(shown)
        told += [one.event_id for one in fresh]
    assert told == [one.event_id for one in log]


# The same with all that belongs to it.


class SlowStore(MemoryDocuments):
    """Takes up to its time for a commit, and fills in the time at which it was asked."""

    def __init__(self, clock: LoopClock, chance: random.Random, slow_s: float) -> None:
        super().__init__(clock)
        self._chance = chance
        self._slow_s = slow_s

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        asked_at = self._clock.now()
        await asyncio.sleep(self._chance.choice((0.0, 0.01, 1.0)) * self._chance.random() * self._slow_s)
        return await super().commit(
            [
                replace(write, fields={**write.fields, "recorded_at": asked_at})
                if isinstance(write, Create) and "/events/" in write.path
                else write
                for write in writes
            ]
        )


class Listener:
    """Follows the events, breaks off in the middle, and comes back with what it heard last."""

    def __init__(self, live: LiveEvents, chance: random.Random, events: list[str]) -> None:
        self._live = live
        self._chance = chance
        self._events = events
        self._last = ""
        self.heard: list[dict[str, Any]] = []
        self.cuts = 0

    async def begin(self) -> None:
        stream = await self._open()
        self._last = stream.place or ""
        await stream.close()

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            stream = await self._open()
            try:
                await self._read(stream)
            finally:
                await stream.close()
            self.cuts += 1
            await asyncio.sleep(self._chance.random() * 20)

    async def _open(self) -> Stream:
        return await self._live.listen("anna", None, None, self._events, self._last)

    async def _read(self, stream: Stream) -> None:
        while (heard := await stream.next(15.0)) is not None:
            for one in heard.events:
                if self._chance.random() < 0.05:
                    return
                self.heard.append(one)
                self._last = one["id"]
            self._last = heard.place or self._last
            if self._chance.random() < 0.1:
                return


async def follow_all(seed: int, *, messages: int, chats: int, slow_s: float) -> tuple[list[Listener], list[str]]:
    chance, clock = random.Random(seed), LoopClock()
    store = SlowStore(clock, chance, slow_s)
    rendering = Rendering(lambda view: {"text": view.text, "chat": view.chat}, datetime.isoformat)
    feeder = WebhookFeeder(store, clock, MemoryWaker(), rendering)
    live = LiveEvents(store, clock, chance.randbytes)
    listeners = [Listener(live, random.Random(seed + n), names) for n, names in enumerate((["*"], ["*"], ["message"]))]
    for listener in listeners:
        await listener.begin()
    following = [asyncio.create_task(listener.follow()) for listener in listeners]

    async def trigger(path: str) -> None:
        await asyncio.sleep(chance.choice((0.0, 0.1, 30.0)) * chance.random())
        for _ in range(1 + (chance.random() < 0.2)):
            while True:
                try:
                    await feeder.message_changed("anna", path)
                    break
                except StoreUnavailable:  # The platform has it come again.
                    await asyncio.sleep(1)

    triggers = []
    for n in range(messages):
        chat = f"1415555010{chance.randrange(chats)}@s.whatsapp.net"
        heard = MessageHeard(n, f"W{n}", chat, "14155550123", None, False, "text", f"{n}", clock.now())
        write = history.heard_message("anna_shop", "anna", "shop", heard)
        await MemoryDocuments.commit(store, [write])
        triggers.append(asyncio.create_task(trigger(write.path)))
        await asyncio.sleep(chance.choice((0.0, 0.0, 3.0)) * chance.random())
    await asyncio.gather(*triggers)
    # One more, which the others are sure to be heard before.
    await asyncio.sleep(400)
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    written = [document.id for document in store.run_query(Query(log_path("anna"), limit=10_000))]
    return listeners, written


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.5, 15.0]), st.sampled_from([3, 500]))
@settings(max_examples=25, deadline=None)
def test_listeners_who_break_off_and_come_back_hear_every_event_once(seed: int, slow_s: float, page: int) -> None:
    messages = 60
    with patch.object(live_events, "PAGE", page):
        listeners, written = run_virtual(follow_all(seed, messages=messages, chats=4, slow_s=slow_s))
    assert len(written) == 2 * messages  # `message` and `message.any` of each
    for listener, expected in zip(listeners, (2 * messages, 2 * messages, messages), strict=True):
        assert listener.cuts >= 1
        ids = [one["id"] for one in listener.heard]
        assert len(ids) == len(set(ids)) == expected
        assert set(ids) <= set(written)
        for chat in {one["data"]["chat"] for one in listener.heard}:
            of_chat = [one for one in listener.heard if one["data"]["chat"] == chat and one["type"] == "message"]
            numbers = [int(one["data"]["text"]) for one in of_chat]
            assert numbers == sorted(numbers)


def test_a_stream_that_its_reader_has_forgotten_ends_by_itself() -> None:
    async def forget() -> tuple[int, object]:
        clock = LoopClock()
        store = MemoryDocuments(clock)
        live = LiveEvents(store, clock, random.Random(1).randbytes)
        stream = await live.listen("anna", None, None, ["*"], "")
        assert await stream.next(1.0) is not None
        await asyncio.sleep(listening.STREAM_GONE_S + 1)
        return live._open, await stream.next(1.0)

    assert run_virtual(forget()) == (0, None)
