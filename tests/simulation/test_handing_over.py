"""A clean stop: what it does in which order, and to whom its devices go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from keepline.ports.documents import Write
from keepline.records import accounts, connectors, outbox
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT
from keepline.testing.virtual_time import run_virtual
from keepline.usecases.speaking import HAND_OVER_LIMIT_S
from tests.simulation.processes import ACCOUNT, Process
from tests.simulation.world import FIRST, SECOND, World

OTHER = "connector-3"
CHAT = "ada@s.whatsapp.net"
TAKEN_WITHIN_S = 1.0


def writes_of(process: Process) -> list[tuple[str, dict[str, Any]]]:
    """What it writes from now on: paths and fields."""
    seen: list[tuple[str, dict[str, Any]]] = []
    honest = process.store.on_applied

    def look(writes: Sequence[Write]) -> None:
        honest(writes)
        seen.extend((write.path, dict(getattr(write, "fields", {}))) for write in writes)

    process.store.on_applied = look
    return seen


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - virtual time, and nobody to tell us
            await asyncio.sleep(0.01)


async def joined_by(other: str, *, standby: bool = False) -> tuple[World, Process]:
    """A world whose first connector has what there is when another one comes; and that first connector."""
    world = World(Random(1), standby=standby)
    await world.start()
    process = world.boot(FIRST)
    await asyncio.sleep(5)
    world.boot(other)
    await asyncio.sleep(5)
    return world, process


async def ends_well(world: World) -> None:
    await world.until_settled()
    await world.stop()
    assert await world.complaints() == []


async def stopped(world: World, process: Process) -> list[tuple[str, dict[str, Any]]]:
    """All that it writes while it stops, with what is on its way to WhatsApp."""
    for n in range(3):
        await world.accept(f"out {n}", CHAT)
    seen = writes_of(process)
    await process.terminate()
    return seen


def test_a_lone_device_is_given_to_another_connector_without_first_being_anybodys() -> None:
    async def story() -> None:
        world, process = await joined_by(OTHER)
        seen = await stopped(world, process)
        device = accounts.device_path(ACCOUNT, FIRST_SLOT)
        assert [fields["connector"] for path, fields in seen if path == device and "connector" in fields] == [OTHER]
        await asyncio.sleep(TAKEN_WITHIN_S)
        assert world.devices[FIRST_SLOT].link is not None
        await ends_well(world)

    run_virtual(story())


def test_a_lone_device_that_moves_takes_with_it_what_it_hears_until_its_socket_is_cut() -> None:
    async def story() -> None:
        world, process = await joined_by(OTHER)
        world.whatsapp.late_answer, world.whatsapp.late_answer_s_max = 1.0, 3.0
        before = world.whatsapp.sequence
        await world.accept("out", CHAT)
        await until(lambda: world.whatsapp.sequence > before)  # It is on its way.
        stopping = asyncio.create_task(process.terminate())
        await until(lambda: bool(world.whatsapp.shown))
        world.say("in", CHAT)
        await stopping
        assert not world.machines[FIRST].folder(FIRST_SLOT).journal
        await ends_well(world)

    run_virtual(story())


def test_the_lease_is_given_back_when_all_else_is_done() -> None:
    async def story() -> None:
        world, process = await joined_by(SECOND, standby=True)
        assert world.voice == FIRST_SLOT
        seen = await stopped(world, process)
        kinds = []
        for path, fields in seen:
            if path == outbox.authority_path(ACCOUNT) and fields.get("yielded"):
                assert world.devices[FIRST_SLOT].link is None
                kinds.append("right")
            elif path == accounts.device_path(ACCOUNT, FIRST_SLOT) and "connector" in fields:
                kinds.append("device")
            elif path == connectors.connector_path(FIRST) and fields.get("stopping"):
                kinds.append("lease")
        assert kinds == ["right", "device", "lease"]
        await asyncio.sleep(TAKEN_WITHIN_S)
        assert world.voice == SECOND_SLOT
        await ends_well(world)

    run_virtual(story())


def test_a_standby_does_not_wait_for_answers_that_do_not_come() -> None:
    async def story() -> None:
        world, process = await joined_by(SECOND, standby=True)
        world.whatsapp.lose_answer, world.whatsapp.recipients_are_off = 1.0, True
        await world.accept("out", CHAT)
        await asyncio.sleep(0.5)
        stopping = asyncio.create_task(process.terminate())
        await asyncio.sleep(HAND_OVER_LIMIT_S + TAKEN_WITHIN_S)
        assert world.voice == SECOND_SLOT
        world.whatsapp.lose_answer = 0.0
        await stopping
        await ends_well(world)

    run_virtual(story())


def test_a_device_that_is_told_twice_to_stop_is_let_go_of() -> None:
    """The lease can be lost while a device is being given away. Its folder must not stay held: nobody could open it again."""

    async def story() -> list[bool]:
        let_go = []
        for ticks in range(1, 40):
            world = World(Random(ticks), bare=True)
            await world.start()
            process = world.boot(FIRST)
            await asyncio.sleep(5)
            assert process.task is not None
            for _ in range(ticks):
                process.task.cancel()
                await asyncio.sleep(0.03)
            await asyncio.wait([process.task])
            let_go.append(process.links[-1].closed)
            await world.stop()
        return let_go

    assert all(run_virtual(story()))
