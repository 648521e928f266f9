"""Thousands of hours: few messages, about one fault an hour, and each fault strikes while messages are on their way.

`python -m tests.simulation.long_run --hours 10000` prints one line of JSON; `--seed 17` lives the world of that seed alone, as it
was. Each world has its seed, a hundred hours, and by its number a standby or none, and recipients that answer or do not.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random

from keepline.domain import compaction
from keepline.domain.message import OnDoubt
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp import READ_MAX_S
from keepline.usecases import session_keeping
from tests.simulation.world import World
from tests.simulation.worlds import WorldFigures, add_seeds, live_all, seeds

HOURS_PER_WORLD = 100
CHATS = [f"1415555012{n}@s.whatsapp.net" for n in range(3)]
# Nothing changes unheard in these worlds, so looking for it once a minute would only cost time.
SWEEP_EVERY_S = 1_800.0
# A new version of a session every few hours instead of every few hundred, so that faults hit that, too.
SEGMENTS_MAX = 30
RECOVERY_LIMIT_S = 3_000.0
RECONNECTED_LIMIT_S = 120

Fault = Callable[["Hours"], Awaitable[None]]


@dataclass
class Figures(WorldFigures):
    """What happened in one world, or in many."""

    hours: int = 0
    accepted: int = 0
    said: int = 0

    def sums(self) -> dict[str, float]:
        return {"hours": self.hours, "faults": self.faults.total(), "accepted": self.accepted, "said": self.said}


class Hours:
    """The life of one world."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(self.random, standby=seed % 2 == 1, bare=True)
        self.recipients_are_off = seed % 4 == 3
        self._retiring: str | None = None

    async def run(self, hours: int) -> Figures:
        world = self.world
        await world.start()
        world.whatsapp.recipients_are_off = self.recipients_are_off
        world.whatsapp.reads = 0.3
        world.boot_all()
        for hour in range(1, hours + 1):
            await self._hour()
            await self._recover(hour)
        await asyncio.sleep(READ_MAX_S)
        await self._recover(hours)
        await world.stop()
        verdict = world.verdict()
        return Figures(
            self._faults(), verdict.counts(), verdict.complaints, hours, len(world.accepted), len(world.said)
        )

    async def _hour(self) -> None:
        """Idle time; then some messages, and in the middle of their way a fault."""
        random, world = self.random, self.world
        await asyncio.sleep(random.uniform(2_000, 3_400))
        self._let_whatsapp_fail(0.15)
        fault = random.choice([*self._FAULTS, *(self._STANDBY_FAULTS if world.standby else ())])
        # An answer is lost and, in the same second, the only other witness's disk (or the witness moves to another): these are
        # two faults, nobody can know what became of the message, and `resend` may show it twice. `hold` must not even then.
        hold = fault in (Hours._lose_witness_disk, Hours._take_over_witness) or random.random() < 0.1
        chats = [random.choice(CHATS) for _ in range(random.randrange(1, 4))]
        burst = random.random() < 0.2
        if burst:
            chats = [chats[0]] * 3  # these are claimed together
        if fault not in self._LOSING_RECEIPTS and random.random() < 0.2:
            # What is repaired goes again behind its chat's later messages, so it has none.
            world.whatsapp.unreadable = 0.5
            chats = list(dict.fromkeys(chats))
        if fault is Hours._lose_witness_disk:
            world.whatsapp.lose_answer = 0.5
        talk = asyncio.create_task(self._talk(chats, OnDoubt.HOLD if hold else OnDoubt.RESEND, burst))
        await asyncio.sleep(random.uniform(0, 3))
        await fault(self)
        await talk

    async def _talk(self, chats: Sequence[str], on_doubt: OnDoubt, burst: bool) -> None:
        random, world = self.random, self.world
        for chat in chats:
            if random.random() < 0.3:
                world.say(f"in {len(world.said)}", chat)
            else:
                await world.accept(f"out {len(world.accepted)}", chat, on_doubt=on_doubt)
            await asyncio.sleep(0 if burst else random.uniform(0, 1.5))

    async def _recover(self, hour: int) -> None:
        self._let_whatsapp_fail(0.0)
        world = self.world
        if self._retiring is not None:
            await world.retire(self._retiring)
            self._retiring = None
        for process in world.processes.values():
            process.store.away, process.store.slowness, process.store.trouble = False, 1.0, 0.0
        try:
            await world.until_settled(RECOVERY_LIMIT_S)
        except TimeoutError:
            raise AssertionError(f"hour {hour} did not come to rest, after {dict(world.faults)}") from None
        for _ in range(RECONNECTED_LIMIT_S):
            if set(world.states()) == {"connected"}:
                return
            await asyncio.sleep(1)
        raise AssertionError(f"hour {hour} ended with devices shown as {world.states()}, after {dict(world.faults)}")

    def _let_whatsapp_fail(self, chance: float) -> None:
        whatsapp = self.world.whatsapp
        whatsapp.unreadable = 0.0
        whatsapp.lose_answer = whatsapp.late_answer = whatsapp.refuse = whatsapp.deliver_twice = chance / 3

    def _faults(self) -> Counter[str]:
        return +(self.world.faults + self.world.whatsapp.faults)

    # Faults, one at a time. Most strike the sending connector.

    async def _again(self, name: str) -> None:
        await asyncio.sleep(self.random.expovariate(1 / 5))
        self.world.boot(name)

    async def _kill(self) -> None:
        name = self.world.sending
        self.world.kill(name)
        await self._again(name)

    async def _lose_disk(self) -> None:
        name = self.world.sending
        self.world.lose_disk(name)
        await self._again(name)

    async def _terminate(self) -> None:
        name = self.world.sending
        await self.world.terminate(name)
        await self._again(name)

    async def _drop_socket(self) -> None:
        self.world.drop_socket(self.world.sending, back_in_s=self.random.uniform(0, 20))

    async def _lose_cell(self) -> None:
        self.world.lose_cell(self.world.sending)

    async def _store_is_away(self) -> None:
        self.world.faults["store_away"] += 1
        store = self.world.store
        store.away = True
        await asyncio.sleep(self.random.uniform(1, 90))
        store.away = False

    async def _store_is_slow(self) -> None:
        self.world.faults["store_slow"] += 1
        store = self.world.store
        store.slowness = self.random.choice([30.0, 100.0])
        await asyncio.sleep(self.random.uniform(1, 60))
        store.slowness = 1.0

    async def _store_aborts(self) -> None:
        """Contention: many calls fail on their way there, or on their way back although they were applied."""
        self.world.faults["store_aborts"] += 1
        store = self.world.store
        store.trouble = 0.4
        await asyncio.sleep(self.random.uniform(1, 30))
        store.trouble = 0.0

    async def _take_over(self) -> None:
        self._retiring = await self.world.take_over(self.world.voice)
        await asyncio.sleep(self.random.uniform(0, 60))

    async def _freeze(self) -> None:
        """The process is stopped in the middle of whatever it does, and goes on later."""
        self.world.faults["freeze"] += 1
        process = self.world.processes[self.world.sending]
        process.stop()
        await asyncio.sleep(self.random.uniform(1, 120))
        process.go_on()

    async def _freeze_and_take_over(self) -> None:
        """As a lease would have it: the holder has gone silent, another takes its place, and then the earlier one wakes."""
        self.world.faults["freeze"] += 1
        process = self.world.processes[self.world.sending]
        process.stop()
        await asyncio.sleep(self.random.uniform(1, 20))
        self._retiring = await self.world.take_over(self.world.voice)
        await asyncio.sleep(self.random.uniform(0, 30))
        process.go_on()
        await asyncio.sleep(self.random.uniform(0, 30))

    async def _kill_witness(self) -> None:
        name = self.world.holders[self.world.witness]
        self.world.kill(name)
        await self._again(name)

    async def _lose_witness_disk(self) -> None:
        name = self.world.holders[self.world.witness]
        self.world.lose_disk(name)
        await self._again(name)

    async def _take_over_witness(self) -> None:
        self._retiring = await self.world.take_over(self.world.witness)
        await asyncio.sleep(self.random.uniform(0, 60))

    async def _kill_while_witness_is_offline(self) -> None:
        """The copies wait at WhatsApp; whoever asks the witness before it has them learns nothing."""
        self.world.drop_socket(self.world.holders[self.world.witness], back_in_s=self.random.uniform(10, 60))
        await asyncio.sleep(self.random.uniform(0, 2))
        await self._kill()

    async def _kill_both(self) -> None:
        names = list(self.world.holders.values())
        for name in names:
            self.world.kill(name)
        for name in names:
            await self._again(name)

    _FAULTS: tuple[Fault, ...] = (
        _kill,
        _lose_disk,
        _terminate,
        _drop_socket,
        _lose_cell,
        _store_is_away,
        _store_is_slow,
        _store_aborts,
        _take_over,
        _freeze,
        _freeze_and_take_over,
    )
    _STANDBY_FAULTS: tuple[Fault, ...] = (
        _kill_witness,
        _lose_witness_disk,
        _take_over_witness,
        _kill_while_witness_is_offline,
        _kill_both,
    )
    # A phone says once that it cannot read a message, and what it said may lie in a journal that nobody will read.
    _LOSING_RECEIPTS: tuple[Fault, ...] = (_lose_disk, _take_over, _freeze_and_take_over)


def live(seed: int, hours: int = HOURS_PER_WORLD) -> Figures:
    """The world of one seed. Its complaints begin with the seed."""
    before = session_keeping.SWEEP_EVERY_S, compaction.SEGMENTS_MAX
    session_keeping.SWEEP_EVERY_S, compaction.SEGMENTS_MAX = SWEEP_EVERY_S, SEGMENTS_MAX
    life = Hours(seed)
    try:
        figures = run_virtual(life.run(hours))
    except AssertionError as error:
        figures = Figures(hours=hours, faults=life._faults(), complaints=[str(error)])
    finally:
        session_keeping.SWEEP_EVERY_S, compaction.SEGMENTS_MAX = before
    figures.complaints = [f"seed {seed}: {complaint}" for complaint in figures.complaints]
    return figures


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=int, default=10_000)
    add_seeds(parser)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    return live_all(live, seeds(arguments, -(-arguments.hours // HOURS_PER_WORLD)), Figures())


if __name__ == "__main__":
    sys.exit(main())
