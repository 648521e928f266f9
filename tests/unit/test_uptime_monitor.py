"""Runs of the uptime monitor on the shipped fakes, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from itertools import count, groupby
from typing import Any

import pytest

from keepline.domain.uptime_checks import State, Verdict
from keepline.ports.documents import Delete, Document, Query, StoreUnavailable, Update, Version, Write
from keepline.ports.uptime_probes import Found
from keepline.records import connectors, uptime, uptime_runs
from keepline.records.connectors import Beater
from keepline.records.monitoring import MONITORING
from keepline.records.uptime import HttpCheck, Outage, Settings, Target
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.uptime_probes import REFUSES, MemoryProbe
from keepline.testing.virtual_time import run_virtual
from keepline.usecases.neighbours import Neighbours
from keepline.usecases.uptime import UptimeMonitor
from keepline.usecases.uptime_headers import HeaderSealer
from keepline.usecases.webhook_sealing import WebhookSealer

API = "http://api"
HEALTH = f"{API}/health"
SHOP = "https://shop.example.com/health"
TTL_S = 3.0


class Watch:
    """An installation with its monitor, and what recovery was told."""

    def __init__(self, api_url: str | None = API) -> None:
        self.clock = LoopClock()
        self.store = MemoryDocuments(self.clock)
        self.ours, self.others = MemoryProbe(), MemoryProbe()
        self.writes: Counter[str] = Counter()
        commit = self.store.commit

        async def counting(writes: Sequence[Write]) -> list[Version]:
            self.writes.update(write.path for write in writes)
            return await commit(writes)

        self.store.commit = counting  # type: ignore[method-assign]
        self.told: list[tuple[str, str]] = []
        self.api_url = api_url
        self.beating: dict[str, asyncio.Task[None]] = {}
        numbers = count(1)

        def entropy(size: int) -> bytes:
            return next(numbers).to_bytes(size, "big")

        self.headers = HeaderSealer(WebhookSealer(MemoryKeys(), entropy))
        self._entropy = entropy
        self.react_s = 0.0

    def monitor(self) -> UptimeMonitor:
        """Of a process of its own."""
        return UptimeMonitor(
            self.store, self.clock, self._entropy, self.ours, self.others, self.headers, self.api_url, self._react
        )

    async def _react(self, target: str, verdict: Verdict, _at: datetime) -> None:
        self.told.append((target, verdict.value))
        await asyncio.sleep(self.react_s)

    def start_run(self) -> asyncio.Task[bool]:
        return asyncio.create_task(self.monitor().watch())

    async def runs(self, minutes: int) -> None:
        """The schedule, in its time."""
        running = []
        for _ in range(minutes):
            running.append(self.start_run())
            await asyncio.sleep(60)
        await asyncio.gather(*running)

    async def add_url(self, target: str, url: str, preset: str = "balanced") -> None:
        check = HttpCheck(url, "GET", (200,), None)
        new = uptime.new_target(
            target, self.clock.now(), name=target, kind=uptime.URL, settings=Settings(preset), check=check
        )
        await self.store.commit([new])

    def beat(self, connector: str) -> None:
        """Beats every second from now on."""

        async def keep() -> None:
            beater = Beater(connector, "r1", f"process-{self.clock.monotonic_s()}", TTL_S, 10, self.clock.now())
            before = await self.store.get(connectors.connector_path(connector))
            version = before.version if before else None
            for number in count(1):
                [version] = await self.store.commit([beater.write_beat(number, {}, stopping=False, version=version)])
                await asyncio.sleep(1)

        self.beating[connector] = asyncio.create_task(keep())

    def kill(self, connector: str) -> None:
        self.beating.pop(connector).cancel()

    async def stop(self, connector: str) -> None:
        self.kill(connector)
        await self.store.commit([Update(connectors.connector_path(connector), {"stopping": True})])

    def target(self, name: str) -> Target:
        return Target.read(self.store.peek(uptime.target_path(name)))

    def state(self, name: str) -> State:
        return self.target(name).condition.state

    def outages(self, name: str) -> list[Outage]:
        found = self.in_collection(f"{uptime.target_path(name)}/{uptime.OUTAGES}")
        return sorted(map(Outage.read, found), key=lambda one: one.began_at)

    def gaps(self, name: str) -> list[tuple[float, str]]:
        found = self.in_collection(f"{uptime.target_path(name)}/{uptime.GAPS}")
        return [
            ((one.fields["until_at"] - one.fields["from_at"]).total_seconds(), one.fields["reason"]) for one in found
        ]

    def events(self) -> list[str]:
        return [document.fields["kind"] for document in self.in_collection(MONITORING)]

    def in_collection(self, collection: str) -> list[Document]:
        return self.store.run_query(Query(collection, limit=1_000))

    def now_s(self) -> float:
        return self.clock.monotonic_s()

    def s(self, at: datetime | None) -> float:
        """A time of the record, in seconds of the loop."""
        assert at is not None
        return self.now_s() - (self.clock.now() - at) / timedelta(seconds=1)


async def until(condition: Callable[[], bool], limit_s: float) -> float:
    """Wait for it, and return how long that took."""
    for waited in range(round(limit_s * 20)):
        if condition():
            return waited / 20
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {limit_s} s")


def story(tell: Callable[[Watch], Awaitable[Any]], **options: Any) -> None:
    async def told() -> None:
        watch = Watch(**options)
        await tell(watch)
        for task in watch.beating.values():
            task.cancel()

    run_virtual(told())


def test_connectors_and_the_api_are_watched_without_anybodys_saying_so() -> None:
    async def tell(watch: Watch) -> None:
        watch.beat("connector-1")
        watch.beat("connector-2")
        await watch.runs(2)
        for target in ("api", "connector_connector-1", "connector_connector-2"):
            assert watch.state(target) is State.UP
        assert watch.told == [(target, "up") for target in sorted({one for one, _ in watch.told})]
        assert watch.gaps("api") == []

    story(tell)


def test_checks_come_at_their_interval_and_a_target_costs_few_writes() -> None:
    async def tell(watch: Watch) -> None:
        await watch.runs(10)
        asked = len(watch.ours.asked)
        assert asked >= 10 * 60 / 3 - 10
        assert watch.target("api").today.checks == asked
        assert watch.target("api").today.watched_s == pytest.approx(600, abs=5)
        # One for each run, and its first state. That the run goes on is said nine times a minute, for all targets together.
        assert watch.writes["uptime/api"] <= 10 + 3
        assert watch.writes["uptime_runs/current"] <= 10 * 9

    story(tell)


def test_a_killed_connector_is_down_within_5_s_and_its_outage_begins_with_its_last_heartbeat() -> None:
    async def tell(watch: Watch) -> None:
        watch.beat("connector-1")
        running = asyncio.create_task(watch.runs(3))
        for _ in range(4):
            await asyncio.sleep(17.3)
            killed_s = watch.now_s()
            watch.kill("connector-1")
            took_s = await until(lambda: watch.state("connector_connector-1") is State.DOWN, 10)
            assert took_s <= 5
            outage = watch.outages("connector_connector-1")[-1]
            assert killed_s - 1.01 <= watch.s(outage.began_at) <= killed_s
            await asyncio.sleep(6)
            back_s = watch.now_s()
            watch.beat("connector-1")
            await until(lambda: watch.state("connector_connector-1") is State.UP, 10)
            outage = watch.outages("connector_connector-1")[-1]
            assert back_s <= watch.s(outage.ended_at) <= back_s + 5
        await running
        told = [verdict for target, verdict in watch.told if target != "api"]
        # A run that begins while it is down tells so again.
        assert [verdict for verdict, _ in groupby(told)] == ["up", *["down", "up"] * 4]

    story(tell)


def test_an_api_that_hangs_is_down_within_5_s() -> None:
    async def tell(watch: Watch) -> None:
        running = asyncio.create_task(watch.runs(2))
        for offset in (20.1, 21.4, 22.9):
            await asyncio.sleep(offset)
            watch.ours.takes_s[HEALTH] = 60
            hung_s = watch.now_s()
            assert await until(lambda: watch.state("api") is State.DOWN, 10) <= 5.1
            assert hung_s <= watch.s(watch.outages("api")[-1].began_at) <= hung_s + 3
            watch.ours.takes_s.clear()
            await until(lambda: watch.state("api") is State.UP, 10)
        await running

    story(tell)


def test_one_slow_target_never_delays_another() -> None:
    async def tell(watch: Watch) -> None:
        for number in range(30):
            await watch.add_url(f"u_slow{number}", f"https://slow{number}.example.com", "conservative")
            watch.others.takes_s[f"https://slow{number}.example.com"] = 1_000
        await watch.add_url("u_shop", SHOP)
        await watch.runs(1)
        assert sum(question.url == SHOP for question in watch.others.asked) == 12
        assert watch.state("u_shop") is State.UP
        assert watch.state("u_slow29") is State.DOWN

    story(tell)


def test_two_runs_never_watch_at_once() -> None:
    async def tell(watch: Watch) -> None:
        first = watch.start_run()
        await asyncio.sleep(1)
        others = [watch.start_run() for _ in range(3)]
        assert await asyncio.gather(*others) == [False] * 3
        assert await first is True
        assert len(watch.ours.asked) == 20

    story(tell)


def test_a_run_that_crashes_frees_its_turn_and_the_time_is_a_gap() -> None:
    async def tell(watch: Watch) -> None:
        await watch.runs(1)
        crashing = watch.start_run()
        await asyncio.sleep(2)
        # Killed, not cancelled: it writes nothing more.
        commit, killed = watch.store.commit, True

        async def dead(writes: Any) -> Any:
            if killed:
                raise StoreUnavailable("it is dead")
            return await commit(writes)

        watch.store.commit = dead  # type: ignore[method-assign]
        crashing.cancel()
        await asyncio.wait([crashing])
        killed = False
        # The platform tells its message again at once.
        again = watch.start_run()
        await until(lambda: len(watch.ours.asked) > 22, 25)
        assert watch.gaps("api") == []  # Less than half a minute.
        await again

        crashing = watch.start_run()
        await asyncio.sleep(30)
        killed = True
        crashing.cancel()
        await asyncio.wait([crashing])
        killed = False
        await asyncio.sleep(30)
        assert await watch.start_run() is True
        [(gap_s, reason)] = watch.gaps("api")
        assert 30 <= gap_s <= 62
        assert reason == "no_run"
        assert "run_missed" in watch.events()

    story(tell)


def test_a_run_that_was_held_up_stops_when_another_one_watches() -> None:
    async def tell(watch: Watch) -> None:
        first = watch.start_run()
        await asyncio.sleep(10)
        await watch.store.commit([Update(uptime_runs.PATH, {"until_at": watch.clock.now()})])
        second = watch.start_run()
        assert await first is False
        asked = len(watch.ours.asked)
        assert await second is True
        assert len(watch.ours.asked) - asked >= 15
        assert watch.target("api").today.watched_s == pytest.approx(watch.now_s(), abs=25)

    story(tell)


def test_minutes_without_a_run_are_a_gap_and_an_event_and_no_uptime() -> None:
    async def tell(watch: Watch) -> None:
        await watch.runs(2)
        await asyncio.sleep(300)
        await watch.runs(1)
        [(gap_s, reason)] = watch.gaps("api")
        assert (round(gap_s / 10), reason) == (30, "no_run")
        assert watch.events().count("run_missed") == 1
        assert watch.target("api").today.watched_s == pytest.approx(180, abs=6)

    story(tell)


def test_a_run_that_is_a_little_late_leaves_no_gap() -> None:
    async def tell(watch: Watch) -> None:
        await watch.runs(1)
        await asyncio.sleep(15)
        await watch.runs(1)
        assert watch.gaps("api") == []
        assert "run_missed" not in watch.events()

    story(tell)


def test_an_outage_goes_on_over_runs_and_is_told_again_in_each() -> None:
    async def tell(watch: Watch) -> None:
        await watch.runs(1)
        watch.ours.found[HEALTH] = REFUSES
        await watch.runs(3)
        [outage] = watch.outages("api")
        assert outage.ended_at is None
        assert watch.told.count(("api", "down")) == 3
        watch.ours.found.clear()
        await watch.runs(1)
        [outage] = watch.outages("api")
        assert outage.ended_at is not None
        assert 60 <= watch.s(outage.began_at) < 64
        assert 240 <= watch.s(outage.ended_at) < 244
        assert watch.events().count("outage_began") == watch.events().count("outage_ended") == 1

    story(tell)


def test_an_outage_between_two_runs_that_a_neighbour_saw_is_on_record_with_its_begin() -> None:
    async def tell(watch: Watch) -> None:
        watch.beat("connector-1")
        watch.beat("connector-2")
        await watch.runs(1)
        neighbours = Neighbours(watch.store, watch.clock, "connector-2", lambda: None)
        observing = asyncio.create_task(neighbours.run())
        await asyncio.sleep(5)
        killed_s = watch.now_s()
        watch.kill("connector-1")
        await until(lambda: bool(watch.outages("connector_connector-1")), 4)
        [outage] = watch.outages("connector_connector-1")
        assert outage.detected_by == "connector-2"
        assert killed_s - 1.01 <= watch.s(outage.began_at) <= killed_s
        await asyncio.sleep(10)
        watch.beat("connector-1")
        back_s = watch.now_s()
        await asyncio.sleep(20)
        assert watch.outages("connector_connector-1")[0].ended_at is None  # Nobody watched.
        await watch.runs(1)
        [outage] = watch.outages("connector_connector-1")
        assert back_s <= watch.s(outage.ended_at)
        assert watch.state("connector_connector-1") is State.UP
        observing.cancel()

    story(tell)


def test_the_monitor_and_a_neighbour_put_one_outage_on_record_once() -> None:
    async def tell(watch: Watch) -> None:
        watch.beat("connector-1")
        watch.beat("connector-2")
        neighbours = Neighbours(watch.store, watch.clock, "connector-2", lambda: None)
        observing = asyncio.create_task(neighbours.run())
        running = asyncio.create_task(watch.runs(1))
        for pause_s in (7.1, 6.4, 8.3):
            await asyncio.sleep(pause_s)
            watch.kill("connector-1")
            await asyncio.sleep(5)
            watch.beat("connector-1")
        await running
        assert len(watch.outages("connector_connector-1")) == 3
        assert all(outage.ended_at is not None for outage in watch.outages("connector_connector-1"))
        observing.cancel()

    story(tell)


def test_a_connector_that_was_silent_between_two_looks_is_closed_in_the_same_run() -> None:
    async def tell(watch: Watch) -> None:
        watch.beat("connector-1")
        watch.beat("connector-2")
        running = asyncio.create_task(watch.runs(1))
        await asyncio.sleep(10)
        beat = connectors.ConnectorBeat.read(watch.store.peek("connectors/connector-1"))
        watch.kill("connector-1")
        await watch.store.commit([connectors.expire(beat, "connector-2")])
        await watch.store.commit([uptime.lease_ran_out(beat, "connector-2")])
        watch.beat("connector-1")
        await asyncio.sleep(7)
        [outage] = watch.outages("connector_connector-1")
        assert outage.ended_at is not None
        assert outage.ended_at - outage.began_at < timedelta(seconds=5)
        await running

    story(tell)


def test_a_connector_that_stops_on_purpose_has_no_outage() -> None:
    async def tell(watch: Watch) -> None:
        watch.beat("connector-1")
        running = asyncio.create_task(watch.runs(3))
        await asyncio.sleep(20)
        await watch.stop("connector-1")
        await asyncio.sleep(60)
        assert watch.state("connector_connector-1") is State.UNKNOWN
        assert watch.target("connector_connector-1").condition.code == "stopped"
        watch.beat("connector-1")
        await running
        assert watch.outages("connector_connector-1") == []
        assert [reason for _, reason in watch.gaps("connector_connector-1")] == ["stopped"]

    story(tell)


def test_a_target_that_is_switched_off_is_not_asked_and_its_outage_ends() -> None:
    async def tell(watch: Watch) -> None:
        await watch.add_url("u_shop", SHOP)
        watch.others.found[SHOP] = Found("bad_status", 12)
        await watch.runs(1)
        assert watch.state("u_shop") is State.DOWN
        await watch.store.commit([uptime.changed_settings(watch.target("u_shop"), {"enabled": False})])
        asked = len(watch.others.asked)
        await watch.runs(1)
        assert len(watch.others.asked) == asked
        assert (watch.state("u_shop"), watch.target("u_shop").condition.code) == (State.UNKNOWN, "disabled")
        assert watch.outages("u_shop")[0].ended_at is not None

    story(tell)


def test_what_its_operator_changes_during_a_run_is_kept() -> None:
    async def tell(watch: Watch) -> None:
        await watch.add_url("u_shop", SHOP)
        running = watch.start_run()
        await asyncio.sleep(20)
        await watch.store.commit([uptime.changed_settings(watch.target("u_shop"), {"name": "The shop"})])
        await running
        assert watch.target("u_shop").name == "The shop"
        assert watch.target("u_shop").today.checks == 12

    story(tell)


def test_a_target_that_is_deleted_during_a_run_is_gone() -> None:
    async def tell(watch: Watch) -> None:
        await watch.add_url("u_shop", SHOP)
        running = watch.start_run()
        await asyncio.sleep(20)
        await watch.store.commit([Delete(uptime.target_path("u_shop"))])
        assert await running is True
        assert await watch.store.get(uptime.target_path("u_shop")) is None

    story(tell)


def test_a_reaction_that_takes_long_delays_no_check_and_is_not_begun_twice() -> None:
    async def tell(watch: Watch) -> None:
        watch.react_s = 30
        running = watch.start_run()
        await asyncio.sleep(31)
        watch.ours.found[HEALTH] = REFUSES
        await asyncio.sleep(10)
        watch.ours.found.clear()
        await until(lambda: watch.state("api") is State.UP, 10)
        await running
        assert watch.told == [("api", "up"), ("api", "down"), ("api", "up")]
        assert len(watch.ours.asked) >= 20

    story(tell)


def test_a_reaction_that_fails_harms_nothing() -> None:
    async def tell(watch: Watch) -> None:
        async def fail(target: str, verdict: Verdict, _at: datetime) -> None:
            raise RuntimeError("no")

        monitor = watch.monitor()
        monitor._react = fail
        assert await monitor.watch() is True
        assert watch.state("api") is State.UP

    story(tell)


def test_store_trouble_in_a_run_loses_no_outage() -> None:
    async def tell(watch: Watch) -> None:
        running = watch.start_run()
        await asyncio.sleep(10)
        commit, down = watch.store.commit, True

        async def shaky(writes: Any) -> Any:
            if down:
                raise StoreUnavailable("a bad day")
            return await commit(writes)

        watch.store.commit = shaky  # type: ignore[method-assign]
        watch.ours.found[HEALTH] = REFUSES
        failing_s = watch.now_s()
        await asyncio.sleep(15)
        down = False
        await asyncio.sleep(5)
        [outage] = watch.outages("api")
        assert failing_s <= watch.s(outage.began_at) <= failing_s + 3
        await running

    story(tell)


def test_a_day_that_is_over_has_a_document_of_its_own() -> None:
    async def tell(watch: Watch) -> None:
        await asyncio.sleep(86_400 - 120)
        await watch.runs(4)
        [day] = watch.in_collection("uptime/api/days")
        assert day.id == "2026-01-01"
        assert day.fields["checks"] + watch.target("api").today.checks == len(watch.ours.asked)
        assert watch.target("api").today.day.isoformat() == "2026-01-02"

    story(tell)


def test_headers_are_sealed_in_the_store_and_sent_in_clear() -> None:
    async def tell(watch: Watch) -> None:
        headers = {"Authorization": "Bearer very-secret"}
        check = HttpCheck(SHOP, "GET", (200,), None, tuple(headers))
        secrets = await watch.headers.seal("u_shop", SHOP, headers)
        new = uptime.new_target(
            "u_shop", watch.clock.now(), name="s", kind=uptime.URL, settings=Settings(), check=check, secrets=secrets
        )
        await watch.store.commit([new])
        await watch.runs(1)
        assert watch.others.asked[0].headers == headers
        assert "very-secret" not in repr(watch.store.peek("uptime/u_shop").fields)
        assert "very-secret" not in repr(watch.others.asked[0])

    story(tell)


def test_headers_that_cannot_be_opened_make_no_outage() -> None:
    async def tell(watch: Watch) -> None:
        check = HttpCheck(SHOP, "GET", (200,), None, ("Authorization",))
        secrets = await watch.headers.seal("u_shop", "https://other.example.com", {"Authorization": "x"})
        new = uptime.new_target(
            "u_shop", watch.clock.now(), name="s", kind=uptime.URL, settings=Settings(), check=check, secrets=secrets
        )
        await watch.store.commit([new])
        await watch.runs(1)
        assert watch.state("u_shop") is State.UNKNOWN
        assert watch.target("u_shop").condition.code == "secrets_unreadable"
        assert watch.others.asked == []

    story(tell)


def test_without_an_address_the_api_is_not_watched() -> None:
    async def tell(watch: Watch) -> None:
        await watch.runs(1)
        assert watch.in_collection(uptime.UPTIME) == []
        assert watch.store.peek(uptime_runs.PATH)

    story(tell, api_url=None)
