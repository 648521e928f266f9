"""A device's session in virtual time: processes that crash at every commit, disks that burn, two holders at once.

The device counts: each step is a row of its store, and the commit that acknowledges step n is the one that makes the row durable.
So whoever opens the session must find a store that knows at least the step that the documents say was acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

import pytest

from keepline.domain import compaction
from keepline.domain.compaction import RestorePolicy
from keepline.ports.documents import Create, Put, StoreConflict, StoreUnavailable, Version
from keepline.ports.keys import KeyUnavailable
from keepline.ports.session_file import Captured
from keepline.records import session_docs
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.session_file import FakeSessionDisk, MemorySessionFile
from keepline.testing.severed import SeveredDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.usecases import session_chain, session_store
from keepline.usecases.session_keeping import FLUSH_DELAY_S, SWEEP_EVERY_S, Opened, SessionKeeper, SessionLost, Step
from keepline.usecases.session_store import list_sessions, restore_session

ACCOUNT = "demo_s1"
ACKNOWLEDGED = "things/acknowledged"
COMMITS_WATCHED_MAX = 60


@pytest.fixture(autouse=True)
def _small_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version every few steps, so that crashes hit that, too."""
    monkeypatch.setattr(compaction, "SEGMENTS_MAX", 6)


class Process:
    """One life of a connector that runs the device on a disk."""

    def __init__(self, world: World, disk: FakeSessionDisk, holder: str) -> None:
        self.world = world
        self.disk = disk
        self.store = SeveredDocuments(world.documents, world.random)
        self.store.trouble = world.trouble
        self.keeper = SessionKeeper(
            self.store,
            world.clock,
            world.keys,
            MemorySessionFile(disk),
            world.random.randbytes,
            account=ACCOUNT,
            tenant="demo",
            slot="a",
            holder=holder,
            policy=RestorePolicy.REFUSE,
        )
        self.opened: Opened | None = None
        self.task = asyncio.create_task(self.run())

    def kill(self) -> None:
        """kill -9: nothing that the process meant to do still happens."""
        self.store.cut()
        self.task.cancel()

    async def run(self) -> None:
        acknowledged, _ = await self.world.acknowledged()
        while self.opened is None:
            try:
                self.opened = await self.keeper.open(acknowledged, ())
            except StoreUnavailable:
                await asyncio.sleep(0.5)
        await self.world.check(self)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.keeper.run())
            tasks.create_task(self.work())

    async def work(self) -> None:
        """One step after another, each acknowledged; and now and then something changes that nobody waits for."""
        if not self.disk.linked:
            self.disk.linked = True
        step = int(self.disk.get("step") or b"0")
        while True:
            await asyncio.sleep(self.world.random.uniform(0, 0.4))
            if self.world.random.random() < 0.3:
                self.disk.put("background", self.world.random.randbytes(4))
                self.keeper.poke()
            step += 1
            self.disk.put("step", str(step).encode())
            await self.acknowledge(step)

    async def acknowledge(self, step: int) -> None:
        def acknowledging(durable: Step) -> Put:
            return Put(ACKNOWLEDGED, {"sequence": durable.sequence, "step": step})

        for _ in range(1_000):
            try:
                versions = await self.keeper.commit([Put("things/step", {"n": step})], acknowledging=acknowledging)
            except StoreUnavailable:
                await asyncio.sleep(0.1)
            else:
                assert len(versions) == 2
                self.world.committed(self)
                return
        raise AssertionError("the store never answered")


