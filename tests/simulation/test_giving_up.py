"""A device that gives up the right to send has fallen silent before anybody can know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from keepline.domain.link_events import Stalled
from keepline.ports.documents import Write
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT
from keepline.records.outbox import OUTBOX, Authority, authority_path
from keepline.testing.virtual_time import run_virtual
from tests.simulation.world import ACCOUNT, FIRST, SECOND, World

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


def test_a_device_that_stops_gives_the_right_with_its_last_settle() -> None:
    """One commit for both: what the other device waits for is one answer of WhatsApp and one of Firestore."""

    async def story() -> list[tuple[bool, int]]:
        world = World(Random(2), standby=True, bare=True)
        await world.start()
        process = world.boot(FIRST)
        await asyncio.sleep(5)
        world.boot(SECOND)
        await asyncio.sleep(5)
        assert world.voice == FIRST_SLOT
        yields: list[tuple[bool, int]] = []
        honest = process.store.on_applied

        def look(writes: Sequence[Write]) -> None:
            honest(writes)
            [authority] = [write for write in writes if getattr(write, "fields", {}).get("yielded")] or [None]
            if authority is not None:
                settled = [write for write in writes if write.path.startswith(f"{OUTBOX}/")]
                yields.append((bool(authority.fields["claims"]), len(settled)))

        process.store.on_applied = look
        for n in range(3):
            await world.accept(f"text {n}", f"1415555010{n}@s.whatsapp.net")
        async with asyncio.timeout(LIMIT_S):
            while await claimed(world) < 3:  # noqa: ASYNC110 - virtual time, and nobody to tell us
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # They are handed over, and the first answers are on their way.
        await world.terminate(FIRST)
        await world.stop()
        return yields

    assert run_virtual(story()) == [(False, 3)]


def test_the_socket_is_cut_first_when_something_is_in_doubt() -> None:
    """What has no answer may stand in the library's buffers, which it empties on its next connection."""

    async def story() -> list[bool]:
        world = World(Random(3), standby=True, bare=True)
        await world.start()
        process = world.boot(FIRST)
        await asyncio.sleep(5)
        world.whatsapp.lose_answer, world.whatsapp.recipients_are_off = 1.0, True
        accepted = await world.accept("out", "14155550100@s.whatsapp.net")
        async with asyncio.timeout(2 * LIMIT_S):
            while await state(world, accepted) != "in_doubt":  # noqa: ASYNC110 - virtual time, and nobody to tell us
                await asyncio.sleep(0.1)
            world.boot(SECOND)
            while world.devices[SECOND_SLOT].link is None:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert await state(world, accepted) == "in_doubt"
        silent: list[bool] = []
        honest = process.store.on_applied

        def look(writes: Sequence[Write]) -> None:
            honest(writes)
            if any(getattr(write, "fields", {}).get("yielded") for write in writes):
                silent.append(world.devices[FIRST_SLOT].link is None)

        process.store.on_applied = look
        await world.terminate(FIRST)
        await world.stop()
        return silent

    assert run_virtual(story()) == [True]


async def state(world: World, message_id: str) -> str:
    document = await world.documents.get(f"{OUTBOX}/{message_id}")
    assert document is not None
    return str(document.fields["state"])


async def claimed(world: World) -> int:
    document = await world.documents.get(authority_path(ACCOUNT))
    return len(Authority.read(document).message_ids()) if document is not None else 0
