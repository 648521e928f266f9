"""Groups and contacts on the shipped fakes: the promises that the real parts keep as well, and what only fakes can show."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from keepline.domain.commands import Command
from keepline.domain.errors import KeeplineError, StateConflict, TooMany, Unavailable
from keepline.domain.rate_limits import Limit, ask
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.ports.documents import StoreConflict, StoreUnavailable, Version, Write
from keepline.records import accounts, commands
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp import FakeWhatsApp
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases.commanding import ANSWER_LIMIT_S, CommandDesk, Commands, by_account
from keepline.usecases.contacts import Contacts
from keepline.usecases.groups import GroupAnswer, Groups
from keepline.usecases.limiting import Limiter
from tests.group_promises import BEA, CAROL, DAN, OWN, PROMISES, SESSION, TENANT, Promise

ACCOUNT = f"{TENANT}_{SESSION}"


class LossyDocuments(MemoryDocuments):
    """A store that can be away, or apply a commit and lose its answer, which its client's repeat takes for somebody else's."""

    away: Callable[[Sequence[Write]], bool] = staticmethod(lambda writes: False)

    lose: Callable[[Sequence[Write]], bool] = staticmethod(lambda writes: False)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        if self.away(writes):
            raise StoreUnavailable("away")
        versions = await super().commit(writes)
        if self.lose(writes):
            raise StoreConflict("somebody else was there first")
        return versions


class Fake:
    """An installation on the fakes: one device, and a desk that hears of commands as the real one does."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.store = LossyDocuments(self.clock)
        self.whatsapp = FakeWhatsApp(self.clock, Random(1))
        self.link = FakeLink(self.whatsapp, self.whatsapp.add_device())
        for phone in (BEA, CAROL, DAN):
            self.whatsapp.groups.add_person(phone).asks_first = phone == DAN
        self.random = Random(2)
        asking = Commands(self.store, self.clock, self.random.randbytes, Limiter(self.store, self.clock))
        self.groups = Groups(asking)
        self.contacts = Contacts(self.store, self.clock, asking)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Fake]:
        """With a session, and a connected device that carries commands out."""
        await self.prepare()
        async with self.desk():
            yield self

    async def prepare(self) -> None:
        await self.store.commit(
            accounts.new_account(
                account=ACCOUNT, tenant=TENANT, session_id=SESSION, tag_key=bytes(32), status=WAITING_FOR_CONNECTOR
            )
        )
        await self.link.open()
        await self.link.connect()

    @asynccontextmanager
    async def desk(self, link: Any = None) -> AsyncIterator[None]:
        desk = CommandDesk(self.store, self.clock, link or self.link, "a", lambda: True)

        async def feed() -> None:
            async with self.store.watch(commands.open_commands((ACCOUNT,))) as watch:
                async for found in watch:
                    desk.ordered(by_account(found, [ACCOUNT])[ACCOUNT])

        tasks = [asyncio.create_task(feed()), asyncio.create_task(desk.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def create(self, key: str | None = "key-1", subject: str = "Walks") -> GroupAnswer:
        return await self.groups.create(TENANT, SESSION, subject, [BEA], key)

    @property
    def made(self) -> int:
        return len(self.whatsapp.groups.groups)

    # What the promises ask.

    async def lid(self, phone: str) -> str:
        return self.whatsapp.groups.people[phone].lid

    async def members(self, group: str) -> dict[str, bool]:
        return self.whatsapp.groups.groups[group].members

    async def made_by(self, phone: str, subject: str, members: list[str]) -> str:
        return self.whatsapp.groups.add_group(phone, subject, members)

    async def subject(self, group: str) -> str:
        return self.whatsapp.groups.groups[group].subject

    async def link_of(self, group: str) -> str:
        return self.whatsapp.groups.groups[group].link

    async def show(self, phone: str, about: str) -> None:
        person = self.whatsapp.groups.people[phone]
        person.about, person.picture = about, "https://pps.whatsapp.net/v/1.jpg"


class SlowLink:
    """WhatsApp takes its time; what it is asked is done at once."""

    def __init__(self, fake: Fake, takes_s: float) -> None:
        self._fake = fake
        self._takes_s = takes_s

    async def carry_out(self, command: Command) -> Any:
        outcome = await self._fake.link.carry_out(command)
        await asyncio.sleep(self._takes_s)
        return outcome


def told(story: Callable[[Fake], Awaitable[None]]) -> None:
    """Run a story with a connected device, in virtual time."""

    async def run() -> None:
        async with Fake().running() as fake:
            await story(fake)

    run_virtual(run())


async def refused(doing: Awaitable[object], kind: type[KeeplineError], code: str) -> None:
    with pytest.raises(kind) as error:
        await doing
    assert error.value.code == code


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_of_groups_on_the_fakes_holds_that(promise: Promise) -> None:
    told(promise)


def test_a_repeat_with_the_same_key_makes_no_second_group() -> None:
    async def story(fake: Fake) -> None:
        first = await fake.create()
        again = await fake.create()
        assert (first.replayed, again.replayed, again.charged) == (False, True, None)
        assert again.result == first.result
        assert fake.made == 1
        await refused(fake.create(subject="Runs"), StateConflict, "idempotency_mismatch")
        assert (await fake.create("key-2")).result["chat"] != first.result["chat"]

    told(story)


def test_repeats_at_the_same_moment_make_one_group() -> None:
    async def story(fake: Fake) -> None:
        answers = await asyncio.gather(*(fake.create() for _ in range(5)))
        assert len({answer.result["chat"] for answer in answers}) == fake.made == 1
        assert sorted(answer.replayed for answer in answers) == [False, True, True, True, True]

    told(story)


def test_what_a_device_began_before_it_died_is_unknown_and_not_done_again() -> None:
    async def story() -> None:
        fake = Fake()
        await fake.prepare()
        request = asyncio.create_task(fake.create())
        async with fake.desk(SlowLink(fake, 3600)):
            await asyncio.sleep(ANSWER_LIMIT_S / 2)
            assert fake.made == 1
        # Its process is gone in the middle, and another one goes on.
        async with fake.desk():
            await refused(request, Unavailable, "outcome_unknown")
            await refused(fake.create(), Unavailable, "outcome_unknown")
            assert fake.made == 1

    run_virtual(story())


def test_an_answer_that_comes_late_is_told_to_who_repeats() -> None:
    async def story() -> None:
        fake = Fake()
        await fake.prepare()
        async with fake.desk(SlowLink(fake, ANSWER_LIMIT_S + 10)):
            await refused(fake.create(), Unavailable, "outcome_unknown")
            await asyncio.sleep(15)
            answer = await fake.create()
            assert (answer.replayed, answer.result["subject"], fake.made) == (True, "Walks", 1)

    run_virtual(story())


def test_an_answer_that_comes_late_is_written_when_the_store_is_back() -> None:
    async def story() -> None:
        fake = Fake()
        await fake.prepare()

        def is_answer(writes: Sequence[Write]) -> bool:
            away = fake.clock.monotonic_s() < ANSWER_LIMIT_S + 15
            return away and any(getattr(write, "fields", {}).get("state") == "answered" for write in writes)

        fake.store.away = is_answer  # type: ignore[method-assign]
        async with fake.desk(SlowLink(fake, ANSWER_LIMIT_S + 10)):
            await refused(fake.create(), Unavailable, "outcome_unknown")
            await asyncio.sleep(20)
            assert (await fake.create()).replayed

    run_virtual(story())


def test_what_nobody_began_is_taken_back_and_a_repeat_does_it() -> None:
    async def story() -> None:
        fake = Fake()
        await fake.prepare()
        await refused(fake.create(), Unavailable, "not_carried_out")
        async with fake.desk():
            await asyncio.sleep(60)
            assert fake.made == 0
            assert not (await fake.create()).replayed
            assert fake.made == 1

    run_virtual(story())


def test_a_command_whose_asker_died_before_anybody_began_it_is_asked_anew() -> None:
    async def story() -> None:
        fake = Fake()
        await fake.prepare()
        request = asyncio.create_task(fake.create())
        await asyncio.sleep(1)
        request.cancel()
        await asyncio.sleep(60)
        async with fake.desk():
            assert not (await fake.create()).replayed
            assert fake.made == 1

    run_virtual(story())


def test_of_two_devices_that_hear_of_a_change_one_carries_it_out() -> None:
    async def story() -> None:
        fake = Fake()
        await fake.prepare()
        async with fake.desk(), fake.desk():
            await fake.create(None)
            await asyncio.sleep(60)
            assert fake.made == 1

    run_virtual(story())


def test_a_beginning_that_may_not_have_been_written_is_none() -> None:
    async def story(fake: Fake) -> None:
        def is_beginning(writes: Sequence[Write]) -> bool:
            return any(getattr(write, "fields", {}).get("state") == "begun" for write in writes)

        fake.store.lose = is_beginning  # type: ignore[method-assign]
        await refused(fake.create(), Unavailable, "outcome_unknown")
        assert fake.made == 0

    told(story)


def test_what_was_certainly_not_done_may_be_repeated_with_its_key() -> None:
    async def story(fake: Fake) -> None:
        fake.link.drop(5)
        await refused(fake.create(), StateConflict, "not_connected")
        await asyncio.sleep(30)
        assert not (await fake.create()).replayed
        assert fake.made == 1

    told(story)


def test_without_a_key_nothing_is_kept() -> None:
    async def story(fake: Fake) -> None:
        await fake.create(None)
        assert fake.store.run_query(commands.left_over(fake.clock.now() + timedelta(days=9), 10)) == []
        await fake.create()
        [kept] = fake.store.run_query(commands.left_over(fake.clock.now() + timedelta(days=9), 10))
        assert kept.fields["kept_until"] - fake.clock.now() > timedelta(hours=23)

    told(story)


def test_groups_are_changed_no_faster_than_the_limit() -> None:
    async def story(fake: Fake) -> None:
        for _ in range(10):
            await fake.create(None)
        await refused(fake.create(None), TooMany, "rate_limited")
        assert fake.made == 10
        await asyncio.sleep(61)
        await fake.create(None)

    told(story)


def test_an_answer_about_a_contact_holds_for_a_day_and_costs_once() -> None:
    async def story(fake: Fake) -> None:
        def asked() -> int:
            return len(fake.whatsapp.carried_out)

        first = await fake.contacts.check(TENANT, SESSION, [BEA, f"+{BEA}", CAROL])
        assert first.charged is not None
        assert (asked(), first.charged.verdict.remaining) == (1, 48)
        again = await fake.contacts.check(TENANT, SESSION, [CAROL, BEA])
        assert (asked(), again.charged) == (1, None)
        assert [one.phone for one in again.contacts] == [CAROL, BEA]
        await asyncio.sleep(86_400)
        await fake.contacts.check(TENANT, SESSION, [BEA])
        assert asked() == 2

    told(story)


def test_numbers_are_looked_up_no_faster_than_the_limit() -> None:
    async def story(fake: Fake) -> None:
        many = [f"1415555{number:04d}" for number in range(60)]
        await fake.contacts.check(TENANT, SESSION, many[:45])
        await refused(fake.contacts.check(TENANT, SESSION, many[45:51]), TooMany, "rate_limited")
        checked = await fake.contacts.check(TENANT, SESSION, many[45:50])
        assert checked.charged is not None
        assert checked.charged.verdict.remaining == 0

    told(story)


def test_several_uses_at_once_never_pass_the_limit() -> None:
    limit = Limit("l", 60, 60.0, 10, uses_max=10)
    now = LoopClock.now  # The origin is all that is taken from it.

    async def story() -> None:
        at = now(LoopClock())
        full = ask(limit, 0, None, at, 10)
        assert (full.allowed, full.remaining) == (True, 0)
        early = ask(limit, 0, full.whole_at, at + timedelta(seconds=3), 4)
        assert (early.allowed, early.remaining, round(early.retry_after_s, 3)) == (False, 3, 1.0)
        assert ask(limit, 0, full.whole_at, at + timedelta(seconds=4), 4).allowed
        # More than there ever is uses all that there is.
        assert ask(limit, 0, None, at, 99).allowed
        assert not ask(limit, 0, full.whole_at, at + timedelta(seconds=9), 99).allowed

    run_virtual(story())


def test_the_fakes_number_is_ours() -> None:
    assert Fake().whatsapp.groups.own == OWN
