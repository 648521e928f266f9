"""A device's session in virtual time: processes that crash at every commit, disks that burn, two holders at once.

The device counts: each step is a row of its store, and the commit that acknowledges step n is the one that makes the row durable.
So whoever opens the session must find a store that knows at least the step that the documents say was acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from keepline.domain import compaction
from keepline.domain.compaction import RestorePolicy
from keepline.ports.documents import Put, StoreUnavailable, Version
from keepline.ports.session_file import Captured
from keepline.records import session_docs
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.session_file import FakeSessionDisk, MemorySessionFile
from keepline.testing.severed import SeveredDocuments
from keepline.testing.virtual_time import run_virtual
from keepline.usecases import session_store
from keepline.usecases.session_keeping import SWEEP_EVERY_S, Opened, SessionKeeper, SessionLost
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
        def acknowledging(sequence: int) -> Put:
            return Put(ACKNOWLEDGED, {"sequence": sequence, "step": step})

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
        if process.opened.sequence < self.taken_at < process.keeper.sequence:
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
        assert listing.versions[0].sequence > first.keeper.sequence + 10
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
    async def story() -> None:
        world = World(Random(4))
        disk = FakeSessionDisk()
        disk.linked = True
        keeper = Process(world, disk, "connector-1").keeper
        await asyncio.sleep(1)
        world.processes.clear()
        before = keeper.sequence
        disk.put("unheard", b"1")
        await asyncio.sleep(SWEEP_EVERY_S + 1)
        assert "unheard" not in disk.changes
        disk.put("heard", b"1")
        keeper.poke()
        await asyncio.sleep(2)
        assert "heard" not in disk.changes
        assert keeper.sequence > before

    run_virtual(story())


def test_an_idle_session_costs_no_commit_and_is_pruned_every_hour() -> None:
    async def story() -> None:
        clock = LoopClock()
        documents = MemoryDocuments(clock)
        disk = FakeSessionDisk()
        disk.linked = True
        keeper = SessionKeeper(
            documents,
            clock,
            MemoryKeys(),
            MemorySessionFile(disk),
            Random(5).randbytes,
            account=ACCOUNT,
            tenant="demo",
            slot="a",
            holder="connector-1",
            policy=RestorePolicy.REFUSE,
        )
        await keeper.open(0, ())
        before = documents.commits
        running = asyncio.create_task(keeper.run())
        await asyncio.sleep(1_000 * 3_600)
        assert documents.commits == before
        assert 990 <= disk.pruned <= 1_000
        running.cancel()

    run_virtual(story())


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

    async def trusting(self: SessionKeeper, session: Any, doubted: Any) -> Opened:
        position = await self._file.position()
        if position is not None and position.linked and session.tail is not None:
            return await self._go_on(session, session.tail)
        return await honest(self, session, doubted)

    monkeypatch.setattr(SessionKeeper, "_restore", trusting)
    assert caught()
