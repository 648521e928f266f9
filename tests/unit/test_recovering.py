"""Recoveries driven on the shipped fakes in virtual time: one at a time, on record before it is done, taken up after a crash."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from keepline.domain.recovery import Phase, Reason, Recovery, StepState, Way
from keepline.ports.documents import Put, Query, Update
from keepline.records import recoveries
from keepline.records.monitoring import MONITORING
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.recovery import Behaviour, MemoryRestarter
from keepline.testing.virtual_time import run_virtual
from keepline.usecases.recovering import Recoverer

TARGET = "connector_c1"


class World:
    """A connector c1 that is watched, beside another one, c2; and processes that recover it."""

    def __init__(self, ways: Mapping[Way, Behaviour] | None = None, attempts_max: Any = 3) -> None:
        self.clock = LoopClock()
        self.store = MemoryDocuments(self.clock)
        self.random = random.Random(7)
        self.platform = MemoryRestarter(ways or {way: Behaviour() for way in (Way.RESTART, Way.REDEPLOY)})
        self.attempts_max = attempts_max

    def process(self) -> Recoverer:
        settings = {"provider": "memory", "attempts_max": self.attempts_max}
        return Recoverer(
            self.store, self.clock, self.random.randbytes, {"memory": self.platform}, lambda _fields: settings
        )

    async def begin(self, state: str = "down") -> None:
        target = {"name": "c1", "kind": "connector", "connector": "c1", "state": state, "since": self.clock.now()}
        await self.store.commit([Put(f"uptime/{TARGET}", target)])
        await self.beat("c1", devices=2)

    async def becomes(self, state: str) -> None:
        await self.store.commit([Update(f"uptime/{TARGET}", {"state": state, "since": self.clock.now()})])

    async def beat(self, connector: str, devices: int = 0, **other: Any) -> None:
        device = {"evidence_kind": None, "evidence_age_ms": None, "queued": 0, "oldest_queued_at": None}
        fields = {
            "region": "r", "beat": 1, "at": self.clock.now(), "stopping": False, "process": "p", "ttl_s": 3600.0, "capacity": 10,
            "expired_by": None, "started_at": self.clock.now(), "drain": False,
            "devices": {f"a{number}_a": device for number in range(devices)},
        }  # fmt: skip
        await self.store.commit([Put(f"connectors/{connector}", fields | other)])

    def heals_after(self, way: Way, seconds: float = 2.0) -> None:
        """The target is healthy that long after the way is done."""

        def healed(_order: object) -> None:
            self.waiting = asyncio.create_task(self._heal(seconds))

        self.platform.ways[way].then = healed

    async def _heal(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.becomes("up")

    async def recoveries(self) -> list[Recovery]:
        documents = await self.store.query(recoveries.newest_recoveries(TARGET))
        return [recoveries.read_recovery(one) for one in reversed(documents)]

    async def only(self) -> Recovery:
        [found] = await self.recoveries()
        return found

    async def kinds(self) -> list[str]:
        return [one.fields["kind"] for one in await self.store.query(Query(MONITORING, order_by="at", limit=100))]


def steps(recovery: Recovery) -> dict[Way, StepState]:
    return {step.way: step.state for step in recovery.steps}


def test_the_first_way_that_makes_it_healthy_wins_and_the_other_is_called_off() -> None:
    async def main() -> None:
        world = World({Way.RESTART: Behaviour(2.0), Way.REDEPLOY: Behaviour(30.0)})
        world.heals_after(Way.RESTART)
        await world.begin()
        await world.process().recover(TARGET, Reason.DOWN)
        found = await world.only()
        assert (found.phase, found.winner) == (Phase.RECOVERED, Way.RESTART)
        assert steps(found) == {Way.RESTART: StepState.DONE, Way.REDEPLOY: StepState.CALLED_OFF}
        assert [order.way for order in world.platform.called_off] == [Way.REDEPLOY]
        assert (found.ended_at - found.opened_at).total_seconds() < 6  # type: ignore[operator]
        assert Counter(await world.kinds()) == {"recovery_started": 1, "recovery_step": 4, "recovered": 1}
        gate = world.store.peek(recoveries.gate_path(TARGET)).fields
        assert (gate["open"], gate["holder"], len(gate["attempts"])) == (False, None, 1)

    run_virtual(main())


def test_what_cannot_be_called_off_is_on_record_as_left_running() -> None:
    async def main() -> None:
        world = World({Way.RESTART: Behaviour(2.0), Way.REDEPLOY: Behaviour(30.0)})
        world.heals_after(Way.RESTART)
        world.platform.can_call_off = False
        await world.begin()
        await world.process().recover(TARGET, Reason.DOWN)
        assert steps(await world.only())[Way.REDEPLOY] is StepState.LEFT_RUNNING

    run_virtual(main())


def test_a_provider_that_breaks_ends_its_way_and_neither_the_other_one_nor_the_recovery() -> None:
    def breaks(_order: object) -> None:
        raise RuntimeError("secret-in-a-message")

    async def main() -> None:
        world = World({Way.RESTART: Behaviour(1.0, then=breaks), Way.REDEPLOY: Behaviour(3.0)})
        world.heals_after(Way.REDEPLOY)
        await world.begin()
        await world.process().recover(TARGET, Reason.DOWN)
        found = await world.only()
        assert (found.phase, found.winner) == (Phase.RECOVERED, Way.REDEPLOY)
        assert steps(found) == {Way.RESTART: StepState.FAILED, Way.REDEPLOY: StepState.DONE}
        assert [step.detail for step in found.steps if step.way is Way.RESTART] == ["RuntimeError"]

    run_virtual(main())


def test_never_two_recoveries_of_one_target_at_once() -> None:
    async def main() -> None:
        world = World()
        world.heals_after(Way.RESTART, 5.0)
        await world.begin()
        told = [world.process().recover(TARGET, Reason.DOWN) for _ in range(8)]
        await asyncio.gather(*told)
        assert len(await world.recoveries()) == 1
        assert sorted(order.way for order in world.platform.orders) == [Way.REDEPLOY, Way.RESTART]

    run_virtual(main())


def test_a_driver_at_work_is_left_alone_when_the_monitor_tells_again() -> None:
    async def main() -> None:
        world = World({Way.RESTART: Behaviour(20.0)})
        world.heals_after(Way.RESTART)
        await world.begin()
        driver = asyncio.create_task(world.process().recover(TARGET, Reason.DOWN))
        await asyncio.sleep(3.0)
        holder = world.store.peek(recoveries.gate_path(TARGET)).fields["holder"]
        await world.process().recover(TARGET, Reason.DOWN)
        await world.process().take_up()
        assert world.store.peek(recoveries.gate_path(TARGET)).fields["holder"] == holder
        await driver
        assert (await world.only()).winner is Way.RESTART

    run_virtual(main())


def test_a_crashed_recovery_is_taken_up_and_nothing_is_ordered_twice() -> None:
    async def main() -> None:
        world = World({Way.RESTART: Behaviour(20.0), Way.REDEPLOY: Behaviour(60.0)})
        world.heals_after(Way.RESTART)
        await world.begin()
        first = asyncio.create_task(world.process().recover(TARGET, Reason.DOWN))
        await asyncio.sleep(3.0)
        first.cancel()
        await world.process().take_up()  # Its lease is not over yet.
        assert (await world.only()).phase is Phase.TRYING
        await asyncio.sleep(20.0)
        await world.process().take_up()
        found = await world.only()
        assert (found.phase, found.winner, found.attempts) == (Phase.RECOVERED, Way.RESTART, 1)
        assert len(world.platform.orders) == 2

    run_virtual(main())


def test_a_driver_that_was_away_falls_silent_when_another_has_taken_up() -> None:
    async def main() -> None:
        world = World({Way.RESTART: Behaviour(300.0)})
        await world.begin()
        first = asyncio.create_task(world.process().recover(TARGET, Reason.DOWN))
        await asyncio.sleep(3.0)
        stolen = world.store.peek(recoveries.gate_path(TARGET))
        await world.store.commit([Update(stolen.path, {"holder": "another"}, stolen.version)])
        async with asyncio.timeout(20.0):
            await first
        assert world.store.peek(stolen.path).fields["holder"] == "another"

    run_virtual(main())


def test_attempts_are_limited_across_processes_and_it_is_told_once() -> None:
    async def main() -> None:
        world = World({Way.RESTART: Behaviour(1.0, StepState.FAILED)})
        await world.begin()
        for _ in range(50):  # The monitor tells of it every minute.
            await world.process().recover(TARGET, Reason.DOWN)
            await asyncio.sleep(60.0)
        assert len(world.platform.orders) == 3
        assert (await world.kinds()).count("recovery_failed") == 2  # It was used up, and was asked for again.
        await asyncio.sleep(1200.0)
        await world.process().recover(TARGET, Reason.DOWN)
        assert len(world.platform.orders) > 3

    run_virtual(main())


def test_a_long_pause_is_not_waited_for() -> None:
    async def main() -> None:
        world = World({Way.RESTART: Behaviour(1.0, StepState.FAILED)})
        await world.begin()
        async with asyncio.timeout(60.0):
            await world.process().recover(TARGET, Reason.DOWN)
        found = await world.only()
        assert (found.phase, found.attempts) == (Phase.COOLING, 2)
        await world.becomes("up")
        await world.process().take_up()
        assert (await world.only()).code == "came_back"

    run_virtual(main())


def test_a_degrading_connector_is_drained_restarted_and_takes_devices_again() -> None:
    async def main() -> None:
        world = World({Way.RESTART: Behaviour(5.0)})
        await world.begin("up")
        await world.beat("c2")
        going = asyncio.create_task(world.process().recover(TARGET, Reason.DEGRADING))
        await asyncio.sleep(10.0)
        assert world.store.peek("connectors/c1").fields["drain"] is True
        assert world.platform.orders == []  # Its devices are still with it.
        await world.beat("c1", devices=0, drain=True)
        await going
        assert [order.way for order in world.platform.orders] == [Way.RESTART]
        assert world.store.peek("connectors/c1").fields["drain"] is False
        assert (await world.only()).phase is Phase.RECOVERED

    run_virtual(main())


def test_a_predictive_restart_waits_for_a_standby_with_room_and_is_only_advised_without() -> None:
    async def main() -> None:
        world = World()
        await world.begin("up")
        await world.beat("c2", capacity=1)  # Room for one of two.
        for _ in range(3):
            await world.process().recover(TARGET, Reason.DEGRADING)
        assert (await world.only()).phase is Phase.ADVISED
        assert await world.kinds() == ["recovery_advised"]
        assert world.platform.orders == []
        assert world.store.peek("connectors/c1").fields["drain"] is False

    run_virtual(main())


@pytest.mark.parametrize("other", [{"drain": True}, {"stopping": True}], ids=["drained", "stopping"])
def test_a_connector_that_gives_its_own_devices_away_is_no_place_for_others(other: dict[str, Any]) -> None:
    async def main() -> None:
        world = World()
        await world.begin("up")
        await world.beat("c2", **other)
        await world.process().recover(TARGET, Reason.DEGRADING)
        assert (await world.only()).phase is Phase.ADVISED
        assert world.platform.orders == []

    run_virtual(main())


def test_a_connector_that_a_person_drains_is_left_to_that_person() -> None:
    async def main() -> None:
        world = World()
        await world.begin("up")
        await world.beat("c1", devices=0, drain=True)
        await world.beat("c2")
        await world.process().recover(TARGET, Reason.DEGRADING)
        assert (await world.only()).phase is Phase.ADVISED
        assert world.store.peek("connectors/c1").fields["drain"] is True

    run_virtual(main())


def test_a_driver_that_dies_while_draining_leaves_no_connector_drained() -> None:
    async def main() -> None:
        world = World({Way.RESTART: Behaviour(5.0)})
        await world.begin("up")
        await world.beat("c2")
        going = asyncio.create_task(world.process().recover(TARGET, Reason.DEGRADING))
        await asyncio.sleep(5.0)
        going.cancel()
        await asyncio.sleep(300.0)
        await world.process().take_up()
        assert world.store.peek("connectors/c1").fields["drain"] is False
        assert (await world.only()).code == "drain_timed_out"

    run_virtual(main())


@pytest.mark.parametrize(("typed", "attempts"), [(1, 1), (5, 5), ("5", 3), (0, 3), (11, 3), (True, 3), (None, 3)])
def test_a_limit_that_is_typed_wrongly_is_the_usual_one(typed: Any, attempts: int) -> None:
    async def main() -> None:
        world = World({Way.RESTART: Behaviour(1.0, StepState.FAILED)}, typed)
        await world.begin()
        for _ in range(40):
            await world.process().recover(TARGET, Reason.DOWN)
            await asyncio.sleep(60.0)
        assert len(world.platform.orders) == attempts

    run_virtual(main())


def test_a_target_that_nobody_restarts_is_left_alone() -> None:
    async def main() -> None:
        world = World()
        await world.begin()
        alone = Recoverer(world.store, world.clock, world.random.randbytes, {}, lambda _fields: None)
        await alone.recover(TARGET, Reason.DOWN)
        assert await world.recoveries() == []

    run_virtual(main())