class World:
    """Start it inside a virtual loop. `random` decides everything that is left to chance."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.clock = LoopClock()
        self.documents = MemoryDocuments(self.clock)
        self.keys = MemoryKeys()
        self.disk = FakeSessionDisk()
        self.processes: list[Process] = []
        self.complaints: list[str] = []
        self.opens: list[str] = []
        self.taken_at = 0  # the newest place in the chain where somebody took the session
        self.trouble = 0.0

    def boot(self, disk: FakeSessionDisk | None = None) -> Process:
        self.disk = disk or self.disk
        self.processes.append(Process(self, self.disk, f"connector-{len(self.processes)}"))
        return self.processes[-1]

    async def acknowledged(self) -> tuple[int, int]:
        document = await self.documents.get(ACKNOWLEDGED)
        return (0, 0) if document is None else (document.fields["sequence"], document.fields["step"])

    async def check(self, process: Process) -> None:
        """What must hold when a session was opened."""
        assert process.opened is not None
        sequence, step = await self.acknowledged()
        self.opens.append(process.opened.kind)
        self.taken_at = max(self.taken_at, process.opened.sequence)
        if int(process.disk.get("step") or b"0") < step:
            self.complaints.append(f"{process.opened} knows less than step {step}")
        if process.opened.sequence <= sequence:
            self.complaints.append(f"{process.opened} is not after {sequence}")

    def committed(self, process: Process) -> None:
        assert process.opened is not None
        if process.opened.sequence < self.taken_at < process.keeper.step.sequence:
            self.complaints.append(f"a commit of {process.opened} came through after another had taken the session")

    async def until_acknowledged(self, more: int) -> None:
        """Until some more steps are acknowledged."""
        _, before = await self.acknowledged()
        async with asyncio.timeout(600):
            while (await self.acknowledged())[1] < before + more:  # noqa: ASYNC110 - virtual seconds
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """The end of the world, and what can be restored of it."""
        for process in self.processes:
            process.kill()
        ends = await asyncio.gather(*(process.task for process in self.processes), return_exceptions=True)
        self.complaints += [f"a process ended with {end!r}" for end in ends if not is_lawful(end)]
        sequence, step = await self.acknowledged()
        restored = await restore_session(self.documents, self.keys, ACCOUNT, "a", acknowledged=sequence)
        assert restored is not None
        disk = FakeSessionDisk()
        await MemorySessionFile(disk).rebuild(restored.snapshot, restored.changes, ())
        if int(disk.get("step") or b"0") < step:
            self.complaints.append(f"what is left knows less than step {step}")


def is_lawful(end: object) -> bool:
    """A killed process, or one that learnt that it holds the session no more."""
    if isinstance(end, BaseExceptionGroup):
        return end.split((SessionLost, asyncio.CancelledError))[1] is None
    return isinstance(end, asyncio.CancelledError | SessionLost)


async def crash_at_commit(number: int, *, after: bool, disk_lost: bool, seed: int) -> tuple[list[str], bool]:
    """A device is linked and works; its process dies before or after its commit `number`, and another takes over."""
    world = World(Random(seed))
    process = world.boot()
    crashed = asyncio.Event()

    def crash(commit: int) -> None:
        if commit == number and not crashed.is_set():
            crashed.set()
            process.kill()

    if after:
        process.store.after_commit = crash
    else:
        process.store.before_commit = crash
    async with asyncio.timeout(600):
        await crashed.wait()
    if disk_lost:
        world.boot(FakeSessionDisk())
    else:
        world.boot()
    await world.until_acknowledged(10)
    await world.stop()
    return world.complaints, "local" in world.opens


@pytest.mark.parametrize("disk_lost", [False, True], ids=["same-disk", "disk-lost"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_commit_loses_nothing_that_was_acknowledged(after: bool, disk_lost: bool) -> None:
    went_on = 0
    for number in range(1, COMMITS_WATCHED_MAX):
        complaints, local = run_virtual(crash_at_commit(number, after=after, disk_lost=disk_lost, seed=number))
        assert complaints == [], f"crash {'after' if after else 'before'} commit {number}"
        went_on += local
    # The same disk is not read back from the store, but for the first few commits, when nothing is saved yet.
    assert went_on == 0 if disk_lost else went_on > COMMITS_WATCHED_MAX - 10


async def bad_minutes(seed: int) -> World:
    """Ten minutes of kills, burnt disks and take-overs while the earlier process lives on; the store fails one call in thirty."""
    world = World(Random(seed))
    world.trouble = 0.03
    world.boot()
    loop = asyncio.get_running_loop()
    while loop.time() < 600:
        await asyncio.sleep(world.random.expovariate(1 / 8))
        match world.random.choice(["kill", "burn", "take over", "return"]):
            case "kill":
                world.processes[-1].kill()
                world.boot()
            case "burn":
                world.processes[-1].kill()
                world.boot(FakeSessionDisk())
            case "take over":
                world.boot(FakeSessionDisk())
            case "return":
                # An earlier machine is back with its disk, and nobody has told the present one.
                earlier = world.random.choice(world.processes)
                earlier.kill()
                world.boot(earlier.disk)
    world.trouble = 0.0
    # The last trouble may still be going on.
    world.processes[-1].store.trouble = 0.0
    await world.until_acknowledged(5)
    await world.stop()
    return world


@pytest.mark.parametrize("seed", range(10))
def test_ten_bad_minutes_lose_nothing_that_was_acknowledged(seed: int) -> None:
    world = run_virtual(bad_minutes(seed))
    assert world.complaints == []
    assert len(world.processes) >= 50
    assert world.opens.count("local") >= 5
    assert world.opens.count("restored") >= 25


def test_of_two_holders_the_earlier_one_falls_silent() -> None:
    async def story() -> None:
        world = World(Random(1))
        first = world.boot()
        await world.until_acknowledged(20)
        second = world.boot(FakeSessionDisk())
        await asyncio.wait([first.task], timeout=60)
        assert isinstance(first.task.exception(), BaseExceptionGroup)
        assert is_lawful(first.task.exception())
        with pytest.raises(SessionLost):
            await first.keeper.flush()
        await world.until_acknowledged(20)
        assert not second.task.done()
        await world.stop()
        assert world.complaints == []

    run_virtual(story())


def sleeper_story(*, lost_answer: bool) -> None:
    """A holder sleeps while its successor goes on so long that everything the sleeper knows is compacted and deleted."""

    async def story() -> None:
        world = World(Random(2))
        first = world.boot()
        await world.until_acknowledged(20)

        def fall_asleep(_: int) -> None:
            raise StoreUnavailable("in the test")

        if lost_answer:
            first.store.after_commit = fall_asleep
            await asyncio.sleep(1)
        first.task.cancel()
        await asyncio.gather(first.task, return_exceptions=True)
        first.store.after_commit = lambda _: None
        world.boot(FakeSessionDisk())
        await world.until_acknowledged(100)
        [listing] = await list_sessions(world.documents, account=ACCOUNT)
        assert listing.versions[0].sequence > first.keeper.step.sequence + 10
        before = await world.acknowledged()
        first.disk.put("step", b"0")
        with pytest.raises(SessionLost):
            await first.keeper.commit([Put("things/late", {})])
        assert await world.documents.get("things/late") is None
        assert (await world.acknowledged())[0] >= before[0]
        await world.stop()
        assert world.complaints == []

    run_virtual(story())


@pytest.mark.parametrize("lost_answer", [False, True])
def test_a_holder_that_sleeps_through_it_all_is_fenced_when_it_wakes(lost_answer: bool) -> None:
    sleeper_story(lost_answer=lost_answer)


# One commit at a time


class Bench:
    """A linked device with an open session, and nobody else about."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.documents = MemoryDocuments(self.clock)
        self.keys = MemoryKeys()
        self.disk = FakeSessionDisk()
        self.disk.linked = True
        self.store = SeveredDocuments(self.documents, Random(6))

    def keeper(self, disk: FakeSessionDisk, policy: RestorePolicy = RestorePolicy.REFUSE) -> SessionKeeper:
        return SessionKeeper(
            self.store,
            self.clock,
            self.keys,
            MemorySessionFile(disk),
            Random(7).randbytes,
            account=ACCOUNT,
            tenant="demo",
            slot="a",
            holder="connector-1",
            policy=policy,
        )

    async def opened(self) -> SessionKeeper:
        keeper = self.keeper(self.disk)
        await keeper.open(0, ())
        return keeper

    def lose_next_answer(self) -> None:
        def lost(_: int) -> None:
            self.store.after_commit = lambda _: None
            raise StoreUnavailable("in the test")

        self.store.after_commit = lost


