"""The offer of a standby, and the refusal of another number's, in virtual time with the real connector around them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from random import Random

from keepline.domain.link_events import Connected, MessageHeard, Paired
from keepline.domain.standby import OFFER_AFTER_S
from keepline.ports.documents import Query, Update
from keepline.records import accounts, outbox
from keepline.records.accounts import Account
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp import OUR_PHONE
from keepline.testing.whatsapp_link import FakeLink
from tests.simulation.processes import ACCOUNT
from tests.simulation.world import FIRST, SECOND, World

LIMIT_S = 120.0
OTHER_PHONE = "14155550199"
CHAT = "14155550123@s.whatsapp.net"


async def account(world: World) -> Account:
    document = await world.documents.get(accounts.account_path(ACCOUNT))
    assert document is not None
    return Account.read(document)


async def until(look: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    async with asyncio.timeout(limit_s):
        while not look():  # noqa: ASYNC110 - virtual seconds, and nobody to tell us
            await asyncio.sleep(0.1)


def is_connected(world: World) -> bool:
    return "connected" in world.states()


def test_a_standby_is_offered_once_the_first_device_has_been_up_for_30_seconds() -> None:
    async def story() -> None:
        world = World(Random(1))
        await world.start()
        world.boot()
        await until(lambda: is_connected(world))
        up_since = world.clock.now()
        await asyncio.sleep(OFFER_AFTER_S - 3)
        assert (await account(world)).standby_offered_at is None
        await asyncio.sleep(6)
        offered_at = (await account(world)).standby_offered_at
        assert offered_at is not None
        assert abs((offered_at - up_since).total_seconds() - OFFER_AFTER_S) < 3
        # It costs one write: no device, no session, no code.
        assert world.documents.run_query(accounts.pairings_of((ACCOUNT,))) == []
        assert len(world.documents.run_query(accounts.devices_of_account(ACCOUNT))) == 1
        version = (await account(world)).version
        await asyncio.sleep(3_600)
        assert (await account(world)).version == version
        await world.stop()

    run_virtual(story())


def test_a_break_of_the_connection_begins_the_30_seconds_anew() -> None:
    async def story() -> None:
        world = World(Random(2))
        await world.start()
        world.boot()
        for _ in range(4):
            await until(lambda: is_connected(world))
            await asyncio.sleep(OFFER_AFTER_S * 2 / 3)
            world.drop_socket(back_in_s=2)
            await until(lambda: not is_connected(world))
        assert (await account(world)).standby_offered_at is None
        await until(lambda: is_connected(world))
        back_at = world.clock.now()
        await asyncio.sleep(OFFER_AFTER_S + 3)
        offered_at = (await account(world)).standby_offered_at
        assert offered_at is not None
        assert offered_at - back_at >= timedelta(seconds=OFFER_AFTER_S - 3)
        await world.stop()

    run_virtual(story())


def test_what_is_off_is_not_offered() -> None:
    async def story() -> None:
        world = World(Random(3))
        await world.start()
        await world.documents.commit([accounts.decline_standby(ACCOUNT)])
        world.boot()
        await asyncio.sleep(300)
        assert is_connected(world)
        assert (await account(world)).standby_offered_at is None
        await world.stop()

    run_virtual(story())


def test_an_account_that_has_a_standby_is_offered_none() -> None:
    async def story() -> None:
        world = World(Random(4), standby=True)
        await world.start()
        world.boot_all()
        await asyncio.sleep(300)
        assert world.states() == ["connected"] * 3
        assert (await account(world)).standby_offered_at is None
        await world.stop()

    run_virtual(story())


def test_an_offer_is_made_in_spite_of_a_store_that_fails_and_of_others_who_write_meanwhile() -> None:
    async def story() -> None:
        world = World(Random(5))
        await world.start()
        world.boot()
        await until(lambda: is_connected(world))
        await asyncio.sleep(OFFER_AFTER_S - 3)
        world.store.trouble = 0.7
        await asyncio.sleep(20)
        world.store.trouble = 0.0
        await asyncio.sleep(OFFER_AFTER_S * 3)
        assert (await account(world)).standby_offered_at is not None
        await world.stop()

    run_virtual(story())


def test_a_standby_that_another_numbers_phone_has_linked_is_unlinked_and_neither_sends_nor_records() -> None:
    async def story() -> None:
        world = World(Random(6), standby=True)
        await world.start()
        await world.documents.commit([Update(accounts.account_path(ACCOUNT), {"phone": OUR_PHONE})])
        world.boot(FIRST)
        await until(lambda: is_connected(world))

        def link_with_another_phone(link: FakeLink) -> None:
            said = MessageHeard(
                1, "IN1", CHAT, "14155550123", None, False, "text", "for somebody else", world.clock.now()
            )
            link.tell(Paired(OTHER_PHONE, None, 1))
            link.tell(said)
            login = Connected(OTHER_PHONE, None)
            asyncio.get_running_loop().call_later(10, link.tell, login)

        world.whatsapp.on_connect = link_with_another_phone
        world.boot(SECOND)
        await until(lambda: world.documents.run_query(accounts.devices_of_account(ACCOUNT))[-1].id == "a")
        assert (await account(world)).standby_refused_at is not None
        assert (await account(world)).wanted
        assert world.documents.run_query(Query("messages", limit=1, group=True)) == []
        authority = outbox.Authority.read(world.documents.run_query(outbox.authorities_of((ACCOUNT,)))[0])
        assert authority.slot == "a"
        await world.stop()

    run_virtual(story())
