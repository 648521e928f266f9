"""Where devices live, in virtual time: capacities, draining, a region that is lost and comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from keepline.domain.placement import BETTER_MOVES_MAX
from keepline.domain.session import SessionState
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT
from keepline.testing.virtual_time import run_virtual
from keepline.usecases import speaking
from keepline.usecases.adopting import OTHERS_TURN_S
from keepline.usecases.balancing import ROUND_S, SETTLE_S
from tests.simulation.fleet import CHAT, Fleet
from tests.simulation.processes import Machine

WEST, EAST, NORTH = "connector-1", "connector-2", "connector-3"
START_S = 30.0
# A send takes up to two seconds here, far more than in truth (keepline.testing.whatsapp); a gap is what comes on top.
SEND_S = 2.0
# A device that moves alone settles what is on its way, and is restored and logged in elsewhere.
MOVE_S = 5.0
LONG_S = 120.0
# Of WhatsApp, at most: half of that at the mean, and less than a move waits.
SLOW_ANSWER_S = 4.0
CHAT_WAITS = 10


def machines(west: int = 20, east: int = 20, north: int = 0) -> list[Machine]:
    three = [Machine(WEST, "west", west), Machine(EAST, "east", east), Machine(NORTH, "north", north)]
    return [machine for machine in three if machine.capacity]


@asynccontextmanager
async def talking(fleet: Fleet) -> AsyncIterator[None]:
    """Each account sends now and then, until the end of this; then everything has arrived, once."""

    async def talk(account: str) -> None:
        number = 0
        while True:
            await fleet.accept(account, f"{account} says {number}")
            number += 1
            await asyncio.sleep(fleet.random.uniform(2.0, 4.0))

    talkers = [asyncio.create_task(talk(account)) for account in fleet.whatsapp]
    yield
    for talker in talkers:
        talker.cancel()
    await fleet.until_sent()
    assert fleet.shown() == sorted(fleet.accepted.values())


async def fleet_of(among: list[Machine], pairs: int, singles: int, seed: int) -> Fleet:
    """Accounts with a standby, their first devices in the west and the others in the east, and ones without, in the west."""
    fleet = Fleet(Random(seed), among)
    for number in range(pairs):
        await fleet.add(f"pair{number}", WEST, EAST)
    for number in range(singles):
        await fleet.add(f"single{number}", WEST)
    for machine in among:
        fleet.boot(machine.name)
    await asyncio.sleep(START_S)
    assert fleet.connected() == 2 * pairs + singles
    return fleet


@pytest.mark.parametrize("seed", range(3))
def test_a_drained_connector_gives_all_its_devices_away_and_nothing_is_lost_or_doubled(seed: int) -> None:
    async def story() -> None:
        fleet = await fleet_of(machines(north=20), pairs=3, singles=0, seed=seed)
        async with talking(fleet):
            await asyncio.sleep(START_S)
            await fleet.drain(WEST)
            await fleet.until(lambda: not fleet.held()[WEST])
            await asyncio.sleep(START_S)
            assert fleet.connected() == 6
            assert fleet.held() == {EAST: 3, NORTH: 3}
            assert fleet.processes[WEST].connector.draining
            # Not even when it is the only one with room.
            await fleet.add("new", "")
            await asyncio.sleep(START_S)
            assert fleet.held()[WEST] == 0
            await fleet.drain(WEST, wanted=False)
            await fleet.until(lambda: fleet.held()[WEST] > 0)
        assert max(fleet.gaps_s()) < SEND_S + MOVE_S
        await fleet.stop()

    run_virtual(story())


@pytest.mark.parametrize("both_at", [(WEST, EAST), (WEST, WEST)], ids=["apart", "together"])
def test_while_a_connector_is_drained_one_device_of_an_account_is_connected_at_any_time(
    both_at: tuple[str, str],
) -> None:
    async def story() -> None:
        fleet = Fleet(Random(1), machines())
        await fleet.add("pair", *both_at)
        for name in set(both_at):
            fleet.boot(name)
        await asyncio.sleep(START_S)
        await fleet.drain(WEST)
        if EAST not in both_at:
            fleet.boot(EAST)
        while fleet.held()[WEST] or fleet.connected() < 2:
            assert fleet.connected() > 0
            await asyncio.sleep(0.01)
        assert fleet.held() == {EAST: 2}
        await fleet.stop()

    run_virtual(story())


def test_a_device_without_a_standby_is_away_for_seconds_when_its_connector_is_drained() -> None:
    async def story() -> None:
        fleet = await fleet_of(machines(), pairs=0, singles=4, seed=1)
        async with talking(fleet):
            await fleet.drain(WEST)
            await fleet.until(lambda: not fleet.held()[WEST])
        assert max(fleet.gaps_s()) < SEND_S + MOVE_S
        await fleet.stop()

    run_virtual(story())


def test_a_drained_connector_keeps_and_runs_what_nobody_has_room_for() -> None:
    async def story() -> None:
        fleet = await fleet_of(machines(east=3), pairs=0, singles=5, seed=1)
        await fleet.drain(WEST)
        await fleet.until(lambda: fleet.held() == {WEST: 2, EAST: 3})
        async with talking(fleet):
            await asyncio.sleep(LONG_S)
        assert fleet.connected() == 5
        assert fleet.held() == {WEST: 2, EAST: 3}
        assert fleet.most_held[EAST] == 3
        await fleet.stop()

    run_virtual(story())


def test_a_drained_connector_takes_nothing_even_if_nobody_else_is_there() -> None:
    async def story() -> None:
        fleet = Fleet(Random(1), machines(east=0))
        fleet.boot(WEST)
        await asyncio.sleep(1)
        await fleet.drain(WEST)
        await fleet.add("single", "")
        await asyncio.sleep(LONG_S)
        assert fleet.holder("single") == ""
        await fleet.drain(WEST, wanted=False)
        await fleet.until(lambda: fleet.connected() == 1, MOVE_S)
        await fleet.stop()

    run_virtual(story())


@pytest.mark.parametrize("seed", range(3))
def test_two_connectors_that_are_drained_into_a_third_at_the_same_time_do_not_overfill_it(seed: int) -> None:
    async def story() -> None:
        fleet = Fleet(Random(seed), machines(north=5))
        for number in range(8):
            await fleet.add(f"single{number}", (WEST, EAST)[number % 2])
        for name in fleet.machines:
            fleet.boot(name)
        await asyncio.sleep(1)
        await asyncio.gather(fleet.drain(WEST), fleet.drain(EAST))
        await fleet.until(lambda: fleet.held()[NORTH] == 5)
        await asyncio.sleep(LONG_S)
        assert fleet.connected() == 8
        assert fleet.held()[NORTH] == fleet.most_held[NORTH] == 5
        await fleet.stop()

    run_virtual(story())


def test_a_device_that_was_given_beyond_the_capacity_is_not_started_and_goes_back() -> None:
    async def story() -> None:
        fleet = Fleet(Random(1), machines(west=2, east=1))
        for account in ("single0", "single1", "single2"):
            await fleet.add(account, EAST)  # As if two others had given it one each at the same moment.
        fleet.boot(WEST)
        fleet.boot(EAST)
        # At once, long before any balancing.
        await fleet.until(lambda: fleet.held() == {WEST: 2, EAST: 1}, SETTLE_S / 2)
        await fleet.until(lambda: fleet.connected() == 3)
        assert fleet.most_held == {WEST: 2, EAST: 1}
        await fleet.stop()

    run_virtual(story())


@pytest.mark.parametrize("seed", range(5))
def test_new_devices_are_spread_by_capacity_and_what_finds_no_room_waits_and_is_taken_when_there_is(seed: int) -> None:
    async def story() -> None:
        fleet = Fleet(Random(seed), machines(west=4, east=2))
        fleet.boot(WEST)
        fleet.boot(EAST)
        await asyncio.sleep(1)
        await asyncio.gather(*(fleet.add(f"single{number}", "") for number in range(8)))
        await asyncio.sleep(LONG_S)
        assert fleet.held() == {WEST: 4, EAST: 2, "": 2}
        waiting = [device for device in fleet.all_devices() if not device.connector]
        assert {(one.state, one.reason_code) for one in waiting} == {(SessionState.STARTING, "waiting_for_connector")}
        assert fleet.most_held == {WEST: 4, EAST: 2}
        fleet.machines[NORTH] = Machine(NORTH, "north", 9)
        fleet.boot(NORTH)
        await fleet.until(lambda: fleet.connected() == 8)
        await fleet.stop()

    run_virtual(story())


def test_what_the_planned_connector_leaves_another_one_takes_after_a_while() -> None:
    async def story() -> None:
        fleet = await fleet_of(machines(), pairs=0, singles=3, seed=1)
        await fleet.until(lambda: fleet.held() == {WEST: 2, EAST: 1})
        fleet.processes[EAST].store.deaf = True  # It renews its lease and hears of nothing.
        await fleet.add("new", "")
        took_s = await fleet.until(lambda: fleet.holder("new") == WEST)
        assert OTHERS_TURN_S <= took_s < OTHERS_TURN_S + 1
        await fleet.stop()

    run_virtual(story())


def test_what_waits_is_taken_when_another_session_is_deleted() -> None:
    async def story() -> None:
        fleet = Fleet(Random(1), machines(west=2, east=0))
        fleet.boot(WEST)
        await asyncio.sleep(1)
        for number in range(3):
            await fleet.add(f"single{number}", "")
            await asyncio.sleep(START_S)
        assert fleet.holder("single2") == ""
        await fleet.delete("single0")
        await fleet.until(lambda: fleet.holder("single2") == WEST)
        assert fleet.most_held[WEST] == 2
        await fleet.stop()

    run_virtual(story())


@pytest.mark.parametrize("seed", range(3))
def test_a_lost_region_moves_within_the_capacity_of_the_others_and_comes_back_gradually(seed: int) -> None:
    async def story() -> None:
        fleet = await fleet_of(machines(west=10, east=7), pairs=4, singles=2, seed=seed)
        assert fleet.held() == {WEST: 6, EAST: 4}
        async with talking(fleet):
            fleet.cut(WEST)
            # Who has no device left comes before who has another one.
            await fleet.until(lambda: fleet.held() == {WEST: 3, EAST: 7})
            assert {fleet.holder("single0"), fleet.holder("single1")} == {EAST}
            await asyncio.sleep(LONG_S)
            assert fleet.held() == {WEST: 3, EAST: 7}
            assert fleet.most_held[EAST] == 7

            fleet.mend(WEST)
            moved_at_s: list[float] = []
            before = fleet.held()
            while before != {WEST: 6, EAST: 4}:
                await asyncio.sleep(0.05)
                if (now := fleet.held()) != before:
                    moved_at_s += [fleet.clock.monotonic_s()] * (now[WEST] - before[WEST])
                    before = now
                assert fleet.clock.monotonic_s() < 3_600
            rounds = Counter(int((at_s - moved_at_s[0]) / ROUND_S) for at_s in moved_at_s)
            assert len(rounds) > 1
            assert max(rounds.values()) <= BETTER_MOVES_MAX
            await fleet.until(lambda: fleet.connected() == 10)
            for number in range(4):
                assert {fleet.holder(f"pair{number}", slot) for slot in (FIRST_SLOT, SECOND_SLOT)} == {WEST, EAST}
        await fleet.stop()

    run_virtual(story())


def test_a_device_that_steps_aside_lets_the_other_one_of_its_account_send() -> None:
    async def story() -> None:
        fleet = await fleet_of(machines(), pairs=1, singles=0, seed=1)
        assert fleet.sends("pair0") == FIRST_SLOT
        await fleet.processes[WEST].connector.step_aside("pair0", FIRST_SLOT)
        fleet.processes[WEST].link_of("pair0", FIRST_SLOT).leave_cell()
        await fleet.until(lambda: fleet.sends("pair0") == SECOND_SLOT, MOVE_S)
        await fleet.until(lambda: fleet.connected() == 2, MOVE_S)
        await fleet.stop()

    run_virtual(story())


async def change_cells(fleet: Fleet) -> None:
    """All devices, one after another, five times."""
    for _ in range(5):
        for name, process in fleet.processes.items():
            for account, slot in [one.name for one in fleet.all_devices() if one.connector == name]:
                await process.connector.step_aside(account, slot)
                process.link_of(account, slot).leave_cell()
                await asyncio.sleep(fleet.random.uniform(0, 5))


@pytest.mark.parametrize("seed", range(3))
def test_devices_that_change_their_cells_under_load_lose_and_double_nothing(seed: int) -> None:
    async def story() -> None:
        fleet = await fleet_of(machines(), pairs=2, singles=2, seed=seed)
        async with talking(fleet):
            await change_cells(fleet)
        assert fleet.connected() == 6
        # The other device takes over, or this one is back soon: nobody waits for a person or a failed message.
        assert max(fleet.gaps_s()) < SEND_S + MOVE_S
        await fleet.stop()

    run_virtual(story())


@pytest.mark.parametrize("limit_s", [0.01, 0.1, 0.5])
def test_nor_when_stepping_aside_takes_longer_than_anybody_waits(
    limit_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking, "STEP_ASIDE_LIMIT_S", limit_s)

    async def story() -> None:
        fleet = await fleet_of(machines(), pairs=2, singles=2, seed=1)
        async with talking(fleet):
            await change_cells(fleet)
            await fleet.until(lambda: fleet.connected() == 6)
        await fleet.stop()

    run_virtual(story())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", ["changes its cell", "is given away"])
def test_a_lone_device_that_moves_waits_for_one_answer_and_leaves_nothing_in_doubt(how: str, seed: int) -> None:
    """However many messages its chat has waiting, and how slow WhatsApp is: no phone is on to say what came of a doubt."""

    async def story() -> None:
        fleet = await fleet_of(machines(), pairs=0, singles=1, seed=seed)
        whatsapp = fleet.whatsapp["single0"]
        whatsapp.recipients_are_off = True
        whatsapp.late_answer, whatsapp.late_answer_s_max = 1.0, SLOW_ANSWER_S
        for number in range(CHAT_WAITS):
            await fleet.accept("single0", f"single0 says {number}")
        await fleet.until(lambda: len(fleet.shown()) == 1)
        if how == "changes its cell":
            process = fleet.processes[WEST]
            await process.connector.step_aside("single0", FIRST_SLOT)
            process.link_of("single0", FIRST_SLOT).leave_cell()
        else:
            await fleet.drain(WEST)
            await fleet.until(lambda: fleet.holder("single0") == EAST)
        whatsapp.late_answer = 0.0
        assert len(fleet.shown()) < CHAT_WAITS
        await fleet.until_sent()
        assert fleet.shown() == sorted(fleet.accepted.values())
        assert fleet.ever_in_doubt() == []
        await fleet.stop()

    run_virtual(story())


@pytest.mark.parametrize("slow", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_what_a_lone_device_hears_while_it_is_given_away_is_not_left_behind(seed: int, slow: float) -> None:
    """Neither messages nor receipts: WhatsApp does not tell them again, and the next machine has another disk."""

    async def story() -> None:
        fleet = await fleet_of(machines(), pairs=0, singles=1, seed=seed)
        whatsapp = fleet.whatsapp["single0"]
        whatsapp.late_answer, whatsapp.late_answer_s_max = slow, SLOW_ANSWER_S
        said: list[str] = []

        async def say() -> None:
            while fleet.holder("single0") == WEST:
                said.append(f"in {len(said)}")
                whatsapp.write(said[-1], CHAT)
                if len(said) % 3 == 0:
                    await fleet.accept("single0", f"single0 says {len(said)}")
                await asyncio.sleep(0.1)

        saying = asyncio.create_task(say())
        await asyncio.sleep(SEND_S)
        await fleet.drain(WEST)
        await saying
        await fleet.until_sent()
        await fleet.until(lambda: fleet.outbox_states() == {"delivered"})
        assert sorted(fleet.history("single0")) == sorted(said)
        await fleet.stop()

    run_virtual(story())