def told(story: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await story(Bench())

    run_virtual(main())


def test_a_commit_tells_the_sequence_that_it_makes() -> None:
    async def story(bench: Bench) -> None:
        keeper = await bench.opened()
        told: list[int] = []

        def acknowledging(step: Step) -> Put:
            told.append(step.sequence)
            return Put(ACKNOWLEDGED, {"sequence": step.sequence})

        bench.disk.put("row", b"1")
        before = keeper.step.sequence
        versions = await keeper.commit([Put("things/one", {"n": 1})], acknowledging=acknowledging)
        assert told == [keeper.step.sequence] == [before + 1]
        document = await bench.documents.get(ACKNOWLEDGED)
        assert document is not None
        assert versions[-1] == document.version
        # Nothing has changed on the device: the sequence stays.
        assert len(await keeper.commit([Put("things/one", {"n": 2})], acknowledging=acknowledging)) == 2
        assert told[-1] == keeper.step.sequence == before + 1
        before_flush = bench.documents.commits
        await keeper.flush()
        assert bench.documents.commits == before_flush

    told(story)


def test_more_writes_than_a_commit_holds_are_refused_before_anything_happens() -> None:
    async def story(bench: Bench) -> None:
        keeper = await bench.opened()
        bench.disk.put("row", b"1")
        writes = [Put(f"things/{n}", {"n": n}) for n in range(499)]
        with pytest.raises(ValueError, match="499"):
            await keeper.commit(writes)
        await keeper.commit(writes[:498], acknowledging=lambda step: Put(ACKNOWLEDGED, {"sequence": step.sequence}))

    told(story)


def test_a_conflict_of_the_writes_is_the_callers_and_costs_the_session_nothing() -> None:
    async def story(bench: Bench) -> None:
        keeper = await bench.opened()
        await bench.documents.commit([Create("things/one", {})])
        bench.disk.put("row", b"1")
        before = keeper.step.sequence
        with pytest.raises(StoreConflict):
            await keeper.commit([Create("things/one", {})])
        assert keeper.step.sequence == before
        assert "row" in bench.disk.changes
        await keeper.flush()
        assert keeper.step.sequence == before + 1
        assert bench.disk.changes == {}

    told(story)


def test_writes_that_were_applied_without_an_answer_meet_themselves() -> None:
    async def story(bench: Bench) -> None:
        keeper = await bench.opened()
        before = keeper.step.sequence
        bench.disk.put("row", b"1")
        bench.lose_next_answer()
        with pytest.raises(StoreUnavailable):
            await keeper.commit([Create("things/one", {})])
        assert keeper.step.sequence == before
        bench.disk.put("row", b"2")
        with pytest.raises(StoreConflict):
            await keeper.commit([Create("things/one", {})])
        # The caller looks, and writes what is left to write. What changed meanwhile goes with it.
        assert keeper.step.sequence == before + 1
        await keeper.commit([Put("things/two", {})])
        assert keeper.step.sequence == before + 2
        assert bench.disk.changes == {}

    told(story)


def test_a_commit_that_is_cancelled_on_its_way_is_found_by_the_next() -> None:
    async def story(bench: Bench) -> None:
        keeper = await bench.opened()
        before = keeper.step.sequence
        bench.disk.put("row", b"1")
        applied = asyncio.Event()
        bench.store.after_commit = lambda _: applied.set()
        commit = asyncio.create_task(keeper.commit([Put("things/one", {})]))
        await applied.wait()
        commit.cancel()
        await asyncio.gather(commit, return_exceptions=True)
        assert commit.cancelled()
        assert keeper.step.sequence == before
        await keeper.commit([Put("things/two", {})])
        assert keeper.step.sequence == before + 1
        assert bench.disk.changes == {}

    told(story)


def test_a_restore_whose_last_answer_was_lost_is_still_told_as_one() -> None:
    async def story(bench: Bench) -> None:
        first = await bench.opened()
        elsewhere = FakeSessionDisk()
        keeper = bench.keeper(elsewhere)
        bench.lose_next_answer()
        with pytest.raises(StoreUnavailable):
            await keeper.open(first.step.sequence, ())
        opened = await keeper.open(first.step.sequence, ())
        assert (opened.kind, opened.version) == ("restored", 1)
        assert (await bench.keeper(elsewhere).open(opened.sequence, ())).kind == "local"

    told(story)


def test_what_was_forgotten_for_a_doubt_stays_forgotten() -> None:
    async def story(bench: Bench) -> None:
        chat = "14155550123@s.whatsapp.net"
        keeper = await bench.opened()
        for key in (f"ratchet:{chat}:0", "ratchet:own:1", "ratchet:15551@s.whatsapp.net:0"):
            bench.disk.put(key, b"1")
        await keeper.flush()
        second, third = FakeSessionDisk(), FakeSessionDisk()
        opened = await bench.keeper(second).open(keeper.step.sequence, [chat])
        assert set(second.rows) == {"device", "ratchet:15551@s.whatsapp.net:0"}
        await bench.keeper(third).open(opened.sequence, ())
        assert third.rows == second.rows

    told(story)


@pytest.mark.parametrize("policy", list(RestorePolicy))
def test_a_session_that_opens_and_is_no_store_is_refused_and_left_alone(policy: RestorePolicy) -> None:
    async def story(bench: Bench) -> None:
        keeper = await bench.opened()
        session = await session_chain.open_session(bench.documents, bench.keys, ACCOUNT, "a")
        assert session is not None
        empty = Captured(bench.disk.incarnation, 1, True, b"{}")
        await session_store.save_session(bench.documents, session, empty, Random(8).randbytes, bench.clock.now())
        path = session_docs.head_path(ACCOUNT, "a")
        before = await bench.documents.get(path)
        elsewhere = bench.keeper(FakeSessionDisk(), policy)
        if policy is RestorePolicy.REFUSE:
            with pytest.raises(session_store.SessionRefused) as refused:
                await elsewhere.open(keeper.step.sequence, ())
            assert refused.value.code == "session_invalid"
            assert await bench.documents.get(path) == before
        else:
            opened = await elsewhere.open(keeper.step.sequence, ())
            assert (opened.kind, opened.version, opened.behind) == ("restored", 1, 1)
            assert (await bench.keeper(FakeSessionDisk()).open(opened.sequence, ())).behind == 0

    told(story)


def test_wrapping_keys_that_are_away_can_be_waited_for() -> None:
    async def story(bench: Bench) -> None:
        bench.keys.available = False
        for _ in range(2):
            keeper = bench.keeper(bench.disk)
            with pytest.raises(KeyUnavailable):
                await keeper.open(0, ())
            bench.keys.available = True
            assert (await keeper.open(0, ())).kind in ("new", "local")
            bench.keys.available = False

    told(story)


# What happens by itself


def test_segments_and_versions_do_not_pile_up() -> None:
    async def story() -> None:
        world = World(Random(3))
        world.boot()
        await world.until_acknowledged(400)
        assert len(world.documents.run_query(session_docs.all_chunks(ACCOUNT, "a"))) <= 4
        assert len(world.documents.run_query(session_docs.all_segments(ACCOUNT, "a"))) <= 40
        await world.stop()
        assert world.complaints == []

    run_virtual(story())


def test_what_changes_unheard_is_durable_within_a_minute_and_what_is_poked_within_seconds() -> None:
    async def story(bench: Bench) -> None:
        keeper = await bench.opened()
        running = asyncio.create_task(keeper.run())
        bench.disk.put("unheard", b"1")
        await asyncio.sleep(SWEEP_EVERY_S - 1)
        assert "unheard" in bench.disk.changes
        await asyncio.sleep(2)
        assert "unheard" not in bench.disk.changes
        bench.disk.put("heard", b"1")
        keeper.poke()
        await asyncio.sleep(FLUSH_DELAY_S + 0.1)
        assert "heard" not in bench.disk.changes
        running.cancel()

    told(story)


def test_a_flush_that_fails_is_tried_again_and_ends_with_the_session() -> None:
    async def story(bench: Bench) -> None:
        keeper = await bench.opened()
        running = asyncio.create_task(keeper.run())
        bench.store.trouble = 1.0
        bench.disk.put("row", b"1")
        keeper.poke()
        await asyncio.sleep(600)
        assert "row" in bench.disk.changes
        bench.store.trouble = 0.0
        await asyncio.sleep(2 * SWEEP_EVERY_S)
        assert bench.disk.changes == {}
        await bench.keeper(FakeSessionDisk()).open(keeper.step.sequence, ())
        bench.disk.put("row", b"2")
        keeper.poke()
        with pytest.raises(SessionLost):
            await asyncio.wait_for(running, 10)

    told(story)


def test_a_session_that_is_taken_before_its_first_version_goes_on() -> None:
    async def story(bench: Bench) -> None:
        bench.disk.linked = False
        await bench.opened()
        keeper = await bench.opened()
        running = asyncio.create_task(keeper.run())
        keeper.poke()
        await asyncio.sleep(10 * FLUSH_DELAY_S)
        assert not running.done()
        running.cancel()

    told(story)


def test_an_idle_session_costs_no_commit_and_is_pruned_every_hour() -> None:
    async def story(bench: Bench) -> None:
        keeper = await bench.opened()
        before = bench.documents.commits
        running = asyncio.create_task(keeper.run())
        await asyncio.sleep(1_000 * 3_600)
        assert bench.documents.commits == before
        assert 990 <= bench.disk.pruned <= 1_000
        running.cancel()

    told(story)


# A checker that finds nothing may be blind. Each of these breaks one defence, and must be seen.


def caught() -> bool:
    for seed in range(4):
        try:
            if run_virtual(bad_minutes(seed)).complaints:
                return True
        except (TimeoutError, session_store.SessionRefused):
            return True
    return False


def test_planted_changes_are_forgotten_before_they_are_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = MemorySessionFile.capture

    async def hasty(self: MemorySessionFile) -> Captured | None:
        captured = await honest(self)
        if captured is not None:
            await self.confirm(captured.mark)
        return captured

    monkeypatch.setattr(MemorySessionFile, "capture", hasty)
    assert caught()


def test_planted_writes_are_committed_before_the_rows_they_rest_on(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SessionKeeper._try_commit

    async def hasty(self: SessionKeeper, writes: Sequence[Any], acknowledging: Any) -> list[Version]:
        versions = await self._commit_plainly(writes, acknowledging)
        await honest(self, (), None)
        return versions

    monkeypatch.setattr(SessionKeeper, "_try_commit", hasty)
    assert caught()


def test_planted_every_segment_that_no_restore_needs_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        session_store, "removable", lambda links, end, epoch: [link for link in links if link.sequence < end]
    )
    for lost_answer in (False, True):
        with pytest.raises(BaseException, match="SessionLost"):
            sleeper_story(lost_answer=lost_answer)


def test_planted_a_disk_is_trusted_whatever_happened_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SessionKeeper._restore

    async def trusting(self: SessionKeeper, session: Any, *arguments: Any) -> Opened:
        position = await self._file.position()
        if position is not None and position.linked and session.tail is not None:
            return await self._go_on(session, session.tail)
        return await honest(self, session, *arguments)

    monkeypatch.setattr(SessionKeeper, "_restore", trusting)
    assert caught()
