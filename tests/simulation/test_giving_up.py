"""A device that gives up the right to send has fallen silent before anybody can know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from keepline.domain.link_events import Stalled
from keepline.ports.documents import Write
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT
from keepline.testing.virtual_time import run_virtual
from tests.simulation.world import FIRST, SECOND, World

LIMIT_S = 60.0


def test_the_socket_is_cut_before_the_right_is_given_up() -> None:
    async def story() -> list[bool]:
        world = World(Random(1), standby=True, bare=True)
        await world.start()
        process = world.boot(FIRST)
        await asyncio.sleep(5)
        world.boot(SECOND)
        await asyncio.sleep(5)
        silent: list[bool] = []
        honest = process.store.on_applied

        def look(writes: Sequence[Write]) -> None:
            honest(writes)
            if any(getattr(write, "fields", {}).get("yielded") for write in writes):
                silent.append(world.devices[FIRST_SLOT].link is None)

        process.store.on_applied = look
        assert world.voice == FIRST_SLOT
        process.links[-1].tell(Stalled())
        async with asyncio.timeout(LIMIT_S):
            while world.voice != SECOND_SLOT:  # noqa: ASYNC110 - virtual time, and nobody to tell us
                await asyncio.sleep(0.1)
        await world.stop()
        return silent

    assert run_virtual(story()) == [True]
