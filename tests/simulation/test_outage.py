"""Connections that fail and come back: an outage of WhatsApp, a zombie, a login that is refused, a runner that dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from statistics import fmean
from typing import Any

import pytest

from keepline.domain.compaction import RestorePolicy
from keepline.domain.lease import EXTREME, NORMAL
from keepline.domain.link_events import Banned, LinkEvent, LinkFailed
from keepline.domain.reconnect import REACHED_SPREAD_S, REFUSED_WAIT_S, STABLE_AFTER_S, TRIES_BEFORE_OPEN
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.records import accounts
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT, Account, Device
from keepline.records.connectors import Beater
from keepline.records.link_settings import StoredSettings
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.left_journals import MemoryLeftJournals
from keepline.testing.session_file import MemorySessionFile
from keepline.testing.severed import Life
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp import FakeWhatsApp
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases.connecting import Connector
from keepline.usecases.leasing import LeaseKeeper
from keepline.usecases.recording import Recorder
from keepline.usecases.session_keeping import SessionKeeper
from tests.simulation.processes import ACCOUNT
from tests.simulation.world import FIRST, SECOND, World

ACCOUNTS = 100
OUTAGE_S = 300.0
BACK_LIMIT_S = 30.0
# 100 libraries try at once when their sockets close, and once more before they are barred. After that the connector keeps its
# pace, and after half a minute most breakers are open.
LIBRARIES_S = 4.0
ATTEMPTS_PER_S_MAX = 40
ATTEMPTS_PER_S_MEAN = 10
LOOK_S = 0.1
LIMIT_S = 60.0


class Fleet:
    """One connector with many accounts, each with one device, and a WhatsApp for all."""

    def __init__(self, random: Random) -> None:
        self.clock = LoopClock()
        self.documents = MemoryDocuments(self.clock)
        self.attempts: list[float] = []
        self.whatsapps = {
            f"demo_s{n}": FakeWhatsApp(self.clock, random, attempts=self.attempts) for n in range(ACCOUNTS)
        }
        self.devices = {account: whatsapp.add_device() for account, whatsapp in self.whatsapps.items()}
        self._random = random
        self._keys = MemoryKeys()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        for account in self.whatsapps:
            await self.documents.commit(
                accounts.new_account(
                    account=account,
                    tenant="demo",
                    session_id=account.removeprefix("demo_"),
                    tag_key=bytes(32),
                    settings=StoredSettings(pacing="off"),
                    status=WAITING_FOR_CONNECTOR,
                )
            )
        beater = Beater("connector-1", "here", "process", NORMAL.ttl_s, ACCOUNTS, self.clock.now())
        lease = LeaseKeeper(self.documents, self.clock, beater, NORMAL, lambda _: None)
        connector = Connector(
            self.documents,
            self.clock,
            self._random,
            self._open_link,
            self._keep_session,
            "connector-1",
            "here",
            ACCOUNTS,
            lease,
            NORMAL,
            self._keys,
            MemoryLeftJournals(dict, Life()),
        )
        self._running = asyncio.create_task(connector.run())

    async def stop(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait([self._running])

    def away(self) -> int:
        return sum(device.link is None for device in self.devices.values())

    async def until_all_are_back(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            while self.away():  # noqa: ASYNC110 - virtual time, and nobody to tell us
                await asyncio.sleep(LOOK_S)

    def fields(self, account: str) -> dict[str, Any]:
        [document] = self.documents.run_query(accounts.devices_of_account(account))
        return dict(document.fields)

    def _open_link(self, account: str, slot: str) -> FakeLink:
        return FakeLink(self.whatsapps[account], self.devices[account])

    def _keep_session(self, account: Account, slot: str) -> SessionKeeper:
        return SessionKeeper(
            *(self.documents, self.clock, self._keys, MemorySessionFile(self.devices[account.id].folder.disk)),
            self._random.randbytes,
            account=account.id,
            tenant=account.tenant,
            slot=slot,
            holder="connector-1",
            policy=RestorePolicy.REFUSE,
        )


def per_second(attempts: list[float], since_s: float) -> list[int]:
    """How many attempts there were in each second."""
    counts = Counter(int(at_s - since_s) for at_s in attempts if at_s >= since_s)
    return [counts[second] for second in range(max(counts, default=-1) + 1)]


@pytest.mark.parametrize("seed", range(2))
def test_after_five_minutes_without_whatsapp_a_hundred_accounts_are_back_in_thirty_seconds_without_a_storm(
    seed: int,
) -> None:
    async def story() -> None:
        fleet = Fleet(Random(seed))
        await fleet.start()
        await fleet.until_all_are_back()
        await asyncio.sleep(60)
        commits_before = fleet.documents.commits
        began_s = fleet.clock.monotonic_s()
        for whatsapp in fleet.whatsapps.values():
            whatsapp.go_away()
        await asyncio.sleep(OUTAGE_S)
        commits = fleet.documents.commits - commits_before
        during = [fleet.fields(account) for account in fleet.devices]
        for whatsapp in fleet.whatsapps.values():
            whatsapp.come_back()
        ended_s = fleet.clock.monotonic_s()
        await fleet.until_all_are_back()
        back_s = fleet.clock.monotonic_s() - ended_s
        rates = per_second(fleet.attempts, began_s)
        later = rates[int(LIBRARIES_S) :]
        print(
            f"all back {back_s:.1f} s after its end; attempts a second: {max(rates)} in the first, later {max(later)} at most,"
            f" {fmean(later):.1f} at the mean; {commits / ACCOUNTS / OUTAGE_S * 60:.1f} commits a minute and device"
        )
        assert back_s <= BACK_LIMIT_S
        assert back_s <= REACHED_SPREAD_S + 5, "who gets through tells the others"
        assert max(later) <= ATTEMPTS_PER_S_MAX
        assert fmean(later) <= ATTEMPTS_PER_S_MEAN
        assert {fields["breaker"] for fields in during} == {"open"}
        assert {fields["reason"]["code"] for fields in during} == {"unreachable"}
        assert min(fields["reconnect_attempts"] for fields in during) > TRIES_BEFORE_OPEN
        assert {fields["last_activity"] for fields in during} <= {"login", "answer"}
        await asyncio.sleep(STABLE_AFTER_S + 5)
        after = [fleet.fields(account) for account in fleet.devices]
        assert {(one["state"], one["breaker"], one["reconnect_attempts"]) for one in after} == {
            ("connected", "closed", 0)
        }
        await fleet.stop()

    run_virtual(story())


def test_a_start_with_a_hundred_accounts_is_spread() -> None:
    async def story() -> None:
        fleet = Fleet(Random(4))
        await fleet.start()
        await fleet.until_all_are_back()
        rates = per_second(fleet.attempts, 0.0)
        print(f"all connected after {fleet.clock.monotonic_s():.1f} s, at most {max(rates)} attempts a second")
        assert len(fleet.attempts) == ACCOUNTS
        assert max(rates) <= 40
        assert fleet.clock.monotonic_s() <= 10
        await fleet.stop()

    run_virtual(story())


async def until(look: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    try:
        async with asyncio.timeout(limit_s):
            while not look():  # noqa: ASYNC110 - virtual time, and nobody to tell us
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


async def connected_world(*, standby: bool = False) -> World:
    world = World(Random(5), standby=standby)
    await world.start()
    world.boot_all()
    await until(lambda: set(world.states()) == {"connected"}, "the devices to connect")
    await asyncio.sleep(5)
    return world


def fields_of(world: World, slot: str = FIRST_SLOT) -> dict[str, Any]:
    documents = world.documents.run_query(accounts.devices_of_account(ACCOUNT))
    [found] = [document.fields for document in documents if Device.read(document).slot == slot]
    return dict(found)


def test_a_zombie_is_found_within_five_seconds_and_healed() -> None:
    async def story() -> None:
        world = await connected_world()
        whatsapp = world.whatsapp
        world.processes[FIRST].links[-1].deafen()
        deaf_s = world.clock.monotonic_s()
        attempts = len(whatsapp.attempts)
        await until(lambda: world.states() == ["degraded", "degraded"], "the zombie to be found", 10)
        found_s = world.clock.monotonic_s() - deaf_s
        assert fields_of(world)["reason"]["code"] == "no_answer"
        await until(lambda: world.states() == ["connected", "connected"], "the zombie to be healed", 15)
        print(f"found after {found_s:.1f} s, healed after {world.clock.monotonic_s() - deaf_s:.1f} s")
        assert found_s <= 5.5  # what the store takes to be told is not the finding
        assert len(whatsapp.attempts) == attempts + 1
        await world.accept("after", "14155550120@s.whatsapp.net")
        await world.until_settled(LIMIT_S)
        assert [shown.text for shown in whatsapp.shown] == ["after"]
        await world.stop()

    run_virtual(story())


def test_a_zombie_that_sends_bytes_and_answers_nothing_is_found_by_the_question() -> None:
    async def story() -> None:
        world = await connected_world()
        world.processes[FIRST].links[-1].deafen(unnoticed=True)
        await until(lambda: fields_of(world)["reason"]["code"] == "no_answer", "the zombie to be found", 12)
        await until(lambda: world.states() == ["connected", "connected"], "the zombie to be healed", 15)
        await world.stop()

    run_virtual(story())


def test_a_zombie_that_was_to_send_leaves_it_to_the_accounts_other_device() -> None:
    async def story() -> None:
        world = await connected_world(standby=True)
        slot = world.voice
        sending, other = (FIRST, SECOND_SLOT) if slot == FIRST_SLOT else (SECOND, FIRST_SLOT)
        device = world.whatsapp.devices[0 if slot == FIRST_SLOT else 1]
        world.processes[sending].links[-1].deafen()
        await until(lambda: world.voice == other, "the other device to take over", 10)
        await world.accept("after", "14155550120@s.whatsapp.net")
        await until(lambda: set(world.states()) == {"connected"}, "the zombie to be healed", 20)
        await world.until_settled()
        assert [shown.text for shown in world.whatsapp.shown] == ["after"]
        assert device.link is world.processes[sending].links[-1]
        assert await world.complaints() == []
        await world.stop()

    run_virtual(story())


def test_nothing_is_asked_while_traffic_flows_and_soon_when_it_is_quiet() -> None:
    async def story() -> None:
        world = await connected_world()
        world.whatsapp.probes.clear()
        for n in range(60):
            world.say(f"in {n}", "14155550120@s.whatsapp.net")
            await asyncio.sleep(2.0)
        assert world.whatsapp.probes == []
        quiet_s = world.clock.monotonic_s()
        await asyncio.sleep(600)
        gaps = [
            later - earlier for earlier, later in zip(world.whatsapp.probes, world.whatsapp.probes[1:], strict=False)
        ]
        assert world.whatsapp.probes[0] - quiet_s <= EXTREME.keep_alive_s
        assert EXTREME.keep_alive_s * 0.85 <= min(gaps)
        assert max(gaps) <= EXTREME.keep_alive_s + 1.0
        await world.stop()

    run_virtual(story())


def test_a_rate_signal_silences_the_questions_for_five_minutes() -> None:
    async def story() -> None:
        world = await connected_world()
        world.processes[FIRST].links[-1].tell(LinkFailed("login_refused"))
        await until(lambda: world.whatsapp.attempts[-1] > 10, "the next attempt", 2 * REFUSED_WAIT_S)
        world.whatsapp.probes.clear()
        await asyncio.sleep(200)
        assert world.whatsapp.probes == []
        await asyncio.sleep(200)
        assert world.whatsapp.probes
        await world.stop()

    run_virtual(story())


class Refusing(World):
    """A world whose WhatsApp tells this instead of letting anybody in."""

    answer: LinkEvent | None = None

    async def start(self) -> None:
        await super().start()
        self.whatsapp.on_connect = lambda link: link.log_in() if self.answer is None else link.tell(self.answer)


def test_a_login_that_is_refused_again_and_again_is_tried_once_a_minute_at_most() -> None:
    async def story() -> None:
        world = Refusing(Random(6))
        await world.start()
        world.answer = LinkFailed("login_refused")
        world.boot()
        await asyncio.sleep(3_600)
        assert 50 <= len(world.whatsapp.attempts) <= 61
        fields = fields_of(world)
        assert (fields["state"], fields["reason"]["code"], fields["breaker"]) == (
            "reconnecting",
            "login_refused",
            "open",
        )
        world.answer = None
        await until(lambda: world.states() == ["connected", "connected"], "it to be let in", 2 * REFUSED_WAIT_S)
        await world.stop()

    run_virtual(story())


def test_a_whatsapp_that_closes_right_after_each_login_is_not_stormed() -> None:
    async def story() -> None:
        world = World(Random(9))
        await world.start()

        def let_in_and_close(link: FakeLink) -> None:
            link.log_in()
            asyncio.get_running_loop().call_later(0.05, link.drop, 0.0)

        world.whatsapp.on_connect = let_in_and_close
        world.boot()
        await asyncio.sleep(600)
        print(f"{len(world.whatsapp.attempts)} attempts in ten minutes")
        # Undamped it would be 10,000. While it is being cut (up to 0.4 s here, milliseconds in a cell) the library goes on.
        assert 20 <= len(world.whatsapp.attempts) <= 240
        assert fields_of(world)["breaker"] in ("open", "half_open")
        world.whatsapp.on_connect = FakeLink.log_in
        await until(lambda: world.states() == ["connected", "connected"], "it to stay", LIMIT_S)
        await world.stop()

    run_virtual(story())


def test_a_ban_is_waited_for_and_then_tried() -> None:
    async def story() -> None:
        world = Refusing(Random(7))
        await world.start()
        world.answer = Banned(101, 3_600)
        world.boot()
        await asyncio.sleep(3_000)
        assert len(world.whatsapp.attempts) == 1
        assert fields_of(world)["state"] == "banned"
        world.answer = None
        await until(lambda: world.states() == ["connected", "connected"], "the ban to end", 1_000)
        assert len(world.whatsapp.attempts) == 2
        await world.stop()

    run_virtual(story())


def test_a_runner_that_dies_of_a_bug_is_started_again_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Recorder.heard
    bugs = 3

    def broken(self: Recorder, event: Any) -> None:
        nonlocal bugs
        if bugs:
            bugs -= 1
            raise LookupError("a bug")
        honest(self, event)

    async def story() -> None:
        world = await connected_world()
        monkeypatch.setattr(Recorder, "heard", broken)
        world.say("in", "14155550120@s.whatsapp.net")
        await until(lambda: fields_of(world)["reason"]["code"] == "runner_failed", "the failure to show")
        await world.accept("out", "14155550120@s.whatsapp.net")
        await world.until_settled(LIMIT_S)
        await until(lambda: world.states() == ["connected", "connected"], "it to be well again")
        assert bugs == 0
        assert await world.complaints() == []
        await world.stop()

    run_virtual(story())


def test_no_device_is_tried_twice_at_once_whatever_is_cut_and_lost() -> None:
    """What the library tries by itself counts: it is barred before ours begins."""

    async def story() -> None:
        world = await connected_world(standby=True)
        random = Random(8)
        under_way: Counter[FakeLink] = Counter()
        honest = FakeLink.connect

        async def counted(self: FakeLink) -> None:
            under_way[self] += 1
            assert under_way[self] == 1
            try:
                await honest(self)
            finally:
                under_way[self] -= 1

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FakeLink, "connect", counted)
            for _ in range(200):
                link = world.processes[random.choice([FIRST, SECOND])].links[-1]
                match random.randrange(4):
                    case 0:
                        link.drop(random.choice([0.0, 0.5, 10.0, 40.0]))
                    case 1:
                        link.lose_cell()
                    case 2:
                        link.deafen()
                    case 3:
                        link.drop(None)
                await asyncio.sleep(random.expovariate(1 / 3))
            await until(lambda: set(world.states()) == {"connected"}, "the devices to connect", 120)
        seconds = world.clock.monotonic_s()
        assert len(world.whatsapp.attempts) <= seconds
        await world.stop()

    run_virtual(story())
