"""A pace that is changed while the connector runs, and what of it outlives a process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

from keepline.domain.standby import StandbySetting
from keepline.records import accounts
from keepline.records.accounts import Account, Device
from keepline.testing.virtual_time import run_virtual
from tests.simulation.processes import ACCOUNT
from tests.simulation.world import World

STRANGERS = [f"1415555015{n}@s.whatsapp.net" for n in range(3)]
# Longer than any pause between two messages, and shorter than the minute of a share.
A_WHILE_S = 15.0


async def pace(world: World, pacing: str) -> None:
    """What the API does for a change of a session's settings."""
    document = await world.documents.get(accounts.account_path(ACCOUNT))
    assert document is not None
    account = Account.read(document)
    devices = [Device.read(found) for found in world.documents.run_query(accounts.devices_of_account(ACCOUNT))]
    settings = replace(account.settings, pacing=pacing)
    await world.documents.commit(
        accounts.changed_settings(account, devices, account.on_doubt, StandbySetting.OFF, settings)
    )


async def connected(world: World) -> None:
    async with asyncio.timeout(60):
        while set(world.states()) != {"connected"}:  # noqa: ASYNC110 - virtual time, and nobody to tell us
            await asyncio.sleep(0.1)


async def share_used_up() -> World:
    """A number whose pace was `off`, with messages for three strangers, of whom two have theirs."""
    world = World(Random(5))
    await world.start()
    world.boot_all()
    await connected(world)
    await pace(world, "normal")
    await asyncio.sleep(1)
    for chat in STRANGERS:
        await world.accept(f"hello {chat}", chat)
    await asyncio.sleep(A_WHILE_S)
    assert len(world.whatsapp.shown) == 2, "a running connector follows the change"
    return world


def test_a_new_process_goes_on_with_what_the_minute_has_had() -> None:
    async def story() -> None:
        world = await share_used_up()
        world.kill()
        world.boot()
        await connected(world)
        await asyncio.sleep(A_WHILE_S)
        assert len(world.whatsapp.shown) == 2
        await world.until_settled()
        assert await world.complaints() == []
        await world.stop()

    run_virtual(story())


def test_who_writes_to_us_is_no_stranger_any_more() -> None:
    async def story() -> None:
        world = await share_used_up()
        waiting = next(chat for chat in STRANGERS if chat not in {shown.chat for shown in world.whatsapp.shown})
        world.say("are you open?", waiting)
        await asyncio.sleep(A_WHILE_S)
        assert len(world.whatsapp.shown) == 3
        await world.stop()

    run_virtual(story())
